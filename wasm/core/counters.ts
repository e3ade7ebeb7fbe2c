// Counters: what happened to packets, as u64 in COUNTERS (names in shared/counters.ts) and a few per port (shared/abi.ts).
// Nodes say what they did through these functions, so that the law rx + cloned + originated = tx + drops can't be missed:
// each packet passes exactly one of `drop`, `tx`, `txUnderlay`.
//
// not here: bytes of datagrams on the wire (a transmit descriptor has those), errors of the kernel (`settle` moves them).
//
import {
  EVENT_DROP, PORT_DROPS, PORT_KIND, PORT_LENGTH, PORT_PACKET, PORT_RX_BYTES, PORT_RX_PACKETS, PORT_TX_BYTES, PORT_TX_PACKETS, TX_DESCRIPTOR_LENGTH,
  TX_ERRNO, TX_PACKETS, TX_PORT, TX_SOCKET,
} from "../shared/abi";
import {
  COUNTER_RX, COUNTER_TX, DROP_BASE, DROP_SEND_QUEUE_FULL, DROP_SEND_REFUSED,
} from "../shared/counters";
import { COUNTERS, COUNTERS_LENGTH, PORTS, TX_RING } from "../shared/layout";
import { PORT_MAX } from "../shared/limits";
import { Packet, TRACED } from "./packet";
import * as trace from "./trace";

const EAGAIN: u32 = 11;
const ENOBUFS: u32 = 105;

// @ts-ignore: decorator
@inline export function add(counter: u32, n: u64): void {
  const at = <usize>COUNTERS + (<usize>counter << 3);
  store<u64>(at, load<u64>(at) + n);
}

// @ts-ignore: decorator
@inline function addToPort(port: u32, field: usize, n: u64): void {
  const at = <usize>PORTS + <usize>port * PORT_LENGTH + field;
  store<u64>(at, load<u64>(at) + n);
}

/** A frame came in by `packet.port`, an index below PORT_MAX: input nodes have checked. */
// @ts-ignore: decorator
@inline export function rx(packet: Packet): void {
  add(COUNTER_RX, 1);
  addToPort(packet.port, PORT_RX_PACKETS, 1);
  addToPort(packet.port, PORT_RX_BYTES, packet.length);
}

/** A descriptor, or an open aggregate that will be one, has taken the packet to the local port `packet.toPort`. */
// @ts-ignore: decorator
@inline export function tx(packet: Packet): void {
  add(COUNTER_TX, 1);
  addToPort(packet.toPort, PORT_TX_PACKETS, 1);
  addToPort(packet.toPort, PORT_TX_BYTES, packet.length);
}

/** A descriptor, or an open run, has taken the packet to a VTEP by the underlay port `port`. */
// @ts-ignore: decorator
@inline export function txUnderlay(packet: Packet, port: u32): void {
  add(COUNTER_TX, 1);
  addToPort(port, PORT_TX_PACKETS, 1);
  addToPort(port, PORT_TX_BYTES, packet.length);
}

/** The packet ends here, under one name. `node` is where, for the trace. */
export function dropAt(node: u32, packet: Packet, reason: u32): void {
  add(DROP_BASE + reason, 1);
  if (<u32>packet.port < <u32>PORT_MAX) addToPort(packet.port, PORT_DROPS, 1);
  if (packet.flags & TRACED) trace.line(packet, node, EVENT_DROP, reason, 0, 0);
}

/** The packet ends here, under one name; the node is the one that the graph is running. */
export function drop(packet: Packet, reason: u32): void {
  dropAt(trace.currentNode(), packet, reason);
}

/** Packets that counted as sent by `port` will not be after all. */
export function unsend(port: u32, packets: u32, reason: u32): void {
  add(COUNTER_TX, 0 - <u64>packets);
  add(DROP_BASE + reason, packets);
  if (port < <u32>PORT_MAX) {
    addToPort(port, PORT_TX_PACKETS, 0 - <u64>packets);
    addToPort(port, PORT_DROPS, packets);
  }
}

/** The port that has the packets of the descriptor in its figures: the one they leave by, or the uplink of that one. */
// @ts-ignore: decorator
@inline function countedAt(descriptor: usize): u32 {
  const port: u32 = load<u16>(descriptor, TX_PORT);
  if (port < <u32>PORT_MAX && load<u8>(<usize>PORTS + <usize>port * PORT_LENGTH, PORT_KIND) == PORT_PACKET) return load<u16>(descriptor, TX_SOCKET);
  return port;
}

/** After a flush: the packets of descriptors with an errno were not sent after all. */
export function settle(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const descriptor = <usize>TX_RING + <usize>i * TX_DESCRIPTOR_LENGTH;
    const errno: u32 = load<u16>(descriptor, TX_ERRNO);
    if (errno == 0) continue;
    const full = errno == EAGAIN || errno == ENOBUFS;
    unsend(countedAt(descriptor), load<u16>(descriptor, TX_PACKETS), full ? DROP_SEND_QUEUE_FULL : DROP_SEND_REFUSED);
    store<u16>(descriptor, 0, TX_ERRNO);
  }
}

export function reset(): void {
  memory.fill(COUNTERS, 0, COUNTERS_LENGTH);
}
