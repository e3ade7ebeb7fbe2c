// Records of the engine's capture ring (picture in wasm/shared/abi.ts). The engine has no clock: the worker stamps the records
// of a batch when the batch is done, some ten microseconds after its frames were received.
import {
  CAPTURE_DIRECTION,
  CAPTURE_DOMAIN,
  CAPTURE_HEADER_LENGTH,
  CAPTURE_LENGTH,
  CAPTURE_PORT,
  CAPTURE_RECORD,
  CAPTURE_TIME_NS,
} from "../../wasm/shared/abi.ts";

export interface CaptureRecord {
  readonly port: number;
  readonly domain: number;
  /** DIRECTION_RX or DIRECTION_TX, from the port's view. */
  readonly direction: number;
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
}

/** Offsets of the records; ends at a record that contradicts itself, for its length is what leads to the next. */
function* offsets(view: DataView): Generator<number> {
  let at = 0;
  while (at + CAPTURE_HEADER_LENGTH <= view.byteLength) {
    const record = view.getUint32(at + CAPTURE_RECORD, true);
    if (record < CAPTURE_HEADER_LENGTH || at + record > view.byteLength) return;
    yield at;
    at += record;
  }
}

export function stampCapture(records: Uint8Array<ArrayBuffer>, timeNs: bigint): void {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (const at of offsets(view)) view.setBigUint64(at + CAPTURE_TIME_NS, timeNs, true);
}

export function* captureRecords(records: Uint8Array): Generator<CaptureRecord> {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (const at of offsets(view)) {
    const length = Math.min(view.getUint32(at + CAPTURE_LENGTH, true), view.getUint32(at + CAPTURE_RECORD, true) - CAPTURE_HEADER_LENGTH);
    yield {
      port: view.getUint16(at + CAPTURE_PORT, true),
      direction: view.getUint16(at + CAPTURE_DIRECTION, true),
      domain: view.getUint32(at + CAPTURE_DOMAIN, true),
      timeNs: view.getBigUint64(at + CAPTURE_TIME_NS, true),
      bytes: records.subarray(at + CAPTURE_HEADER_LENGTH, at + CAPTURE_HEADER_LENGTH + length),
    };
  }
}
