// No address management: networks whose stations number themselves, or are numbered by someone outside (a DHCP server on a
// macvlan's parent). The pools are "any address", nothing is ever given, and endpoints have interfaces without addresses.
//
// Whether that is a network at all is for its driver to say (Driver.withoutAddresses): a bridge's gateway needs an address.

import { invalidArgument } from "../errors.ts";
import type { IpamConfig } from "../records/records.ts";
import { type AddressLease, type AddressRequest, type IpamDriver, NULL_IPAM, type SubnetPlan } from "./ipam.ts";

const pool = (subnet: string): IpamConfig => ({ subnet, ipRange: null, gateway: null, auxAddresses: {} });

const ANY_IPV4 = "0.0.0.0/0";
const ANY_IPV6 = "::/0";

export class NullIpam implements IpamDriver {
  readonly name = NULL_IPAM;

  checkOptions(options: Readonly<Record<string, string>>): void {
    const [option] = Object.entries(options);
    if (option !== undefined) throw invalidArgument(`unknown IPAM option "${option.join("=")}": the null ipam driver has none`);
  }

  async chooseSubnets({ requests, enableIpv4, enableIpv6 }: SubnetPlan): Promise<readonly IpamConfig[]> {
    for (const { subnet, ipRange, gateway, auxAddresses } of requests) {
      if (subnet) throw refused("pool", subnet);
      if (ipRange) throw refused("subpool", ipRange);
      const address = gateway || Object.values(auxAddresses ?? {})[0];
      if (address) throw refused("", address);
    }
    return [...(enableIpv4 ? [pool(ANY_IPV4)] : []), ...(enableIpv6 ? [pool(ANY_IPV6)] : [])];
  }

  openNetwork(): void {}
  closeNetwork(): void {}

  async requestAddresses(_networkId: string, { ipv4, ipv6 }: AddressRequest): Promise<AddressLease> {
    const address = ipv4 ?? ipv6;
    if (address !== null) throw refused("", address);
    return { ipv4: null, ipv6: null, puts: [] };
  }

  async releaseAddresses(): Promise<void> {}

  usage(): Readonly<Record<string, never>> {
    return {};
  }

  keysOf(): readonly string[] {
    return [];
  }
}

function refused(what: "pool" | "subpool" | "", value: string): Error {
  const requests = ["address", ...(what === "" ? [] : [what]), "requests"].join(" ");
  return invalidArgument(`null ipam driver does not handle specific ${requests}: leave out ${value} or the --ipam-driver`);
}
