// Nested: is an inner frame itself a datagram of the tunnel that carries it? Such a frame can only be a loop (an underlay that
// is routed into an overlay over itself) or somebody playing at being a VTEP; each turn would make it fifty bytes longer.
//
// The rule: UDP to a VTEP's own UDP port AND addressed to that VTEP, or to the address at which this host received it. VXLAN
// between sandboxes' own addresses is their business and passes: that is how a cluster runs inside an overlay.
//
import { CONSTANTS } from "../shared/layout";
import * as vteps from "./vtep";

const MAPPED: usize = CONSTANTS + 0x200; // room for one address as ::ffff:a.b.c.d
const MAPPED_PREFIX: u32 = 0xffff0000; // bytes 8..12 as loaded

/** Whether the IPv4 address at `address` and `udpPort` are a VTEP's; `local` is where our own address stands, or 0. */
export function isTunnelEnd4(address: usize, udpPort: u32, local: usize): bool {
  store<u64>(MAPPED, 0);
  store<u32>(MAPPED, MAPPED_PREFIX, 8);
  store<u32>(MAPPED, load<u32>(address), 12);
  return isTunnelEnd6(MAPPED, udpPort, local);
}

/** The same of the 16 bytes at `address`. */
export function isTunnelEnd6(address: usize, udpPort: u32, local: usize): bool {
  if (local != 0 && load<u64>(address) == load<u64>(local) && load<u64>(address, 8) == load<u64>(local, 8)) return true;
  const vtep = vteps.find(address);
  return vtep != 0 && <u32>vteps.at(vtep).udpPort == udpPort;
}
