// The IPAM drivers that plugins are, one object for each name, made when it is first heard of.
import { Plugin, type PluginHost } from "../../plugins/plugin.ts";
import type { Store } from "../../store/store.ts";
import type { IpamDriver, LeaseReport } from "../ipam.ts";
import { Leases } from "../leases.ts";
import type { IpamPlugins } from "../registry.ts";
import type { RemoteLog } from "./holdings.ts";
import { RemoteIpam } from "./remote.ts";

export interface PluginIpamOptions {
  readonly store: Store;
  readonly host: PluginHost;
  readonly log: RemoteLog;
}

export class PluginIpams implements IpamPlugins {
  readonly #options: PluginIpamOptions;
  readonly #leases: Leases;
  readonly #drivers = new Map<string, RemoteIpam>();

  constructor(options: PluginIpamOptions) {
    this.#options = options;
    this.#leases = new Leases(options.store);
  }

  async find(name: string): Promise<IpamDriver | null> {
    const plugin = new Plugin(name, this.#options.host);
    const known = this.#drivers.get(name);
    // A name that nothing has ever had is misspelt: no use waiting for it.
    if (known === undefined && !plugin.present) return null;
    const driver = this.get(name);
    await driver.connect();
    return driver;
  }

  get(name: string): RemoteIpam {
    let driver = this.#drivers.get(name);
    if (driver === undefined) {
      driver = new RemoteIpam(new Plugin(name, this.#options.host), this.#leases, this.#options.log);
      this.#drivers.set(name, driver);
    }
    return driver;
  }

  async reconcile(): Promise<LeaseReport> {
    const left = await this.#leases.left();
    for (const { lease } of left) this.get(lease.driver);
    let released = 0;
    let waiting = 0;
    for (const driver of this.#drivers.values()) {
      const mine = left.filter(({ lease }) => lease.driver === driver.name);
      try {
        const result = await driver.reconcile(mine);
        released += result.released;
        waiting += result.waiting;
      } catch (error) {
        waiting += mine.length;
        this.#options.log("warn", "an IPAM plugin is not there", { plugin: driver.name, error: (error as Error).message });
      }
    }
    return { released, waiting };
  }
}
