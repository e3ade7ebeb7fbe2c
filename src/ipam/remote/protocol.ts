// libnetwork's remote IPAM protocol: what is asked and what is answered, field for field. Names are the protocol's.
import { z } from "zod";
import { unavailable } from "../../errors.ts";
import { type Address, tryParseAddress } from "../../net/address.ts";
import { type Prefix, tryParseInterfaceAddress } from "../../net/prefix.ts";
import { NotImplemented, type Plugin } from "../../plugins/plugin.ts";

export const IPAM_KIND = "IpamDriver";
/** The two keys of a RequestAddress's Options. */
export const ADDRESS_TYPE_OPTION = "RequestAddressType";
export const GATEWAY_TYPE = "com.docker.network.gateway";
export const MAC_OPTION = "com.docker.network.endpoint.macaddress";

const data = z.record(z.string(), z.string()).nullish();

const ANSWERS = {
  GetCapabilities: z.object({ RequiresMACAddress: z.boolean().default(false), RequiresRequestReplay: z.boolean().default(false) }),
  GetDefaultAddressSpaces: z.object({ LocalDefaultAddressSpace: z.string(), GlobalDefaultAddressSpace: z.string() }),
  /** The rest is POOL's: what has an id can be given back. */
  RequestPool: z.looseObject({ PoolID: z.string().min(1).max(1024) }),
  ReleasePool: z.unknown(),
  RequestAddress: z.object({ Address: z.string(), Data: data }),
  ReleaseAddress: z.unknown(),
} as const;

const POOL = z.object({ Pool: z.string(), Data: data });

export interface PoolRequest {
  readonly AddressSpace: string;
  /** Empty: any. */
  readonly Pool: string;
  readonly SubPool: string;
  readonly Options: Readonly<Record<string, string>>;
  readonly V6: boolean;
}

export interface Pool {
  readonly id: string;
  readonly prefix: Prefix;
  /** Of the gateway that comes with the pool; null: it is to be asked for. */
  readonly gateway: Address | null;
}

export class IpamPlugin {
  readonly #plugin: Plugin;

  constructor(plugin: Plugin) {
    this.#plugin = plugin;
  }

  async capabilities(): Promise<{ readonly requiresMac: boolean; readonly requiresReplay: boolean }> {
    try {
      const answer = await this.#call("GetCapabilities", null);
      return { requiresMac: answer.RequiresMACAddress, requiresReplay: answer.RequiresRequestReplay };
    } catch (error) {
      // Plugins from before there were any.
      if (error instanceof NotImplemented) return { requiresMac: false, requiresReplay: false };
      throw error;
    }
  }

  async addressSpaces(): Promise<{ readonly local: string; readonly global: string }> {
    const answer = await this.#call("GetDefaultAddressSpaces", null);
    return { local: answer.LocalDefaultAddressSpace, global: answer.GlobalDefaultAddressSpace };
  }

  /** `unusable` is told the id of a pool whose answer can't be used otherwise. */
  async requestPool(request: PoolRequest, unusable: (poolId: string) => Promise<void> = async () => {}): Promise<Pool> {
    const answer = await this.#call("RequestPool", request);
    try {
      return { id: answer.PoolID, ...this.#readPool(answer, request.V6) };
    } catch (error) {
      await unusable(answer.PoolID);
      throw error;
    }
  }

  #readPool(answer: unknown, ipv6: boolean): Omit<Pool, "id"> {
    const { Pool: text, Data } = this.#read("RequestPool", POOL, answer);
    const prefix = tryParseInterfaceAddress(text)?.prefix;
    if (prefix === undefined || prefix.family !== (ipv6 ? 6 : 4)) {
      throw this.#wrong("RequestPool", `an IPv${ipv6 ? 6 : 4} pool was asked for, and the answer is ${JSON.stringify(text)}`);
    }
    const gateway = Data?.[GATEWAY_TYPE];
    const parsed = gateway === undefined ? null : (tryParseInterfaceAddress(gateway)?.address ?? tryParseAddress(gateway));
    if (gateway !== undefined && parsed === null) {
      throw unavailable(
        `failed to parse gateway address (${gateway}) returned by ipam driver: plugin ${this.#plugin.name} must give a CIDR`,
      );
    }
    return { prefix, gateway: parsed };
  }

  async releasePool(poolId: string): Promise<void> {
    await this.#call("ReleasePool", { PoolID: poolId }, false);
  }

  /** `address` empty: any. */
  async requestAddress(poolId: string, address: string, options: Readonly<Record<string, string>> | null): Promise<Address> {
    const { Address: text } = await this.#call("RequestAddress", { PoolID: poolId, Address: address, Options: options });
    const parsed = tryParseInterfaceAddress(text)?.address;
    if (parsed === undefined) throw this.#wrong("RequestAddress", `${JSON.stringify(text)} is no address with prefix length`);
    return parsed;
  }

  /** Does not wait for a plugin that is down: it is asked again later. */
  async releaseAddress(poolId: string, address: string): Promise<void> {
    await this.#call("ReleaseAddress", { PoolID: poolId, Address: address }, false);
  }

  async #call<M extends keyof typeof ANSWERS>(method: M, body: object | null, retry = true): Promise<z.infer<(typeof ANSWERS)[M]>> {
    const answer = await this.#plugin.call(`${IPAM_KIND}.${method}`, body, retry);
    return this.#read(method, ANSWERS[method], answer) as z.infer<(typeof ANSWERS)[M]>;
  }

  #read<T>(method: string, schema: z.ZodType<T>, answer: unknown): T {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw this.#wrong(method, [...(issue?.path ?? []), issue?.message ?? "invalid"].join(": "));
  }

  #wrong(method: string, reason: string): Error {
    return unavailable(`plugin ${this.#plugin.name} answers ${IPAM_KIND}.${method} with what can't be used: ${reason}`);
  }
}
