// The Internet checksum (RFC 1071) over bytes in memory: the one step of the path whose cost grows with every byte, so it
// is done 64 bytes at a time.
//
// All sums here are in the byte order of the machine, not of the network: one's complement addition does not care, as long
// as everything that is added, and the field that is written, is in the same order (RFC 1071 section 2). So a field is
// loaded, added and stored as it lies in memory, and only numbers (lengths, protocol) are swapped before they are added.
//
// The wide loop: i32x4.dot_i16x8_s multiplies eight signed words by one and adds neighbours, two words a lane in one
// instruction. Our words are unsigned, so 0x8000 is flipped first (u - 32768 as a signed number) and 65536 a pair is added
// back at the end. A lane gains at most 65536 a step in size: it can't overflow within 2 MiB.
//
// The two constant vectors are loaded from memory before the loop: as literals, V8 makes them anew in each turn (a third
// to a half of the time of a 1400-byte sum).
//
import { CONSTANTS } from "../shared/layout";
import { IP_PROTOCOL_UDP } from "../shared/protocol";
import { Packet } from "./packet";

const BIAS: usize = CONSTANTS;
const ONES: usize = CONSTANTS + 16;

/** Puts the constants where the loop finds them. Part of `reset`. */
export function initialise(): void {
  v128.store(BIAS, i16x8.splat(-32768));
  v128.store(ONES, i16x8.splat(1));
}

/** Sum of the 16-bit words of `length` bytes at `p`, an odd last byte padded with zero. Not folded: add more to it. */
export function sum(p: usize, length: u32): u64 {
  let total: u64 = 0;
  let left = length;
  if (left >= 32) {
    const bias = v128.load(BIAS);
    const ones = v128.load(ONES);
    let a = i32x4.splat(0);
    let b = a;
    let pairs: u32 = 0;
    if (left >= 64) {
      let c = a;
      let d = a;
      do {
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.xor(v128.load(p), bias), ones));
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.xor(v128.load(p, 16), bias), ones));
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.xor(v128.load(p, 32), bias), ones));
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.xor(v128.load(p, 48), bias), ones));
        p += 64;
        left -= 64;
        pairs += 16;
      } while (left >= 64);
      a = i32x4.add(a, c);
      b = i32x4.add(b, d);
    }
    while (left >= 16) {
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.xor(v128.load(p), bias), ones));
      p += 16;
      left -= 16;
      pairs += 4;
    }
    a = i32x4.add(a, b);
    const biased =
      <i64>i32x4.extract_lane(a, 0) + <i64>i32x4.extract_lane(a, 1) + <i64>i32x4.extract_lane(a, 2) + <i64>i32x4.extract_lane(a, 3);
    total = <u64>(biased + (<i64>pairs << 16));
  }
  while (left >= 8) {
    const words = load<u64>(p);
    total += (words & 0xffffffff) + (words >> 32);
    p += 8;
    left -= 8;
  }
  if (left & 4) {
    total += <u64>load<u32>(p);
    p += 4;
  }
  if (left & 2) {
    total += <u64>load<u16>(p);
    p += 2;
  }
  if (left & 1) total += <u64>load<u8>(p);
  return total;
}

/** Folds a sum to 16 bits, carries added back in. Data that contains its own correct checksum folds to 0xffff. */
// @ts-ignore: decorator
@inline export function fold(total: u64): u32 {
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffffffff) + (total >> 32);
  let words = <u32>total;
  words = (words & 0xffff) + (words >> 16);
  return (words & 0xffff) + (words >> 16);
}

/** What goes in the checksum field for this sum, in memory order. */
// @ts-ignore: decorator
@inline export function complement(total: u64): u32 {
  return ~fold(total) & 0xffff;
}

/** As `complement`, never 0: in UDP a zero field says "no checksum" (RFC 768), and 0xffff is the same number. */
// @ts-ignore: decorator
@inline export function complementNonZero(total: u64): u32 {
  const field = complement(total);
  return field == 0 ? 0xffff : field;
}

/** Swaps the bytes of a 16-bit number: a length or protocol on its way into a sum or a field. */
// @ts-ignore: decorator
@inline export function swap16(value: u32): u32 {
  return ((value & 0xff) << 8) | ((value >> 8) & 0xff);
}

/** Addresses and protocol of the pseudo-header (RFC 793, RFC 8200 section 8.1) of the IPv4 header at `ip`; add `swap16(length)`. */
// @ts-ignore: decorator
@inline export function pseudoIpv4(ip: usize, protocol: u32): u64 {
  return <u64>load<u32>(ip, 12) + <u64>load<u32>(ip, 16) + <u64>(protocol << 8);
}

/** The same of the IPv6 header at `ip`. A routing header would change the destination: the caller must not have one. */
// @ts-ignore: decorator
@inline export function pseudoIpv6(ip: usize, protocol: u32): u64 {
  return (
    <u64>load<u32>(ip, 8) + <u64>load<u32>(ip, 12) + <u64>load<u32>(ip, 16) + <u64>load<u32>(ip, 20) +
    <u64>load<u32>(ip, 24) + <u64>load<u32>(ip, 28) + <u64>load<u32>(ip, 32) + <u64>load<u32>(ip, 36) + <u64>(protocol << 8)
  );
}

/**
 * Finishes a checksum that a sandbox's kernel left partial (NEEDS_CHECKSUM): the pseudo-header's sum stands in the field,
 * so the sum over the L4 header and payload includes it. Writes to the frame: a SHARED packet must have been copied before.
 * tap-input has checked that start and field lie in the frame.
 */
export function completeChecksum(packet: Packet): void {
  const start = <usize>packet.offset + <usize>packet.checksumStart;
  const total = sum(start, packet.length - packet.checksumStart);
  // For TCP and ICMPv6 0 and 0xffff are the same number, so the UDP rule serves all.
  store<u16>(start + <usize>packet.checksumOffset, <u16>complementNonZero(total));
}

/** Whether the TCP or UDP checksum at `l4` is right over `length` bytes. The caller has bounded them by the frame. */
// @ts-ignore: decorator
@inline export function verifies(pseudo: u64, l4: usize, length: u32, protocol: u32): bool {
  // A zero UDP field means that there is nothing to verify, which is not the same as right.
  if (protocol == IP_PROTOCOL_UDP && load<u16>(l4, 6) == 0) return false;
  return fold(pseudo + <u64>swap16(length) + sum(l4, length)) == 0xffff;
}
