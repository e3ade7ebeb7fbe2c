// Where a peer's ESP is sent to by UDP: its own address and port 4500, or what a NAT between has made of them, which may become
// another at any time (RFC 7296 section 2.23). We go by where authentic datagrams come from, the newest one only:
//
//   port      followed always
//   address   followed if the two hosts have names (--peer-id): to one without, its address is its name
//
// Nothing of this protects: who holds a datagram up and sends it on from elsewhere gets what we send, sealed, until the peer's
// next one has arrived.
import { ESP_UDP_PORT } from "../../wasm/shared/protocol.ts";
import { parseAddress } from "../net/address.ts";

export interface Remote {
  readonly address: string;
  readonly port: number;
}

/** Where a peer is looked for first. */
export const homeOf = (address: string): Remote => ({ address, port: ESP_UDP_PORT });

export const isSame = (a: Remote, b: Remote): boolean => a.address === b.address && a.port === b.port;

/** Where to send to when the peer was heard from `seen`: there, or where it was. */
export function followed(at: Remote, seen: Remote, isNamed: boolean): Remote {
  if (seen.port === 0 || isSame(at, seen)) return at;
  if (seen.address === at.address) return seen;
  return isNamed && parseAddress(seen.address).family === parseAddress(at.address).family ? seen : at;
}
