// The Internet checksum (RFC 1071) for the few packets that the host composes: probes, and the outer headers of captured
// datagrams. What the path sums, wasm/core/checksum.ts sums.

/** Sum of big-endian 16-bit words, not folded; an odd last byte counts as a word's high half. */
export function sum(bytes: Uint8Array, from = 0, length = bytes.length - from): number {
  let total = 0;
  const even = from + (length & ~1);
  for (let i = from; i < even; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!;
  return length % 2 === 0 ? total : total + (bytes[even]! << 8);
}

/** A sum folded to 16 bits, carries added back in. */
function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** What goes in the checksum field for this sum. */
export const complement = (total: number): number => ~fold(total) & 0xffff;

/** A folded sum between the byte orders of machine and network (RFC 1071 section 2). */
export const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8);
