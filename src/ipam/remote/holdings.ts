// What a plugin gave us, from the moment it did until it has taken it back: in the store all the while, so that a crash forgets
// nothing that the plugin still counts as ours. Giving back never fails and never waits for long: an entry that the plugin could not
// be told of stays, and reconcile tries again.
import { WeftError } from "../../errors.ts";
import { NotImplemented } from "../../plugins/plugin.ts";
import type { Lease, Leases } from "../leases.ts";
import { isUsed, type OpenNetworks } from "./open-networks.ts";
import type { IpamPlugin } from "./protocol.ts";

export type RemoteLog = (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;

export class Holdings {
  /** The plugin's. */
  readonly #name: string;
  readonly #ipam: IpamPlugin;
  readonly #leases: Leases;
  readonly #networks: OpenNetworks;
  readonly #log: RemoteLog;
  /** Keys of leases that are being given back. */
  readonly #returning = new Map<string, Promise<boolean>>();

  constructor(name: string, ipam: IpamPlugin, leases: Leases, networks: OpenNetworks, log: RemoteLog) {
    this.#name = name;
    this.#ipam = ipam;
    this.#leases = leases;
    this.#networks = networks;
    this.#log = log;
  }

  /** What can't be written down is given back at once. */
  async hold(key: string, lease: Lease): Promise<void> {
    try {
      await this.#leases.hold(key, lease);
    } catch (error) {
      await this.#tell(lease).catch(() => {});
      throw error;
    }
  }

  /** Whether the lease is settled. `revision`: that it had when it was found left over. Another one is somebody's, since then. */
  giveBack(key: string, revision?: number): Promise<boolean> {
    const busy = this.#returning.get(key);
    if (busy !== undefined) return busy;
    const work = this.#settle(key, revision).finally(() => this.#returning.delete(key));
    this.#returning.set(key, work);
    return work;
  }

  async #settle(key: string, revision: number | undefined): Promise<boolean> {
    const what = { plugin: this.#name, lease: key };
    try {
      const entry = await this.#leases.get(key);
      if (entry === null || (revision !== undefined && entry.revision !== revision)) return true;
      const { address } = entry.lease;
      const networkId = key.split("/")[2]!;
      if (address !== null) this.#networks.get(networkId)?.addresses.delete(address);
      if (!isUsed(this.#networks, entry.lease)) await this.#tell(entry.lease);
      await this.#leases.drop(entry);
      return true;
    } catch (error) {
      this.#leases.letGo(key);
      this.#log("warn", "an IPAM plugin could not be given back what it gave: it is tried again", {
        ...what,
        error: (error as Error).message,
      });
      return false;
    }
  }

  /** A plugin that says no has no such thing: that is as good as taken back. */
  async #tell({ poolId, address }: Lease): Promise<void> {
    try {
      if (address === null) await this.#ipam.releasePool(poolId);
      else await this.#ipam.releaseAddress(poolId, address);
    } catch (error) {
      if (error instanceof NotImplemented) return;
      if (!(error instanceof WeftError) || error.code === "UNAVAILABLE") throw error;
      this.#log("warn", "an IPAM plugin does not know what it is given back", {
        plugin: this.#name,
        poolId,
        address,
        error: error.message,
      });
    }
  }
}
