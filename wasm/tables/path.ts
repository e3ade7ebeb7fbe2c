// What the path to a VTEP carries of frames. Nothing is known of most paths (0): the network's MTU fits them. Of others node
// path-mtu was told (tables/vtep keeps it), for IP packets of the underlay; frames are shorter by what is put around them, in the
// clear or by esp-encrypt (core/seal draws it):
//
//   IP │ UDP │ VXLAN │ frame
//   IP │ UDP, if the peer is spoken to by it │ SPI .. IV │ UDP, VXLAN, frame, padding to 4, trailer │ ICV
//
import { VTEP_MAX } from "../shared/limits";
import { ESP_HEADER_LENGTH, ESP_IV_LENGTH, ESP_TRAILER_LENGTH, UDP_HEADER_LENGTH, VXLAN_HEADER_LENGTH } from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as sad from "./sad";
import * as spd from "./spd";
import * as vteps from "./vtep";

const INNER: u32 = UDP_HEADER_LENGTH + VXLAN_HEADER_LENGTH + ESP_TRAILER_LENGTH;

/** What comes before a frame that goes to `vtep` in the clear. */
// @ts-ignore: decorator
@inline export function plainOverhead(vtep: u32): u32 {
  return (vteps.isIpv4(vtep) ? ipv4.LENGTH : ipv6.LENGTH) + <u32>UDP_HEADER_LENGTH + <u32>VXLAN_HEADER_LENGTH;
}

/**
 * The longest frame, Ethernet header included, that can be sent to `vtep` in one piece, in ESP or in the clear; 0: nothing narrower
 * than usual is known.
 */
export function frameMax(vtep: u32, encrypted: bool): u32 {
  if (!encrypted) return vteps.at(vtep).plainMtu == 0 ? 0 : vteps.at(vtep).plainMtu - plainOverhead(vtep);
  const bytes = vteps.at(vtep).pathMtu;
  const index = bytes == 0 ? 0 : spd.outbound(vtep);
  if (!sad.isSet(index)) return 0;
  const sa = sad.at(index);
  const outer = (vteps.isIpv4(vtep) ? ipv4.LENGTH : ipv6.LENGTH) + (sa.udpPort == 0 ? 0 : <u32>UDP_HEADER_LENGTH);
  return ((bytes - outer - ESP_HEADER_LENGTH - ESP_IV_LENGTH - sa.icvBytes) & ~3) - INNER;
}

/** The VTEP that is sent to by this SPI, at the 16-byte address at `destination` and, if not 0, this UDP port; 0: none. */
export function peerOf(spi: u32, destination: usize, udpPort: u32): u32 {
  const low = load<u64>(destination);
  const high = load<u64>(destination, 8);
  // Outbound SPIs have no index: the path wants none, and ICMP errors are few.
  for (let vtep: u32 = 1; vtep < <u32>VTEP_MAX; vtep++) {
    const index = spd.outbound(vtep);
    if (index == 0) continue;
    const sa = sad.at(index);
    if (sa.spi == spi && sa.remoteLow == low && sa.remoteHigh == high && <u32>sa.udpPort == udpPort) return vtep;
  }
  return 0;
}
