// What the operations of the controller share: the state, the ways to change it, and the world outside as interfaces.
//
// Order of steps, everywhere. Creating: commit, then make it true (declare, configure). Removing: make it untrue, then commit.
// So what exists in the kernel and the engine is at each instant covered by what is stored, and a crash leaves at worst stored
// objects that are not yet, or no longer, made true: restore.ts makes them so at the next start. There is no instant at which
// an interface exists that the store doesn't know. If making it true fails, it is unmade and the commit taken back.
//
// Between commit and success an object is `pending`: its name and addresses are taken, but it is shown to nobody.
import type { Clock } from "../clock.ts";
import type { Datapath } from "../datapath/declarations.ts";
import type { CipherInfo } from "../datapath/messages.ts";
import type { NameService } from "../dns/names.ts";
import type { DriverHost, Drivers, Underlay } from "../drivers/driver.ts";
import { WeftError } from "../errors.ts";
import type { Ipam } from "../ipam/ipam.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { HostNat } from "../nat/types.ts";
import type { NetworkNamespaces } from "../netns/namespaces.ts";
import type { ProgramHost } from "../netns/program-host.ts";
import type { EndpointRecord, Id, NetworkRecord, PeerRecord, SandboxRecord } from "../records/records.ts";
import { IPAM_PREFIX } from "../store/keys.ts";
import type { Json, Put, Store } from "../store/store.ts";
import { LastAddresses } from "./endpoints/last-addresses.ts";
import type { Attachment } from "./endpoints/wants.ts";
import { leaseChanges } from "./leases.ts";
import { KeyedLocks } from "./locks.ts";
import { byName } from "./names.ts";
import type { State } from "./state.ts";

export type ControllerLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** What the predefined network `bridge` is to be like. */
export interface DefaultBridgeSettings {
  readonly enabled: boolean;
  /** Null: the first of weft0, weft1, ... that the host has not. */
  readonly interfaceName: string | null;
  /** The gateway's address with the subnet's length ("10.9.0.1/16"); null: the first of a default pool. */
  readonly ipv4: string | null;
  /** The same for IPv6; null: of a ULA subnet, if `enableIpv6`. */
  readonly ipv6: string | null;
  readonly enableIpv6: boolean;
  readonly icc: boolean;
  readonly masquerade: boolean;
  readonly mtuBytes: number;
}

export interface ControllerOptions {
  readonly store: Store;
  readonly datapath: Datapath;
  readonly namespaces: NetworkNamespaces;
  readonly names: NameService;
  readonly drivers: Drivers;
  /** The host as a router; absent: it is left alone, and networks don't reach out of it. */
  readonly nat?: HostNat;
  readonly ipam: Ipam;
  /** What the network `bridge` is like; absent: there is none, and what is stored of it is left alone. */
  readonly defaultBridge?: DefaultBridgeSettings;
  /** Processes of sandboxes; absent: none is known of. */
  readonly programs?: ProgramHost;
  /** Whether sandboxes whose networks lead nowhere are given a way out of the host. */
  readonly egress?: boolean;
  readonly underlay: Underlay;
  /** Which peers have keys; absent: none, and encrypted networks have no peers. */
  readonly keys?: KeyService;
  /** Who seals and opens; absent: nobody. */
  readonly cipher?: () => CipherInfo;
  /** Absolute. Namespaces of sandboxes are kept in its folder `netns`. */
  readonly stateDir: string;
  readonly clock: Pick<Clock, "nowIso">;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly log: ControllerLog;
}

class PendingIds extends Set<Id> {
  /** Grows with every id that is no longer pending. */
  generation = 0;

  override delete(id: Id): boolean {
    this.generation++;
    return super.delete(id);
  }
}

export interface Context extends ControllerOptions {
  readonly state: State;
  readonly locks: KeyedLocks;
  /** Ids of objects that are stored but not yet made true. */
  readonly pending: PendingIds;
  /** "<network id or link> <MAC or link-local address>" of endpoints on their way into the store. */
  readonly reserved: Set<string>;
  /** Ids of endpoints whose ports are declared: links may open something between them (link-ports.ts). */
  readonly joined: Set<Id>;
  readonly lastAddresses: LastAddresses;
  /** What the daemon's operator should know while it is so: subject -> sentence. */
  readonly warnings: Map<string, string>;
  readonly host: DriverHost;
}

export function createContext(options: ControllerOptions, state: State): Context {
  return {
    ...options,
    state,
    locks: new KeyedLocks(),
    pending: new PendingIds(),
    reserved: new Set(),
    joined: new Set(),
    lastAddresses: new LastAddresses(),
    warnings: new Map(),
    host: {
      get networks() {
        return [...state.networks.values()];
      },
      underlay: options.underlay,
      hasLink: (name) => options.namespaces.hasHostLink(name),
      links: () => options.namespaces.hostLinks(),
      cipher: options.cipher ?? (() => ({ by: "none", reason: "this daemon was started without one" })),
      randomBytes: options.randomBytes,
    },
  };
}

/** 64 random hexadecimal digits. */
export const newId = (context: Pick<Context, "randomBytes">): Id => Buffer.from(context.randomBytes(32)).toString("hex");

export const networkOwner = (id: Id): string => `network/${id}`;
export const endpointOwner = (id: Id): string => `endpoint/${id}`;

export const put = (key: string, record: NetworkRecord | EndpointRecord | SandboxRecord | PeerRecord): Put => ({
  key,
  value: record as unknown as Json,
});

/**
 * Writes, on condition that nobody else changed these entries since we read them. (What IPAM remembers is exempt: it is a
 * hint, and commits of one pool may overtake each other.)
 */
export async function commit(context: Context, puts: readonly Put[], deletes: readonly string[] = []): Promise<void> {
  const keys = [...puts.map(({ key }) => key), ...deletes].filter((key) => !key.startsWith(IPAM_PREFIX));
  const checks = keys.map((key) => ({ key, revision: context.state.revision(key) }));
  const leases = leaseChanges(context.state, puts, deletes);
  const result = await context.store.commit({ checks, puts: [...puts, ...leases.puts], deletes: [...deletes, ...leases.deletes] });
  if (!result.committed) throw new WeftError("UNAVAILABLE", `${result.conflict} was changed by someone else in the meantime: try again`);
}

/** A step on the way back: its failure is logged, for the reason to turn back is what the caller must hear. */
export async function attempt(context: Context, what: string, step: () => Promise<unknown>): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    context.log("error", `${what} failed`, { error: (error as Error).message });
    return false;
  }
}

/** Once all have come to an end: what is undone next must not overtake one of them. */
export function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** By their networks' names. */
export function attachmentsOf(context: Context, sandbox: Pick<SandboxRecord, "id">): Attachment[] {
  const attachments = context.state.endpointsOfSandbox(sandbox.id).map((endpoint) => attachment(context, endpoint));
  return attachments.sort((a, b) => byName(a.network, b.network));
}

export function attachment(context: Context, endpoint: EndpointRecord): Attachment {
  const network = context.state.networks.get(endpoint.networkId)!;
  return { endpoint, network, driver: context.drivers.get(network.driver) };
}
