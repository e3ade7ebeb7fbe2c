// First contact with an IPAM plugin, once in the daemon's life: Activate, GetCapabilities, GetDefaultAddressSpaces, and, where
// the plugin asks for it (RequiresRequestReplay), what our networks have of it. Whoever comes meanwhile waits for it; one that
// failed is made again by the next who comes.
import { unavailable } from "../../errors.ts";
import { parseAddress } from "../../net/address.ts";
import { containsAddress, parsePrefix } from "../../net/prefix.ts";
import type { Plugin } from "../../plugins/plugin.ts";
import type { AddressSpace } from "../default-pools.ts";
import type { RemoteLog } from "./holdings.ts";
import type { OpenNetwork, OpenNetworks } from "./open-networks.ts";
import { ADDRESS_TYPE_OPTION, GATEWAY_TYPE, IPAM_KIND, type IpamPlugin } from "./protocol.ts";

export interface Contact {
  readonly requiresMac: boolean;
  readonly spaces: Readonly<Record<AddressSpace, string>>;
}

export class FirstContact {
  readonly #plugin: Plugin;
  readonly #ipam: IpamPlugin;
  readonly #networks: OpenNetworks;
  readonly #log: RemoteLog;
  #contact: Promise<Contact> | null = null;
  #replayed = false;

  constructor(plugin: Plugin, ipam: IpamPlugin, networks: OpenNetworks, log: RemoteLog) {
    this.#plugin = plugin;
    this.#ipam = ipam;
    this.#networks = networks;
    this.#log = log;
  }

  /** Throws UNAVAILABLE if the plugin does not answer, or is no IPAM driver. */
  async made(): Promise<Contact> {
    this.#contact ??= this.#greet();
    const contact = this.#contact;
    try {
      return await contact;
    } catch (error) {
      // Of those who waited for it the first forgets it; the next attempt is not theirs to forget.
      if (this.#contact === contact) this.#contact = null;
      throw error;
    }
  }

  async #greet(): Promise<Contact> {
    await this.#plugin.require(IPAM_KIND);
    const { requiresMac, requiresReplay } = await this.#ipam.capabilities();
    const spaces = await this.#ipam.addressSpaces();
    if (requiresReplay && !this.#replayed) for (const network of this.#networks.values()) await this.#replay(network, spaces);
    this.#replayed = true;
    return { requiresMac, spaces };
  }

  /** Tells the plugin what a network has, as it was told when the network was made. */
  async #replay({ record, space, addresses }: OpenNetwork, spaces: Contact["spaces"]): Promise<void> {
    try {
      for (const config of record.ipam) {
        const { subnet, ipRange, gateway, auxAddresses, poolId } = config;
        const prefix = parsePrefix(subnet);
        const request = {
          AddressSpace: spaces[space],
          Pool: subnet,
          SubPool: ipRange ?? "",
          Options: record.ipamOptions,
          V6: prefix.family === 6,
        };
        const pool = await this.#ipam.requestPool(request);
        if (pool.id !== poolId) throw unavailable(`pool ${subnet} was ${poolId} and is now ${pool.id}`);
        if (gateway !== null) await this.#ipam.requestAddress(pool.id, gateway, { [ADDRESS_TYPE_OPTION]: GATEWAY_TYPE });
        for (const address of Object.values(auxAddresses)) await this.#ipam.requestAddress(pool.id, address, null);
        for (const text of addresses) {
          if (containsAddress(prefix, parseAddress(text))) await this.#ipam.requestAddress(pool.id, text, null);
        }
      }
      this.#log("info", "an IPAM plugin was told again what a network has", { plugin: this.#plugin.name, network: record.name });
    } catch (error) {
      const fields = { plugin: this.#plugin.name, network: record.name, error: (error as Error).message };
      this.#log("warn", "an IPAM plugin does not take back what it gave a network: it may give its addresses to others", fields);
    }
  }
}
