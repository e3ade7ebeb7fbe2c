// A sandbox that comes back to a network has the address there that it had, if it is still free: Docker's users are used to
// it, for Docker gives the lowest free address, while ours come serially. A hint in memory, no reservation: it is gone with the
// daemon, the sandbox or the network, and whoever asks for the address meanwhile gets it.
import { WeftError } from "../../errors.ts";
import { formatAddress } from "../../net/address.ts";
import { parseInterfaceAddress } from "../../net/prefix.ts";
import type { EndpointRecord, Id } from "../../records/records.ts";
import type { AttachRequest } from "../types.ts";

export class LastAddresses {
  readonly #byEndpoint = new Map<string, Pick<AttachRequest, "ipv4" | "ipv6">>();

  remember({ networkId, sandboxId, ipv4, ipv6 }: EndpointRecord): void {
    const bare = (text: string): string => formatAddress(parseInterfaceAddress(text).address);
    this.#byEndpoint.set(`${networkId} ${sandboxId}`, {
      ...(ipv4 === null ? {} : { ipv4: bare(ipv4) }),
      ...(ipv6 === null ? {} : { ipv6: bare(ipv6) }),
    });
  }

  /** Of a sandbox or a network that is gone. */
  forget(id: Id): void {
    for (const key of this.#byEndpoint.keys()) if (key.split(" ").includes(id)) this.#byEndpoint.delete(key);
  }

  /** `attach` with the addresses that were had, and without where these are no more to be had. */
  async first<T>(networkId: Id, sandboxId: Id, request: AttachRequest, attach: (request: AttachRequest) => Promise<T>): Promise<T> {
    const key = `${networkId} ${sandboxId}`;
    const had = this.#byEndpoint.get(key);
    this.#byEndpoint.delete(key);
    if (had === undefined || request.ipv4 || request.ipv6) return attach(request);
    try {
      return await attach({ ...request, ...had });
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      return attach(request);
    }
  }
}
