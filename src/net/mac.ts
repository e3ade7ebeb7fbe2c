// MAC addresses as canonical text, "02:42:0a:00:00:02": control-plane code only compares and shows them. How Docker makes
// them: 02:42 (locally administered, unicast) and then the IPv4 address on overlays, where the same address must mean the
// same MAC on every host; random bytes on bridges.
import { invalidArgument } from "../errors.ts";
import { type Address, addressBytes } from "./address.ts";

const MAC = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i;

const hex = (bytes: Iterable<number>): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");

/** A station's address in canonical form. Throws INVALID_ARGUMENT for anything that no interface can have. */
export function parseMac(text: string): string {
  if (!MAC.test(text)) throw invalidArgument(`invalid MAC address ${JSON.stringify(text)}: give six bytes, 02:42:0a:00:00:02`);
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (Number.parseInt(mac.slice(0, 2), 16) & 1) {
    throw invalidArgument(`invalid MAC address ${mac}: it is a group address, an interface's first byte must be even (02:...)`);
  }
  if (mac === "00:00:00:00:00:00") throw invalidArgument(`invalid MAC address ${mac}: all zero; leave it out to have one made`);
  return mac;
}

/** 02:42 and the four bytes of an IPv4 address. */
export function macFromIpv4(address: Address): string {
  if (address.family !== 4) throw new Error("macFromIpv4 takes an IPv4 address");
  return hex([0x02, 0x42, ...addressBytes(address)]);
}

/** 02:42 and four random bytes. */
export function randomMac(randomBytes: (count: number) => Uint8Array): string {
  return hex([0x02, 0x42, ...randomBytes(4)]);
}
