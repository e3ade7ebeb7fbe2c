// A kernel of strings: network namespaces with links, addresses and routes, as src/netns/namespaces.ts sees them. It outlives
// a controller, as the kernel does, so that a test can let one crash and start another on it.
import type { InterfaceConfig, NetworkNamespaces, RouteInfo } from "../../src/netns/namespaces.ts";

export interface MemoryLink {
  addresses: string[];
  up: boolean;
  ipv6: boolean;
}

export interface MemoryNamespace {
  readonly inode: number;
  readonly links: Map<string, MemoryLink>;
  /** destination -> gateway */
  readonly routes: Map<string, string>;
  readonly sysctls: Map<string, string>;
}

const HOST_INODE = 1;

export class MemoryNamespaces implements NetworkNamespaces {
  readonly byPath = new Map<string | null, MemoryNamespace>();
  routes: RouteInfo[] = [];
  /** Ids of sandboxes that have files, which outlive a controller too; for the name service's twin. */
  readonly sandboxFiles = new Set<string>();
  /** Called before each change; throws to make it fail. */
  onChange: (what: string) => void = () => {};
  #inodes = HOST_INODE;

  constructor() {
    const host: MemoryNamespace = {
      inode: HOST_INODE,
      links: new Map([
        ["lo", newLink()],
        ["eth0", newLink()],
      ]),
      routes: new Map(),
      sysctls: new Map(),
    };
    this.byPath.set(null, host).set("/proc/self/ns/net", host);
  }

  /** One that is not ours, as `ip netns add` makes it. */
  addForeign(path: string): MemoryNamespace {
    const namespace = { inode: ++this.#inodes, links: new Map([["lo", newLink()]]), routes: new Map(), sysctls: new Map() };
    this.byPath.set(path, namespace);
    return namespace;
  }

  /** Of namespaces but the host's. */
  get paths(): string[] {
    return [...this.byPath.keys()].filter((path) => path !== null && !path.startsWith("/proc")) as string[];
  }

  at(path: string | null): MemoryNamespace {
    const namespace = this.byPath.get(path);
    if (namespace === undefined) throw new Error(`no namespace ${path}`);
    return namespace;
  }

  link(path: string | null, name: string): MemoryLink {
    const link = this.at(path).links.get(name);
    if (link === undefined) throw new Error(`no link ${name} in ${path}`);
    return link;
  }

  async create(path: string): Promise<void> {
    this.onChange(`create ${path}`);
    if (this.byPath.has(path)) throw new Error(`${path} exists`);
    this.addForeign(path);
  }

  async writeSysctls(path: string, values: Readonly<Record<string, string>>): Promise<void> {
    this.onChange(`sysctl ${path} ${JSON.stringify(values)}`);
    for (const [name, value] of Object.entries(values)) this.at(path).sysctls.set(name, value);
  }

  async delete(path: string): Promise<void> {
    this.onChange(`delete ${path}`);
    this.byPath.delete(path);
  }

  inode(path: string): number | null {
    return this.byPath.get(path)?.inode ?? null;
  }

  async files(folder: string): Promise<readonly string[]> {
    return this.paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1));
  }

  async linkNames(path: string | null): Promise<readonly string[]> {
    return [...this.at(path).links.keys()];
  }

  hasHostLink(name: string): boolean {
    return this.at(null).links.has(name);
  }

  async hostLinks(): Promise<readonly { name: string; mac: string; mtuBytes: number; kind: string; up: boolean }[]> {
    return [...this.at(null).links].map(([name, { up }], i) => ({
      ...{ name, up, kind: "" },
      mac: `02:00:00:00:ff:0${i}`,
      mtuBytes: name === "lo" ? 65536 : 1500,
    }));
  }

  async deleteHostLink(name: string): Promise<void> {
    this.onChange(`delete ${name}`);
    this.deleteLink(null, name);
  }

  async hostRoutes(): Promise<readonly RouteInfo[]> {
    return this.routes;
  }

  async addresses(path: string | null): Promise<readonly { interfaceName: string; address: string }[]> {
    return [...this.at(path).links].flatMap(([interfaceName, { addresses }]) => addresses.map((address) => ({ interfaceName, address })));
  }

  async configure(path: string | null, config: InterfaceConfig): Promise<void> {
    this.onChange(`configure ${config.name} in ${path}`);
    const namespace = this.at(path);
    const link = this.link(path, config.name);
    if (config.addresses !== undefined) link.addresses = [...config.addresses];
    if (config.up !== undefined) link.up = config.up;
    for (const { destination, gateway } of config.routes ?? []) {
      if (gateway === undefined) throw new Error("a route without a gateway");
      namespace.routes.set(destination, gateway);
    }
  }

  async deleteRoutes(path: string | null, routes: readonly { destination: string; gateway?: string }[]): Promise<void> {
    const namespace = this.at(path);
    for (const { destination, gateway } of routes) if (namespace.routes.get(destination) === gateway) namespace.routes.delete(destination);
  }

  async enableIpv6(path: string | null, interfaceName: string, enabled: boolean): Promise<void> {
    this.link(path, interfaceName).ipv6 = enabled;
  }

  /** What opening and deleting a TAP do; for the datapath's twin. */
  addLink(path: string | null, name: string): void {
    const { links } = this.at(path);
    if (!links.has(name)) links.set(name, newLink());
  }

  deleteLink(path: string | null, name: string): void {
    const namespace = this.byPath.get(path);
    const link = namespace?.links.get(name);
    if (namespace === undefined || link === undefined) return;
    namespace.links.delete(name);
    // The kernel drops the routes of an interface that goes; ours all go by a gateway in one of its subnets.
    for (const [destination, gateway] of namespace.routes) {
      const reached = [...namespace.links.values()].some(({ addresses }) => addresses.some((address) => sameNetwork(address, gateway)));
      if (!reached) namespace.routes.delete(destination);
    }
  }
}

function newLink(): MemoryLink {
  return { addresses: [], up: false, ipv6: false };
}

/** Good enough for the prefixes of tests: the part before the last separator. */
function sameNetwork(address: string, gateway: string): boolean {
  const separator = gateway.includes(":") ? ":" : ".";
  const stem = (text: string): string => text.slice(0, text.lastIndexOf(separator));
  return stem(address.split("/")[0]!) === stem(gateway);
}
