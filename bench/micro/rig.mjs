// An engine without a daemon: the built module over a memory of its own, frames put in its receive ring by hand. What these
// benchmarks time is the graph alone; a system call costs ten to twenty times as much, so read the figures as shares of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const shared = (name) => import(join(ROOT, "build/dist/wasm/shared", `${name}.js`));

export const abi = await shared("abi");
export const counters = await shared("counters");
export const layout = await shared("layout");
export const limits = await shared("limits");

export const UNDERLAY = 1;
export const VNI = 4096;
const VTEP = 1;
const DOMAIN = 1;
const MTU = 1450;

/** A reset engine: one network, its VTEP behind port 1, sandboxes at ports 2 to 5 with MACs 02:00:00:00:00:02 to :05. */
export async function engine({ fdbSlots = limits.FDB_SLOTS_DEFAULT, mtu = MTU } = {}) {
  const memory = new WebAssembly.Memory({ initial: layout.MEMORY_PAGES, maximum: layout.MEMORY_PAGES });
  const file = process.env.WEFT_ENGINE ?? join(ROOT, "build/wasm/engine.release.wasm");
  const { instance } = await WebAssembly.instantiate(readFileSync(file), { env: { memory } });
  return new Rig(instance.exports, memory, fdbSlots, mtu);
}

class Rig {
  constructor(exports, memory, fdbSlots, mtu) {
    this.exports = exports;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.frames = [];
    exports.reset(fdbSlots);
    exports.tick(0);
    exports.domainSet(DOMAIN, VNI, abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_HAS_VNI, mtu, limits.FDB_SLOTS_MAX, 300);
    exports.portSet(UNDERLAY, abi.PORT_UNDERLAY, 0, 0, 1500);
    exports.underlaySet(UNDERLAY, 4789, limits.ENTROPY_SOCKETS);
    this.bytes.set(address(192, 0, 2, 2), layout.ARGUMENTS);
    exports.vtepSet(VTEP, 4789, UNDERLAY);
    exports.memberSet(DOMAIN, VTEP);
    for (let port = 2; port <= 5; port++) {
      exports.portSet(port, abi.PORT_TAP, DOMAIN, 0, mtu);
      exports.fdbSet(DOMAIN, 0x0200, port, port, 0);
    }
    // MACs 02:00:00:00:01:xx live behind the VTEP.
    for (let host = 0; host < 16; host++) exports.fdbSet(DOMAIN, 0x0200, 0x100 + host, 0, VTEP);
    this.clear();
  }

  clear() {
    this.next = layout.RX_ARENA + limits.HEADROOM;
    this.frames = [];
  }

  #describe(offset, length, port, segment) {
    const at = layout.RX_RING + this.frames.length * abi.RX_DESCRIPTOR_LENGTH;
    this.view.setUint32(at + abi.RX_OFFSET, offset, true);
    this.view.setUint32(at + abi.RX_LENGTH, length, true);
    this.view.setUint16(at + abi.RX_PORT, port, true);
    this.view.setUint16(at + abi.RX_SEGMENT, segment, true);
    this.view.setUint32(at + abi.RX_FLAGS, 0, true);
    this.next = (offset + length + limits.HEADROOM + limits.TAILROOM + 15) & ~15;
  }

  /** A frame behind its vnet_hdr, as a TAP gives it. */
  fromTap(port, vnet, frame) {
    const at = this.next;
    this.bytes.set(vnet, at);
    this.bytes.set(frame, at + vnet.length);
    this.#describe(at, vnet.length + frame.length, port, 0);
    // The engine writes to these bytes (tunnel header, checksum): they are put back before each turn.
    this.frames.push({ at, head: vnet.slice() });
  }

  /** Frames of one size from the VTEP as one UDP_GRO buffer. */
  fromVtep(frames) {
    const at = this.next;
    const size = frames[0].length + 8;
    let p = at;
    for (const frame of frames) {
      this.view.setUint32(p, 0x08000000);
      this.view.setUint32(p + 4, VNI << 8);
      this.bytes.set(frame, p + 8);
      p += 8 + frame.length;
    }
    this.bytes.set(address(192, 0, 2, 2), at + abi.RX_SENDER_ADDRESS);
    this.#describe(at, p - at, UNDERLAY, frames.length > 1 ? size : 0);
    this.frames.push({ at, head: this.bytes.slice(at, at) });
  }

  restore() {
    const { bytes, frames } = this;
    for (let i = 0; i < frames.length; i++) {
      const { at, head } = frames[i];
      for (let j = 0; j < head.length; j++) bytes[at + j] = head[j];
    }
  }

  /** One batch; answers the descriptors that native would have sent. */
  run() {
    const { exports } = this;
    let sent = exports.run(this.frames.length);
    while (exports.pending() !== 0) sent += exports.resume();
    return sent;
  }

  counter(index) {
    return Number(this.view.getBigUint64(layout.COUNTERS + 8 * index, true));
  }

  drops() {
    let sum = 0;
    for (let i = 0; i < counters.DROP_COUNT; i++) sum += this.counter(counters.DROP_BASE + i);
    return sum;
  }
}

function address(a, b, c, d) {
  return [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
}

/** Median of `rounds` rounds of at least `ms` milliseconds, in nanoseconds a turn. */
export function time(turn, { rounds = 5, ms = 60 } = {}) {
  const once = (count) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) turn();
    return Number(process.hrtime.bigint() - start);
  };
  let count = 16;
  // Warm-up: V8 compiles the engine's functions again while they run.
  for (let warm = 0; warm < 150e6; ) warm += once(count);
  while (once(count) < ms * 1e6) count *= 2;
  const results = Array.from({ length: rounds }, () => once(count) / count).sort((a, b) => a - b);
  return results[rounds >> 1];
}
