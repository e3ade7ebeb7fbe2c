// Ports: the engine's edges. Written by the control plane; the counters by core/counters; read by almost every node.
//
//   0      1       2        4          8      10         12        14        16        20       22    24
//   ┌──────┬───────┬────────┬──────────┬──────┬──────────┬─────────┬─────────┬─────────┬────────┬─────┬───────────────────────┐
//   │ kind │ flags │ domain │ mtuBytes │ next │ previous │ udpPort │ sockets │ learned │ parent │ vid │ rx, tx; drops; permits│ 128
//   └──────┴───────┴────────┴──────────┴──────┴──────────┴─────────┴─────────┴─────────┴────────┴─────┴───────────────────────┘
//
// The ports of a bridge domain form a list (floods walk it): `next` and `previous` are port + 1, 0 at the ends, and the
// domain's entry has the first. Behind `permits` is the budget of ICMP errors: each port has its own, or one sandbox could use up
// what its neighbours need to find their path MTU. Ports of the underlay (VXLAN's, ESP's and their errors') and packet ports are in no domain.
//
import {
  DOMAIN_FLAG_CAPTURE, PORT_DOMAIN, PORT_DROPS, PORT_ESP, PORT_FLAG_CAPTURE, PORT_FLAGS, PORT_KIND, PORT_LENGTH, PORT_MTU, PORT_NONE,
  PORT_PACKET, PORT_PARENT, PORT_PATH_MTU, PORT_RX_BYTES, PORT_RX_PACKETS, PORT_SOCKETS, PORT_TX_BYTES, PORT_TX_PACKETS, PORT_UDP_PORT,
  PORT_UNDERLAY, PORT_VID,
} from "../shared/abi";
import { PORTS, PORTS_LENGTH } from "../shared/layout";
import { ICMP_ERRORS_PER_SECOND, PORT_MAX } from "../shared/limits";
import * as capture from "../core/capture";
import * as clock from "../core/clock";
import * as domains from "./bridge-domain";

@unmanaged export class Port {
  kind: u8; // PORT_*
  flags: u8; // PORT_FLAG_*
  domain: u16;
  mtuBytes: u32;
  next: u16;
  previous: u16;
  udpPort: u16; // underlay: where VXLAN listens, be it inside ESP
  sockets: u16; // underlay: transmit sockets, one source port each
  learned: u32; // FDB entries learned on it
  parent: u16; // uplink: its packet port
  vid: u16; // uplink: its VLAN, 0 for what is untagged
  rxPackets: u64;
  rxBytes: u64;
  txPackets: u64;
  txBytes: u64;
  drops: u64;
  permits: u32; // entries in PERMITS, by either end
  second: u32; // that `errors` counts in
  errors: u32; // ICMP errors about frames that came in by it
}

if (offsetof<Port>() != 76) ERROR("Port's fields must end at 76 bytes");
if (offsetof<Port>("kind") != PORT_KIND) ERROR("kind is not at PORT_KIND");
if (offsetof<Port>("flags") != PORT_FLAGS) ERROR("flags is not at PORT_FLAGS");
if (offsetof<Port>("domain") != PORT_DOMAIN) ERROR("domain is not at PORT_DOMAIN");
if (offsetof<Port>("mtuBytes") != PORT_MTU) ERROR("mtuBytes is not at PORT_MTU");
if (offsetof<Port>("udpPort") != PORT_UDP_PORT) ERROR("udpPort is not at PORT_UDP_PORT");
if (offsetof<Port>("sockets") != PORT_SOCKETS) ERROR("sockets is not at PORT_SOCKETS");
if (offsetof<Port>("parent") != PORT_PARENT) ERROR("parent is not at PORT_PARENT");
if (offsetof<Port>("vid") != PORT_VID) ERROR("vid is not at PORT_VID");
if (offsetof<Port>("rxPackets") != PORT_RX_PACKETS) ERROR("rxPackets is not at PORT_RX_PACKETS");
if (offsetof<Port>("rxBytes") != PORT_RX_BYTES) ERROR("rxBytes is not at PORT_RX_BYTES");
if (offsetof<Port>("txPackets") != PORT_TX_PACKETS) ERROR("txPackets is not at PORT_TX_PACKETS");
if (offsetof<Port>("txBytes") != PORT_TX_BYTES) ERROR("txBytes is not at PORT_TX_BYTES");
if (offsetof<Port>("drops") != PORT_DROPS) ERROR("drops is not at PORT_DROPS");
if (PORT_MAX * PORT_LENGTH > PORTS_LENGTH) ERROR("PORTS outgrows its region");

