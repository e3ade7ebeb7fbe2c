// ARP for Ethernet and IPv4, RFC 826. Accessors assume `fits`; IPv4 addresses are as loaded (network order).
//
//   0          2          4      5      6    8                14             18               24             28
//   ┌──────────┬──────────┬──────┬──────┬────┬────────────────┬──────────────┬────────────────┬──────────────┐
//   │ hardware │ protocol │ hlen │ plen │ op │ sender MAC     │ sender IP    │ target MAC     │ target IP    │
//   └──────────┴──────────┴──────┴──────┴────┴────────────────┴──────────────┴────────────────┴──────────────┘
//
export const LENGTH: u32 = 28;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;

export const REQUEST: u32 = 1;
export const REPLY: u32 = 2;

const ETHERNET_IPV4: u64 = 0x0000040600080100; // bytes 0..6: hardware 1, protocol 0x0800, lengths 6 and 4
const PREFIX_MASK: u64 = 0x0000ffffffffffff;

/** Whether `length` bytes at `p` hold ARP for Ethernet and IPv4. */
// @ts-ignore: decorator
@inline export function fits(p: usize, length: u32): bool {
  return length >= LENGTH && (load<u64>(p) & PREFIX_MASK) == ETHERNET_IPV4;
}

// @ts-ignore: decorator
@inline export function operation(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, OPERATION));
}

// @ts-ignore: decorator
@inline export function senderMac(p: usize): u64 {
  return bswap<u64>(load<u64>(p, SENDER_MAC)) >> 16;
}

// @ts-ignore: decorator
@inline export function senderIp(p: usize): u32 {
  return load<u32>(p, SENDER_IP);
}

// @ts-ignore: decorator
@inline export function targetIp(p: usize): u32 {
  return load<u32>(p, TARGET_IP);
}

/** Writes the whole packet. */
export function write(p: usize, operation: u32, senderMac: u64, senderIp: u32, targetMac: u64, targetIp: u32): void {
  store<u64>(p, ETHERNET_IPV4);
  store<u16>(p, bswap<u16>(<u16>operation), OPERATION);
  // The MACs as the upper six bytes of a big-endian u64; the two bytes behind are overwritten by the address that follows.
  store<u64>(p, bswap<u64>(senderMac << 16), SENDER_MAC);
  store<u32>(p, senderIp, SENDER_IP);
  store<u32>(p, bswap<u32>(<u32>(targetMac >> 16)), TARGET_MAC);
  store<u16>(p, bswap<u16>(<u16>targetMac), TARGET_MAC + 4);
  store<u32>(p, targetIp, TARGET_IP);
}
