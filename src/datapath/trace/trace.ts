// Traces: the lines that the engine wrote about single packets, in words and with the names of the declarations.
import {
  EVENT_ANSWERED,
  EVENT_CLAMPED,
  EVENT_CLONED,
  EVENT_COALESCED,
  EVENT_DROP,
  EVENT_ENTER,
  EVENT_FDB_HIT,
  EVENT_FDB_MISS,
  EVENT_FROM_VTEP,
  EVENT_LEARNED,
  EVENT_NEXT,
  EVENT_PATH_MTU,
  EVENT_SEGMENTED,
  EVENT_SENT,
  EVENT_TO_PORT,
  EVENT_TO_VTEP,
  EVENT_TOO_BIG,
  NODE_NAMES,
  TRACE_A,
  TRACE_B,
  TRACE_C,
  TRACE_DOMAIN,
  TRACE_ENTRY_LENGTH,
  TRACE_EVENT,
  TRACE_LENGTH,
  TRACE_NODE,
  TRACE_PACKET,
} from "../../../wasm/shared/abi.ts";
import { DROP_NAMES, DROP_TEXTS } from "../../../wasm/shared/counters.ts";
import { TRACE_RING_LENGTH } from "../../../wasm/shared/layout.ts";
import type { TraceLine } from "../datapath-api.ts";
import { macText } from "../words.ts";

const RING_ENTRIES = TRACE_RING_LENGTH / TRACE_ENTRY_LENGTH;

/** What engine indexes are called; undefined for those nobody has. */
export interface Names {
  readonly port: (index: number) => string | undefined;
  readonly domain: (index: number) => string | undefined;
  readonly vtep: (index: number) => string | undefined;
}

export interface DecodedTrace {
  readonly lines: TraceLine[];
  readonly lost: number;
  /** Different packets seen. */
  readonly packets: number;
}

/** Lines `from` up to, not including, `to` of all that were ever written; those that the ring has overwritten are lost. */
export function decodeTrace(ring: Uint8Array, from: number, to: number, names: Names): DecodedTrace {
  const view = new DataView(ring.buffer, ring.byteOffset, ring.byteLength);
  const written = (to - from) >>> 0;
  const kept = Math.min(written, RING_ENTRIES);
  const numbers = new Map<number, number>();
  const lines: TraceLine[] = [];
  for (let i = written - kept; i < written; i++) {
    const at = (((from + i) >>> 0) % RING_ENTRIES) * TRACE_ENTRY_LENGTH;
    const id = view.getUint32(at + TRACE_PACKET, true);
    let packet = numbers.get(id);
    if (packet === undefined) {
      packet = numbers.size + 1;
      numbers.set(id, packet);
    }
    const domain = view.getUint32(at + TRACE_DOMAIN, true);
    lines.push({
      packet,
      node: NODE_NAMES[view.getUint16(at + TRACE_NODE, true)] ?? `node ${view.getUint16(at + TRACE_NODE, true)}`,
      ...inWords(view, at, names),
      domain: names.domain(domain) ?? "",
    });
  }
  return { lines, lost: written - kept, packets: numbers.size };
}

function inWords(view: DataView, at: number, names: Names): { event: string; text: string } {
  const event = view.getUint16(at + TRACE_EVENT, true);
  const a = view.getUint32(at + TRACE_A, true);
  const b = view.getUint32(at + TRACE_B, true);
  const length = view.getUint32(at + TRACE_LENGTH, true);
  const c = view.getBigUint64(at + TRACE_C, true);
  const port = (index: number): string => `port ${names.port(index) ?? `#${index}`}`;
  const vtep = (index: number): string => `VTEP ${names.vtep(index) ?? `#${index}`}`;
  const place = b === 0 ? port(a) : vtep(b);
  const mac = macText(Number((c >> 32n) & 0xffffn), Number(c & 0xffffffffn));
  switch (event) {
    case EVENT_ENTER:
      return { event: "enter", text: `${length} bytes from ${port(a)}` };
    case EVENT_NEXT:
      return { event: "next", text: `to ${NODE_NAMES[a] ?? `node ${a}`}` };
    case EVENT_DROP:
      return { event: "drop", text: `${DROP_NAMES[a] ?? `reason ${a}`}: ${DROP_TEXTS[a] ?? "no such reason here"}` };
    case EVENT_TO_PORT:
      return { event: "to-port", text: `to ${port(a)}` };
    case EVENT_TO_VTEP:
      return { event: "to-vtep", text: `to ${vtep(a)} with VNI ${b}` };
    case EVENT_FDB_HIT:
      return { event: "fdb-hit", text: `${mac} is behind ${place}` };
    case EVENT_FDB_MISS:
      return { event: "fdb-miss", text: `${mac} is not known` };
    case EVENT_LEARNED:
      return { event: "learned", text: `${mac} is behind ${place}` };
    case EVENT_CLONED:
      return { event: "cloned", text: `a copy for ${place}` };
    case EVENT_SEGMENTED:
      return { event: "segmented", text: `into ${a} segments of ${b} bytes` };
    case EVENT_COALESCED:
      return { event: "coalesced", text: `segment ${a} of a super-frame` };
    case EVENT_ANSWERED:
      return { event: "answered", text: `answered here: it is at ${mac}` };
    case EVENT_CLAMPED:
      return { event: "clamped", text: `TCP MSS from ${a} to ${b}` };
    case EVENT_TOO_BIG:
      return { event: "too-big", text: `the sender is told an MTU of ${a}` };
    case EVENT_FROM_VTEP:
      return { event: "from-vtep", text: `from ${vtep(a)} with VNI ${b}` };
    case EVENT_SENT:
      return { event: "sent", text: `${b} datagram${b === 1 ? "" : "s"} by ${port(a)}` };
    case EVENT_PATH_MTU:
      return { event: "path-mtu", text: `the path to ${vtep(a)} carries ${b} bytes` };
    default:
      return { event: `event-${event}`, text: `a ${a}, b ${b}, c ${c}` };
  }
}
