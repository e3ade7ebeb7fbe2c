// The batch that trapped the engine, as a pcapng file that tshark opens and a test can replay: what was received, frame by
// frame, in order, with what the file format has no place for (the virtio-net header, the sender) in comments.
//
// Datagrams of the underlay get outer headers again (outer-headers.ts), as in a capture.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  RX_FLAGS,
  RX_LENGTH,
  RX_LOCAL_ADDRESS,
  RX_OFFSET,
  RX_PORT,
  RX_SEGMENT,
  RX_SENDER_ADDRESS,
  RX_SENDER_PORT,
  VNET_HEADER_LENGTH,
} from "../../../wasm/shared/abi.ts";
import { MEMORY_LENGTH } from "../../../wasm/shared/layout.ts";
import { HEADROOM } from "../../../wasm/shared/limits.ts";
import { makeFolders } from "../../paths.ts";
import { outerHeaders } from "../capture/outer-headers.ts";
import {
  concat,
  enhancedPacket,
  INBOUND,
  interfaceDescription,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  sectionHeader,
} from "../capture/pcapng.ts";
import { sum } from "../internet-checksum.ts";
import { rxDescriptor, type Views } from "../memory.ts";

/** A bug that a stranger's frames can hit must not fill the disk. */
const FILES_MAX = 32;

/** What is known of a port here: a frame has a virtio-net header, a datagram came to this UDP port. */
export type PortFraming = FramePort | DatagramPort;
interface FramePort {
  readonly kind: "tap" | "packet";
}
interface DatagramPort {
  readonly kind: "udp" | "icmp";
  readonly udpPort: number;
}

const isFrame = (port: PortFraming): port is FramePort => port.kind === "tap" || port.kind === "packet";

export interface TrapBatch {
  readonly views: Views;
  /** Receive descriptors in the batch. */
  readonly count: number;
  readonly framings: ReadonlyMap<number, PortFraming>;
  readonly reason: string;
  readonly timeNs: bigint;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The batch as pcapng. Descriptors that point outside of the memory (they may be what was wrong) are named and left out. */
function trapCapture(batch: TrapBatch): Uint8Array<ArrayBuffer> {
  const { bytes, data } = batch.views;
  const chunks: Uint8Array[] = [sectionHeader("weft", `received in the batch that trapped the engine: ${batch.reason}`)];
  const interfaces = new Map<number, number>();
  for (let i = 0; i < batch.count; i++) {
    const at = rxDescriptor(i);
    const offset = data.getUint32(at + RX_OFFSET, true);
    const length = data.getUint32(at + RX_LENGTH, true);
    const port = data.getUint16(at + RX_PORT, true);
    const segment = data.getUint16(at + RX_SEGMENT, true);
    const flags = data.getUint32(at + RX_FLAGS, true);
    const framing = batch.framings.get(port) ?? { kind: "tap" };
    let interfaceId = interfaces.get(port);
    if (interfaceId === undefined) {
      interfaceId = interfaces.size;
      interfaces.set(port, interfaceId);
      chunks.push(interfaceDescription(`port ${port}`, isFrame(framing) ? LINKTYPE_ETHERNET : LINKTYPE_RAW, 0));
    }
    if (offset < HEADROOM || offset + length > MEMORY_LENGTH) continue;
    const emit = (frame: Uint8Array, comment: string): void => {
      chunks.push(
        enhancedPacket({ interfaceId, timeNs: batch.timeNs, bytes: frame, originalLength: frame.length, direction: INBOUND, comment }),
      );
    };
    const head = `descriptor ${i}, flags ${flags}`;
    if (isFrame(framing)) {
      const header = bytes.subarray(offset, offset + Math.min(length, VNET_HEADER_LENGTH));
      emit(bytes.subarray(offset + header.length, offset + length), `${head}, virtio-net header ${hex(header)}`);
    } else {
      const sender = bytes.subarray(offset + RX_SENDER_ADDRESS, offset + RX_SENDER_ADDRESS + 16);
      const local = bytes.subarray(offset + RX_LOCAL_ADDRESS, offset + RX_LOCAL_ADDRESS + 16);
      const senderPort = data.getUint16(offset + RX_SENDER_PORT, true);
      const step = segment === 0 ? Math.max(length, 1) : segment;
      for (let from = 0; from < Math.max(length, 1); from += step) {
        const payload = bytes.subarray(offset + from, offset + Math.min(from + step, length));
        const headers = outerHeaders({
          source: sender,
          sourcePort: senderPort,
          destination: local,
          destinationPort: framing.udpPort,
          payloadLength: payload.length,
          payloadSum: sum(payload),
        });
        emit(concat([headers, payload]), `${head}, segment ${segment}`);
      }
    }
  }
  return concat(chunks);
}

/** Writes the batch into `folder`; the file's path, or null when there are enough of them. */
export function saveTrap(folder: string, batch: TrapBatch): string | null {
  makeFolders(folder, 0o700);
  if (readdirSync(folder).length >= FILES_MAX) return null;
  const file = join(folder, `trap-${batch.timeNs}.pcapng`);
  writeFileSync(file, trapCapture(batch), { mode: 0o600, flag: "wx" });
  return file;
}
