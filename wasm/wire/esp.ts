// ESP, RFC 4303, as AES-GCM (RFC 4106) and ChaCha20-Poly1305 (RFC 7634) fill it. Accessors are in host order.
//
//    0                   1                   2                   3
//   +---------------------------------------------------------------+
//   |               Security Parameters Index (SPI)                 | ┐ AAD, with an extended sequence number's
//   |                      Sequence Number                          | ┘ upper half between the two
//   +---------------------------------------------------------------+
//   |                            IV (8)                             |
//   +---------------------------------------------------------------+
//   |                       payload (variable)                      | ┐
//   |                               | padding (0-255)               | │ sealed
//   |                               |  Pad Length   | Next Header   | ┘
//   +---------------------------------------------------------------+
//   |                       ICV (8, 12 or 16)                       |
//   +---------------------------------------------------------------+
//
// Padding ends the trailer at a multiple of four and counts 1, 2, 3, ... Behind the payload there may be more of it, that
// nobody asked for, to hide its length (TFC padding, section 2.7): only the payload's own length field tells.
//
// On UDP port 4500 (RFC 3948) the same bytes are a datagram's; four zero bytes instead of an SPI announce IKE, and a
// datagram of one byte 0xff keeps a NAT's mapping.
//
import { ESP_HEADER_LENGTH, ESP_IV_LENGTH, ESP_TRAILER_LENGTH } from "../shared/protocol";

export const LENGTH: u32 = ESP_HEADER_LENGTH;
export const IV_LENGTH: u32 = ESP_IV_LENGTH;
export const TRAILER_LENGTH: u32 = ESP_TRAILER_LENGTH;
const SEQUENCE = 4;
const IV = 8;
const KEEPALIVE: u32 = 0xff;

/** Whether `length` bytes hold header, IV, an empty payload's trailer and an ICV of `icvBytes`. */
// @ts-ignore: decorator
@inline export function fits(length: u32, icvBytes: u32): bool {
  return length >= LENGTH + IV_LENGTH + 4 + icvBytes;
}

// @ts-ignore: decorator
@inline export function isKeepalive(p: usize, length: u32): bool {
  return length == 1 && load<u8>(p) == KEEPALIVE;
}

// @ts-ignore: decorator
@inline export function writeKeepalive(p: usize): void {
  store<u8>(p, <u8>KEEPALIVE);
}

// @ts-ignore: decorator
@inline export function spi(p: usize): u32 {
  return bswap<u32>(load<u32>(p));
}

/** The half that travels. */
// @ts-ignore: decorator
@inline export function sequence(p: usize): u32 {
  return bswap<u32>(load<u32>(p, SEQUENCE));
}

/** As it stands: both sides treat it as eight bytes. */
// @ts-ignore: decorator
@inline export function iv(p: usize): u64 {
  return load<u64>(p, IV);
}

/** SPI, the sequence number's lower half, and the whole of it as the IV: it never repeats under a key. */
// @ts-ignore: decorator
@inline export function write(p: usize, spi: u32, sequence: u64): void {
  store<u32>(p, bswap<u32>(spi));
  store<u32>(p, bswap<u32>(<u32>sequence), SEQUENCE);
  store<u64>(p, bswap<u64>(sequence), IV);
}

/** Bytes of padding behind a payload of `length`. */
// @ts-ignore: decorator
@inline export function padding(length: u32): u32 {
  return (0 - (length + TRAILER_LENGTH)) & 3;
}

/** Writes padding and trailer at `p`, the payload's end: at most five bytes. */
// @ts-ignore: decorator
@inline export function writeTrailer(p: usize, padding: u32, nextHeader: u32): void {
  store<u32>(p, 0x00030201);
  store<u8>(p + <usize>padding, <u8>padding);
  store<u8>(p + <usize>padding, <u8>nextHeader, 1);
}

/** Of an opened packet, whose `length` bytes at `p` end with the trailer. */
// @ts-ignore: decorator
@inline export function nextHeader(p: usize, length: u32): u32 {
  return load<u8>(p + <usize>(length - 1));
}

/**
 * Bytes of payload before the padding, or -1 when the padding is longer than the packet or does not count 1, 2, 3, ...
 * (section 2.4 tells receivers to check what senders of combined algorithms must write).
 */
export function payloadLength(p: usize, length: u32): i32 {
  const pad: u32 = load<u8>(p + <usize>(length - 2));
  if (pad + TRAILER_LENGTH > length) return -1;
  const payload = length - TRAILER_LENGTH - pad;
  for (let i: u32 = 0; i < pad; i++) if (<u32>load<u8>(p + <usize>(payload + i)) != i + 1) return -1;
  return <i32>payload;
}
