// MACs and IP addresses between their canonical text and the words in which they travel to the engine: a MAC as its high 16
// and low 32 bits, an address as four big-endian 32-bit words of its 16-byte form (IPv4 as ::ffff:a.b.c.d).
//
// Text that is not canonical is refused here, at the last door before the tables: two spellings of one address would be two
// keys of one map, and so two entries that overwrite each other in the engine.
import ipaddr from "ipaddr.js";
import { invalidArgument } from "../errors.ts";

const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const IPV4_PATTERN = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;
const IPV4_MAPPED = 0xffff;

export type AddressWords = readonly [number, number, number, number];

/** [high 16 bits, low 32 bits] of the six bytes read as one big-endian number. */
export function macWords(mac: string): readonly [number, number] {
  if (!MAC_PATTERN.test(mac)) throw invalidArgument(`"${mac}" is not a MAC address in the form 02:42:ac:11:00:02`);
  const digits = mac.replaceAll(":", "");
  return [Number.parseInt(digits.slice(0, 4), 16), Number.parseInt(digits.slice(4), 16)];
}

export function macText(high: number, low: number): string {
  const digits = high.toString(16).padStart(4, "0") + (low >>> 0).toString(16).padStart(8, "0");
  return digits.replace(/..(?!$)/g, "$&:");
}

export function macBytes(mac: string): Uint8Array {
  const [high, low] = macWords(mac);
  const bytes = new Uint8Array(6);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, high);
  view.setUint32(2, low);
  return bytes;
}

export function addressWords(text: string): AddressWords {
  const bytes = addressBytes(text);
  const view = new DataView(bytes.buffer);
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

/** The 16-byte form of canonical IPv4 text, else null. The general way costs thirty times as much, and networks have thousands. */
function ipv4Bytes(text: string): Uint8Array | null {
  const parts = IPV4_PATTERN.exec(text);
  if (parts === null) return null;
  const bytes = new Uint8Array(16);
  bytes[10] = bytes[11] = 0xff;
  for (let i = 1; i <= 4; i++) {
    const byte = Number(parts[i]);
    if (byte > 255) return null;
    bytes[11 + i] = byte;
  }
  return bytes;
}

/** The 16-byte form. */
export function addressBytes(text: string): Uint8Array {
  const ipv4 = ipv4Bytes(text);
  if (ipv4 !== null) return ipv4;
  if (!ipaddr.isValid(text)) throw invalidArgument(`"${text}" is not an IP address`);
  const address = ipaddr.parse(text);
  if (address.kind() === "ipv6" && (address as ipaddr.IPv6).isIPv4MappedAddress()) {
    throw invalidArgument(`"${text}" is an IPv4 address; write ${(address as ipaddr.IPv6).toIPv4Address().toString()}`);
  }
  if (address.toString() !== text) throw invalidArgument(`"${text}" is not written canonically; write ${address.toString()}`);
  return Uint8Array.from(address.toByteArray()); // canonical IPv4 does not come here
}

export function addressText(words: AddressWords): string {
  const [a, b, c, d] = words;
  if (a === 0 && b === 0 && c === IPV4_MAPPED) return [d >>> 24, (d >>> 16) & 255, (d >>> 8) & 255, d & 255].join(".");
  const parts = [a, b, c, d].flatMap((word) => [word >>> 16, word & 0xffff]);
  return new ipaddr.IPv6(parts).toString();
}

export function isIpv6(text: string): boolean {
  return text.includes(":");
}
