// VXLAN header, RFC 7348 section 5: the eight bytes between a UDP header and an inner Ethernet frame. Accessors speak host
// order and assume `fits`: after it no accessor can go wrong.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//   |R|R|R|R|I|R|R|R|            Reserved                           |
//   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//   |                VXLAN Network Identifier (VNI) |   Reserved    |
//   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// Reserved bits are sent as zero and ignored on receipt, so a peer with an extension that we do not have (GBP, GPE's
// version bits) is still understood as far as plain VXLAN goes.
//
import { ETHERNET_HEADER_LENGTH, VXLAN_HEADER_LENGTH } from "../shared/protocol";

export const LENGTH: u32 = VXLAN_HEADER_LENGTH;

const FLAGS: usize = 0;
const VNI: usize = 4;
const FLAG_VNI_VALID: u32 = 0x08;

/** Whether `length` bytes of UDP payload have room for the header and for an inner Ethernet header. */
// @ts-ignore: decorator
@inline export function fits(length: u32): bool {
  return length >= <u32>(VXLAN_HEADER_LENGTH + ETHERNET_HEADER_LENGTH);
}

/** The I flag: without it the VNI means nothing. */
// @ts-ignore: decorator
@inline export function hasVni(p: usize): bool {
  return (<u32>load<u8>(p, FLAGS) & FLAG_VNI_VALID) != 0;
}

// @ts-ignore: decorator
@inline export function vni(p: usize): u32 {
  return bswap<u32>(load<u32>(p, VNI)) >> 8;
}

/** The header for `vni` as one number to store: made once for many frames. */
// @ts-ignore: decorator
@inline export function header(vni: u32): u64 {
  return ((<u64>bswap<u32>(vni << 8)) << 32) | <u64>FLAG_VNI_VALID;
}

/** Writes all eight bytes, reserved bits zero. */
// @ts-ignore: decorator
@inline export function write(p: usize, header: u64): void {
  store<u64>(p, header);
}
