// The name service as the controller sees it, and the records as the name service sees them: neither knows the other's code.
import type { EndpointRecord, Id, NetworkRecord, SandboxRecord } from "../records/records.ts";
import type { Member } from "./zone.ts";

export type { Member } from "./zone.ts";

/** What answers are computed from. */
export interface NameRecords {
  /** Another number whenever anything below has changed. */
  readonly generation: number;
  sandbox(id: Id): SandboxRecord | undefined;
  /** What the sandbox is attached to, in the order in which its networks are asked. */
  attachments(sandboxId: Id): readonly NamedAttachment[];
  members(networkId: Id): readonly Member[];
  /** The network whose gateway `host-gateway` is; absent: there is none on this host. */
  defaultBridge?(): NetworkRecord | undefined;
  /** Lines of its /etc/hosts for others. */
  links(sandboxId: Id): readonly HostsLine[];
}

export interface HostsLine {
  readonly names: readonly string[];
  /** With prefix length, or null. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

export interface NamedAttachment {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  /** Whether names are answered on this network; on the predefined `bridge` they aren't. */
  readonly named: boolean;
}

export interface NameService {
  /** Serves the sandbox in its namespace and writes its files; one that is served already is served anew. */
  open(sandbox: SandboxRecord): Promise<void>;
  /** Its endpoints have changed: writes its files. */
  refresh(sandbox: SandboxRecord): Promise<void>;
  /** Ends what `open` began. `namespaceStays`: it is not ours and gets back as it was. Its files go too. */
  close(sandbox: SandboxRecord, namespaceStays: boolean): Promise<void>;
  /** Whether its files were ever written: that comes last when a sandbox is made. */
  hasFiles(sandboxId: Id): boolean;
  /** What its names lack on this host; null: nothing. */
  warning?(sandboxId: Id): string | null;
  /** At start: removes what is left of sandboxes that are not among `known`. */
  prune(known: ReadonlySet<Id>): Promise<void>;
}