/** The entry of an index below PORT_MAX, set or not (`kind` says). */
// @ts-ignore: decorator
@inline export function at(port: u32): Port {
  return changetype<Port>(<usize>PORTS + <usize>port * PORT_LENGTH);
}

// @ts-ignore: decorator
@inline export function isSet(port: u32): bool {
  return port < <u32>PORT_MAX && at(port).kind != PORT_NONE;
}

/** Whether ports of this kind carry other hosts' tunnels: they are in no domain. */
// @ts-ignore: decorator
@inline export function isUnderlay(kind: u32): bool {
  return kind == PORT_UNDERLAY || kind == PORT_ESP || kind == PORT_PATH_MTU;
}

/** Whether ports of this kind are in a bridge domain. */
// @ts-ignore: decorator
@inline export function isBridged(kind: u32): bool {
  return !isUnderlay(kind) && kind != PORT_PACKET;
}

/**
 * Whether frames of `port` in `domain` are to be copied, given that capture is on. An underlay port is seen from two sides: who
 * captures the port gets its datagrams (core/capture), who captures the domain the frames in them.
 */
export function captured(port: u32, domain: u32): bool {
  if ((domains.at(domain).flags & DOMAIN_FLAG_CAPTURE) != 0) return true;
  const entry = at(port);
  return !isUnderlay(entry.kind) && (capture.all() || (entry.flags & PORT_FLAG_CAPTURE) != 0);
}

/** Whether who sends by the port may be told of one more ICMP error this second; counts it if so. */
export function mayTellError(port: u32): bool {
  const entry = at(port);
  const now = clock.seconds();
  if (entry.second != now) {
    entry.second = now;
    entry.errors = 0;
  }
  if (entry.errors >= <u32>ICMP_ERRORS_PER_SECOND) return false;
  entry.errors++;
  return true;
}

/** Sets the entry and hangs it into its domain's list. The caller has checked ranges. */
export function set(port: u32, kind: u32, domain: u32, flags: u32, mtuBytes: u32): void {
  const entry = at(port);
  if (entry.kind != PORT_NONE) unlink(port);
  else memory.fill(changetype<usize>(entry), 0, PORT_LENGTH);
  entry.kind = <u8>kind;
  entry.flags = <u8>flags;
  entry.domain = <u16>domain;
  entry.mtuBytes = mtuBytes;
  if (isBridged(kind)) {
    const list = domains.at(domain);
    entry.next = list.firstPort;
    entry.previous = 0;
    if (list.firstPort != 0) at(<u32>list.firstPort - 1).previous = <u16>(port + 1);
    list.firstPort = <u16>(port + 1);
    list.ports++;
  }
}

export function remove(port: u32): void {
  const entry = at(port);
  if (entry.kind == PORT_NONE) return;
  unlink(port);
  entry.kind = <u8>PORT_NONE;
}

function unlink(port: u32): void {
  const entry = at(port);
  if (!isBridged(entry.kind)) return;
  const list = domains.at(entry.domain);
  if (entry.previous != 0) at(<u32>entry.previous - 1).next = entry.next;
  else list.firstPort = entry.next;
  if (entry.next != 0) at(<u32>entry.next - 1).previous = entry.previous;
  entry.next = 0;
  entry.previous = 0;
  list.ports--;
}

export function reset(): void {
  memory.fill(PORTS, 0, PORTS_LENGTH);
}
