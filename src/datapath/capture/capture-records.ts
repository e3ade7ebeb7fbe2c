// Records of the engine's capture ring (picture in wasm/shared/abi.ts). The engine has no clock: the worker stamps the records
// of a batch when the batch is done, some ten microseconds after its frames were received.
import {
  CAPTURE_DATAGRAM,
  CAPTURE_DATAGRAM_HEADER_LENGTH,
  CAPTURE_DIRECTION,
  CAPTURE_DOMAIN,
  CAPTURE_HEADER_LENGTH,
  CAPTURE_KIND,
  CAPTURE_LENGTH,
  CAPTURE_LOCAL_ADDRESS,
  CAPTURE_ORIGINAL,
  CAPTURE_PORT,
  CAPTURE_RECORD,
  CAPTURE_REMOTE_ADDRESS,
  CAPTURE_REMOTE_PORT,
  CAPTURE_SOCKET,
  CAPTURE_SUM,
  CAPTURE_TIME_NS,
} from "../../../wasm/shared/abi.ts";
import { swap16 } from "../internet-checksum.ts";

export interface CaptureRecord {
  readonly port: number;
  readonly domain: number;
  /** DIRECTION_RX or DIRECTION_TX, from the port's view. */
  readonly direction: number;
  readonly timeNs: bigint;
  /** An Ethernet frame, or what of the outer headers of `bytes` is known: then these are the payload of a datagram. */
  readonly datagram: DatagramRecord | null;
  readonly bytes: Uint8Array;
  /** Bytes that there were before they were cut to `bytes`. */
  readonly originalLength: number;
}

/** Addresses in their 16-byte form. */
export interface DatagramRecord {
  readonly remoteAddress: Uint8Array;
  readonly remotePort: number;
  /** Zero where only the host knows it. */
  readonly localAddress: Uint8Array;
  /** Of sent ones: which of the port's transmit sockets. */
  readonly socket: number;
  /** Of all of the payload, folded. */
  readonly sum: number;
}

/** Offsets of the records; ends at a record that contradicts itself, for its length is what leads to the next. */
function* offsets(view: DataView): Generator<number> {
  let at = 0;
  while (at + CAPTURE_HEADER_LENGTH <= view.byteLength) {
    const record = view.getUint32(at + CAPTURE_RECORD, true);
    const headers = isDatagram(view, at) ? CAPTURE_DATAGRAM_HEADER_LENGTH : CAPTURE_HEADER_LENGTH;
    if (at + record > view.byteLength || headers + view.getUint32(at + CAPTURE_LENGTH, true) > record) return;
    yield at;
    at += record;
  }
}

const isDatagram = (view: DataView, at: number): boolean => view.getUint32(at + CAPTURE_KIND, true) === CAPTURE_DATAGRAM;

export function stampCapture(records: Uint8Array<ArrayBuffer>, timeNs: bigint): void {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (const at of offsets(view)) view.setBigUint64(at + CAPTURE_TIME_NS, timeNs, true);
}

export function* captureRecords(records: Uint8Array): Generator<CaptureRecord> {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const address = (at: number): Uint8Array => records.subarray(at, at + 16);
  for (const at of offsets(view)) {
    const datagram = isDatagram(view, at)
      ? {
          remoteAddress: address(at + CAPTURE_REMOTE_ADDRESS),
          remotePort: view.getUint16(at + CAPTURE_REMOTE_PORT, true),
          localAddress: address(at + CAPTURE_LOCAL_ADDRESS),
          socket: view.getUint16(at + CAPTURE_SOCKET, true),
          sum: swap16(view.getUint16(at + CAPTURE_SUM, true)),
        }
      : null;
    const from = at + (datagram === null ? CAPTURE_HEADER_LENGTH : CAPTURE_DATAGRAM_HEADER_LENGTH);
    yield {
      port: view.getUint16(at + CAPTURE_PORT, true),
      direction: view.getUint16(at + CAPTURE_DIRECTION, true),
      domain: view.getUint32(at + CAPTURE_DOMAIN, true),
      timeNs: view.getBigUint64(at + CAPTURE_TIME_NS, true),
      datagram,
      bytes: records.subarray(from, from + view.getUint32(at + CAPTURE_LENGTH, true)),
      originalLength: view.getUint32(at + CAPTURE_ORIGINAL, true),
    };
  }
}
