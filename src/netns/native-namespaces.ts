// Network namespaces by the native addon's netlink.
import { readdir } from "node:fs/promises";
import { WeftError } from "../errors.ts";
import type { LinkInfo, Native } from "../ports/native.ts";
import type { InterfaceConfig, NetworkNamespaces, RouteInfo } from "./namespaces.ts";

const SYSCTLS = {
  // An address that IPAM gave is nobody else's, and a sandbox can use it at once.
  "net.ipv6.conf.default.accept_dad": "0",
  "net.ipv6.conf.default.disable_ipv6": "1",
  // As Docker: a sandbox's ports and pings are its own, whoever its programs run as.
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};

export class NativeNamespaces implements NetworkNamespaces {
  readonly #native: Native;

  constructor(native: Native) {
    this.#native = native;
  }

  async create(path: string): Promise<void> {
    await explained(`make the network namespace ${path}`, this.#native.createNamespace(path, SYSCTLS));
  }

  delete(path: string): Promise<void> {
    return explained(`delete the network namespace ${path}`, this.#native.deleteNamespace(path));
  }

  inode(path: string): number | null {
    return this.#native.namespaceInode(path);
  }

  async files(folder: string): Promise<readonly string[]> {
    try {
      return await readdir(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  async linkNames(path: string | null): Promise<readonly string[]> {
    return (await this.#native.links(path)).map((link) => link.name);
  }

  hasHostLink(name: string): boolean {
    return this.#native.linkIndex(name) !== null;
  }

  hostLinks(): Promise<readonly LinkInfo[]> {
    return this.#native.links(null);
  }

  deleteHostLink(name: string): Promise<void> {
    return explained(`delete interface ${name}`, this.#native.deleteLink(null, name));
  }

  hostRoutes(): Promise<readonly RouteInfo[]> {
    return this.#native.routes(null);
  }

  async addresses(path: string | null): Promise<readonly { readonly interfaceName: string; readonly address: string }[]> {
    const all = await this.#native.addresses(path);
    return all.map(({ interfaceName, address, prefixLength }) => ({ interfaceName, address: `${address}/${prefixLength}` }));
  }

  configure(path: string | null, config: InterfaceConfig): Promise<void> {
    return explained(`configure interface ${config.name}`, this.#native.configureInterface(path, config));
  }

  deleteRoutes(path: string | null, routes: readonly { destination: string; gateway?: string }[]): Promise<void> {
    return this.#native.deleteRoutes(path, [...routes]);
  }

  writeSysctls(path: string, values: Readonly<Record<string, string>>): Promise<void> {
    return this.#native.writeSysctls(path, { ...values });
  }

  async enableIpv6(path: string | null, interfaceName: string, enabled: boolean): Promise<void> {
    try {
      // By slashes, for there may be dots in a name.
      const settings = `net/ipv6/conf/${interfaceName}`;
      // In the order of their names: a link-local address that comes with IPv6 is looked for nowhere, as those that IPAM gives.
      // Namespaces of ours are made so, elsewhere we can't know.
      const on = { [`${settings}/accept_dad`]: "0", [`${settings}/disable_ipv6`]: "0" };
      await this.#native.writeSysctls(path, enabled ? on : { [`${settings}/disable_ipv6`]: "1" });
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
      if (enabled) throw new WeftError("UNAVAILABLE", `cannot enable IPv6 on ${interfaceName}: this kernel has no IPv6`, { cause: error });
    }
  }
}

/** Failures of the host, as the API reports them. */
async function explained<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const denied = code === "EPERM" || code === "EACCES";
    throw new WeftError(
      denied ? "PERMISSION_DENIED" : "UNAVAILABLE",
      `cannot ${what}: ${message}${denied ? "; run the daemon as root" : ""}`,
      { cause: error },
    );
  }
}
