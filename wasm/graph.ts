// The graph: which node runs when. Nodes don't know each other; this file is the only one that knows them all.
//
//   tap-input ──────────────────┐                                                   ┌─> gro ────────┐
//   esp-decrypt ────────────┐
//   underlay-input ─> vxlan-decap ─> ethernet-input ─> policy ─> l2-learn ─> neighbor-proxy ─> l2-forward ┼─> vxlan-encap ─┼─> underlay-output
//   packet-input ───────────────┘                                                   ├─> packet-output
//                                                                                   └─> l2-flood ───┴─> port-output
//
// path-mtu stands alone: what it hears ends there. Encrypted networks take another way out and in: vxlan-encap ─> esp-encrypt, which fills runs itself, and esp-decrypt ─>
// vxlan-decap. The cipher is not in the graph: `prepare` says what to open before the run, the run says what to seal before the
// flush, and the host has both done as a batch (shared/aead).
//
// A batch (what one poll of native's received) is taken in chunks of at most RX_CHUNK packets, which stay in the first-level
// cache while they cross all nodes. A chunk crosses whole, learned before any of it is forwarded; then the next one.
//
//   run      ┌ chunk ┬ chunk ┬ ... until the batch is used up, or the transmit ring, header slots or scratch run low
//   flush    native sends what was filled
//   resume   └ chunk ┬ ... goes on at the same byte
//
// Floods multiply packets, so that one chunk may want more than all rings hold: l2-flood takes as much as there is room for
// and leaves the rest waiting in its vector; the outputs run; l2-flood again. If there is no room at all, the run ends in the
// middle of the chunk and resumes there. It runs after the outputs of unicast, when what is left is known.
//
// Runs and GRO aggregates are closed at the end of each run or resume: nothing points into the arenas when they are reset.
//
import {
  IOVEC_LENGTH, NODE_COUNT, NODE_ESP_DECRYPT, NODE_ESP_ENCRYPT, NODE_ETHERNET_INPUT, NODE_GRO, NODE_L2_FLOOD, NODE_L2_FORWARD, NODE_L2_LEARN, NODE_NEIGHBOR_PROXY, NODE_PACKET_INPUT,
  NODE_PACKET_OUTPUT, NODE_PATH_MTU, NODE_POLICY, NODE_PORT_OUTPUT, NODE_TAP_INPUT, NODE_UNDERLAY_INPUT, NODE_UNDERLAY_OUTPUT, NODE_VXLAN_DECAP, NODE_VXLAN_ENCAP, PORT_ESP, PORT_NONE, PORT_PACKET, PORT_PATH_MTU, PORT_UNDERLAY,
  RX_PORT, TX_DESCRIPTOR_LENGTH, TX_DESTINATION, TX_DESTINATION_PORT, TX_IOVEC, TX_LENGTH, TX_PORT, TX_SEGMENT,
} from "./shared/abi";
import { COUNTER_BATCHES } from "./shared/counters";
import { HEADERS_LENGTH, HEADER_SLOT_LENGTH, IOVECS, SCRATCH_LENGTH, TX_RING } from "./shared/layout";
import { AEAD_OPS } from "./shared/aead";
import { GRO_SLOTS, RUN_SLOTS, TX_RING_MAX } from "./shared/limits";
import { closeAggregates } from "./core/aggregates";
import * as arena from "./core/arena";
import * as capture from "./core/capture";
import { add } from "./core/counters";
import * as cursor from "./core/cursor";
import * as packets from "./core/packet";
import { closeRuns } from "./core/runs";
import * as seal from "./core/seal";
import * as trace from "./core/trace";
import * as transmit from "./core/transmit";
import { clear, waiting } from "./core/vector";
import * as ports from "./tables/port";
import { espDecrypt, forget as forgetOpened } from "./nodes/esp-decrypt";
import { espEncrypt, espProbe } from "./nodes/esp-encrypt";
import { ethernetInput } from "./nodes/ethernet-input";
import { gro } from "./nodes/gro";
import { l2Flood, reset as resetFlood } from "./nodes/l2-flood";
import { l2Forward } from "./nodes/l2-forward";
import { l2Learn } from "./nodes/l2-learn";
import { neighborProxy } from "./nodes/neighbor-proxy";
import { packetInput } from "./nodes/packet-input";
import { packetOutput } from "./nodes/packet-output";
import { pathMtu } from "./nodes/path-mtu";
import { policy } from "./nodes/policy";
import { portOutput } from "./nodes/port-output";
import { tapInput } from "./nodes/tap-input";
import { underlayInput } from "./nodes/underlay-input";
import { underlayOutput } from "./nodes/underlay-output";
import { vxlanDecap } from "./nodes/vxlan-decap";
import { vxlanEncap } from "./nodes/vxlan-encap";

const HEADER_SLOTS: u32 = HEADERS_LENGTH / HEADER_SLOT_LENGTH;
// Below a quarter of anything the run ends for a flush: a chunk without floods needs less than that, but for header slots and
// descriptors, of which super-frames may want one a segment (raw ESP knows no UDP_SEGMENT): these the cursor rations.
const TRANSMIT_LOW: u32 = TX_RING_MAX / 4;
const HEADERS_LOW: u32 = HEADER_SLOTS / 4;
const SCRATCH_LOW: u32 = SCRATCH_LENGTH / 4;
const OPERATIONS_LOW: u32 = AEAD_OPS / 2;

/** Descriptors that open runs and aggregates will take: none is of a segment that the cursor counts. */
const DESCRIPTORS_KEPT: u32 = RUN_SLOTS + GRO_SLOTS;

