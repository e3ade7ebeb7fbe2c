// Which subnets of a network share a link: the n-th IPv4 one and the n-th IPv6 one. A network of one subnet per family, the
// usual case, is one pair; where there are more of one family, the surplus pairs have that family only.

import { parsePrefix } from "../net/prefix.ts";
import type { IpamConfig } from "../records/records.ts";

export interface SubnetPair {
  readonly ipv4: IpamConfig | null;
  readonly ipv6: IpamConfig | null;
}

export function subnetPairs(configs: readonly IpamConfig[]): SubnetPair[] {
  const ofFamily = (family: 4 | 6) => configs.filter((config) => parsePrefix(config.subnet).family === family);
  const ipv4 = ofFamily(4);
  const ipv6 = ofFamily(6);
  return Array.from({ length: Math.max(ipv4.length, ipv6.length) }, (_, index) => ({
    ipv4: ipv4[index] ?? null,
    ipv6: ipv6[index] ?? null,
  }));
}
