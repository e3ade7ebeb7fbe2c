// Network namespaces and what is configured in them, as the controller needs it. The real one is native-namespaces.ts; tests
// bring a twin (test/support/memory-namespaces.ts). A namespace is named by the path of its nsfs file, the daemon's own by
// null.
import type { InterfaceConfig, LinkInfo, RouteInfo } from "../ports/native.ts";

export type { InterfaceConfig, RouteInfo };

export interface NetworkNamespaces {
  /**
   * A new namespace, kept by a mount at `path`: loopback up, and IPv6 off on interfaces to come until they get an IPv6 address,
   * so that sandboxes of IPv4 networks send no router solicitations and multicast reports.
   */
  create(path: string): Promise<void>;
  /** Missing ones are fine. */
  delete(path: string): Promise<void>;
  /** Identifies the namespace at `path`; null if there is none. */
  inode(path: string): number | null;
  /** Names in `folder`; none if there is no such folder. */
  files(folder: string): Promise<readonly string[]>;
  linkNames(path: string | null): Promise<readonly string[]>;
  /** Whether an interface of the daemon's own namespace is called so. */
  hasHostLink(name: string): boolean;
  /** Of the daemon's own namespace. */
  hostLinks(): Promise<readonly Pick<LinkInfo, "name" | "mac" | "mtuBytes" | "kind" | "up">[]>;
  /** Of the daemon's own namespace. A missing one is fine. */
  deleteHostLink(name: string): Promise<void>;
  /** Of the daemon's own namespace: what networks to come must not overlap. */
  hostRoutes(): Promise<readonly RouteInfo[]>;
  /** "10.0.0.2/24" and the interface that has it. */
  addresses(path: string | null): Promise<readonly { readonly interfaceName: string; readonly address: string }[]>;
  configure(path: string | null, config: InterfaceConfig): Promise<void>;
  deleteRoutes(path: string | null, routes: readonly { destination: string; gateway?: string }[]): Promise<void>;
  /** By sysctl(8)'s names; of the namespace. */
  writeSysctls(path: string, values: Readonly<Record<string, string>>): Promise<void>;
  enableIpv6(path: string | null, interfaceName: string, enabled: boolean): Promise<void>;
}