let suspended = false; // a flood waits for room

/** Takes a batch of `count` receive descriptors; answers transmit descriptors filled. */
export function run(count: u32): u32 {
  add(COUNTER_BATCHES, 1);
  cursor.open(count);
  return resume();
}

/** Descriptors that are not used up yet; at least 1 while a flood waits. */
export function pending(): u32 {
  const left = cursor.left();
  return left != 0 ? left : suspended ? 1 : 0;
}

/** Goes on after a flush; answers transmit descriptors filled. */
export function resume(): u32 {
  transmit.rewind();
  seal.rewind();
  arena.reset();
  let fresh = !suspended;
  if (suspended) finish();
  while (!suspended && cursor.left() != 0 && !low()) {
    cursor.openChunk(min(arena.headerSlotsLeft(), transmit.room() - DESCRIPTORS_KEPT), fresh);
    fresh = false;
    input();
    if (packets.free() == packets.PACKET_MAX) break;
    cross();
    finish();
  }
  closeAggregates();
  closeRuns();
  if (pending() == 0) forgetOpened();
  return transmit.filled();
}

/** The operations of SEAL_OPS have run: sealed datagrams are now what the wire will see, and captures may. */
export function sealed(): void {
  if (!capture.armed()) return;
  for (let i: u32 = 0; i < transmit.filled(); i++) {
    const descriptor = <usize>TX_RING + <usize>(i * TX_DESCRIPTOR_LENGTH);
    const port: u32 = load<u16>(descriptor, TX_PORT);
    if (ports.at(port).kind != PORT_ESP || !capture.wantsDatagrams(port)) continue;
    const length = load<u32>(descriptor, TX_LENGTH);
    const segment = load<u32>(descriptor, TX_SEGMENT);
    const pieces = <usize>IOVECS + <usize>(load<u32>(descriptor, TX_IOVEC) * IOVEC_LENGTH);
    capture.sent(
      port, 0, load<u32>(descriptor, TX_DESTINATION), load<u32>(descriptor, TX_DESTINATION_PORT), pieces,
      segment == 0 ? length : segment, length,
    );
  }
}

function low(): bool {
  return transmit.room() < TRANSMIT_LOW || arena.headerSlotsLeft() < HEADERS_LOW || arena.scratchLeft() < SCRATCH_LOW ||
    seal.room() < OPERATIONS_LOW;
}

/** Fills the chunk. Each input node takes descriptors of its kind as long as they follow each other. */
function input(): void {
  while (cursor.more()) {
    const left = cursor.left();
    const taken = cursor.taken();
    const port: u32 = load<u16>(cursor.descriptor(), RX_PORT);
    const kind: u32 = ports.isSet(port) ? ports.at(port).kind : PORT_NONE;
    if (kind == PORT_UNDERLAY) {
      trace.enter(NODE_UNDERLAY_INPUT);
      underlayInput();
    } else if (kind == PORT_ESP) {
      trace.enter(NODE_ESP_DECRYPT);
      espDecrypt();
    } else if (kind == PORT_PATH_MTU) {
      trace.enter(NODE_PATH_MTU);
      pathMtu();
    } else if (kind == PORT_PACKET) {
      trace.enter(NODE_PACKET_INPUT);
      packetInput();
    } else {
      trace.enter(NODE_TAP_INPUT);
      tapInput();
    }
    if (cursor.left() == left && cursor.taken() == taken) return; // no room for what stands next
  }
}

/** Takes the chunk from the inputs to all outputs but the floods'. */
function cross(): void {
  trace.enter(NODE_VXLAN_DECAP);
  vxlanDecap();
  trace.enter(NODE_ETHERNET_INPUT);
  ethernetInput();
  trace.enter(NODE_POLICY);
  policy();
  trace.enter(NODE_L2_LEARN);
  l2Learn();
  trace.enter(NODE_NEIGHBOR_PROXY);
  neighborProxy();
  trace.enter(NODE_L2_FORWARD);
  l2Forward();
  output();
}

function output(): void {
  trace.enter(NODE_GRO);
  gro();
  trace.enter(NODE_VXLAN_ENCAP);
  vxlanEncap();
  trace.enter(NODE_ESP_ENCRYPT);
  espEncrypt();
  trace.enter(NODE_UNDERLAY_OUTPUT);
  underlayOutput();
  trace.enter(NODE_PACKET_OUTPUT);
  packetOutput();
  trace.enter(NODE_PORT_OUTPUT);
  portOutput();
}

/** Outside of a batch: a datagram of the tunnel's own to a VTEP; answers transmit descriptors filled. */
export function probe(vtep: u32, kind: u32): u32 {
  transmit.rewind();
  seal.rewind();
  arena.reset();
  packets.reset();
  trace.enter(NODE_ESP_ENCRYPT);
  espProbe(vtep, kind);
  packets.reset();
  closeRuns();
  return transmit.filled();
}

/** Floods what waits until it is done or there is no room: then the chunk stays suspended. */
function finish(): void {
  suspended = false;
  const mark = packets.mark();
  while (waiting(NODE_L2_FLOOD) != 0) {
    trace.enter(NODE_L2_FLOOD);
    const some = l2Flood();
    output();
    packets.rewind(mark); // the clones have left
    if (!some) {
      suspended = true;
      return;
    }
  }
  packets.reset();
}

export function reset(): void {
  suspended = false;
  resetFlood();
  seal.reset();
  forgetOpened();
  cursor.open(0);
  packets.reset();
  for (let node: u32 = 0; node < <u32>NODE_COUNT; node++) clear(node);
}
