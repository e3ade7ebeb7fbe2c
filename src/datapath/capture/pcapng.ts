// pcapng (draft-ietf-opsawg-pcapng): the blocks of a capture file as bytes.
//
//   section header ─> interface description ... ─> enhanced packet ...
//
//   0            4              8                         n-4
//   ┌────────────┬──────────────┬─────────────────────────┬──────────────┐
//   │ block type │ total length │ body, padded to 4 bytes │ total length │   little-endian throughout
//   └────────────┴──────────────┴─────────────────────────┴──────────────┘
//
// Times are in nanoseconds (if_tsresol 9). Interfaces may be described at any place before their first packet, so that a
// capture can go on while ports come and go.
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

const OPTION_END = 0;
const OPTION_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;

export const LINKTYPE_ETHERNET = 1;
/** IPv4 or IPv6 without a link header. */
export const LINKTYPE_RAW = 101;

export const INBOUND = 1;
export const OUTBOUND = 2;

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

const encoder = new TextEncoder();
const text = (code: number, value: string): Option => ({ code, value: encoder.encode(value) });
const padded = (length: number): number => (length + 3) & ~3;

function block(
  type: number,
  body: (view: DataView, bytes: Uint8Array) => void,
  bodyLength: number,
  options: readonly Option[],
): Uint8Array<ArrayBuffer> {
  const optionsLength = options.length === 0 ? 0 : options.reduce((sum, option) => sum + 4 + padded(option.value.length), 4);
  const length = 12 + padded(bodyLength) + optionsLength;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, length, true);
  body(new DataView(bytes.buffer, 8), bytes.subarray(8));
  let at = 8 + padded(bodyLength);
  for (const { code, value } of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  if (options.length > 0) view.setUint32(at, OPTION_END, true);
  view.setUint32(length - 4, length, true);
  return bytes;
}

export function sectionHeader(application: string, comment?: string): Uint8Array<ArrayBuffer> {
  const options = [text(SHB_USERAPPL, application)];
  if (comment !== undefined) options.unshift(text(OPTION_COMMENT, comment));
  return block(
    SECTION_HEADER,
    (view) => {
      view.setUint32(0, BYTE_ORDER_MAGIC, true);
      view.setUint16(4, 1, true);
      view.setUint16(6, 0, true);
      view.setBigInt64(8, -1n, true); // length of the section: not known
    },
    16,
    options,
  );
}

export function interfaceDescription(name: string, linkType: number, snapLength: number, description?: string): Uint8Array<ArrayBuffer> {
  const options = [text(IF_NAME, name)];
  if (description !== undefined) options.push(text(IF_DESCRIPTION, description));
  options.push({ code: IF_TSRESOL, value: Uint8Array.of(9) });
  return block(
    INTERFACE_DESCRIPTION,
    (view) => {
      view.setUint16(0, linkType, true);
      view.setUint32(4, snapLength, true);
    },
    8,
    options,
  );
}

export interface CapturedFrame {
  /** Number of the interface description block in this section, from 0. */
  readonly interfaceId: number;
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
  /** Before it was cut to `bytes`. */
  readonly originalLength: number;
  /** INBOUND or OUTBOUND, from the interface's view. */
  readonly direction: number;
  readonly comment?: string;
}

export function enhancedPacket(frame: CapturedFrame): Uint8Array<ArrayBuffer> {
  const flags = new Uint8Array(4);
  new DataView(flags.buffer).setUint32(0, frame.direction, true);
  const options: Option[] = [{ code: EPB_FLAGS, value: flags }];
  if (frame.comment !== undefined) options.unshift(text(OPTION_COMMENT, frame.comment));
  return block(
    ENHANCED_PACKET,
    (view, bytes) => {
      view.setUint32(0, frame.interfaceId, true);
      view.setUint32(4, Number(frame.timeNs >> 32n), true);
      view.setUint32(8, Number(frame.timeNs & 0xffffffffn), true);
      view.setUint32(12, frame.bytes.length, true);
      view.setUint32(16, frame.originalLength, true);
      bytes.set(frame.bytes, 20);
    },
    20 + frame.bytes.length,
    options,
  );
}

export function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
