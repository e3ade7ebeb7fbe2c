// port-output: a frame leaves by a local port.
//
// in   l2-flood's copies (SHARED), what neighbor-proxy and policy compose (ORIGINATED): toPort is set and up
// out  a transmit descriptor each (core/deliver), in order; drops TX_RING_FULL, ENGINE_FULL
// not  here: unicast, which goes by gro
//
import { DIRECTION_TX, NODE_PORT_OUTPUT } from "../shared/abi";
import * as capture from "../core/capture";
import { deliver } from "../core/deliver";
import { clear, packetAt, waiting } from "../core/vector";
import * as ports from "../tables/port";

export function portOutput(): void {
  const n = waiting(NODE_PORT_OUTPUT);
  const capturing = capture.armed();
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_PORT_OUTPUT, i);
    if (capturing && ports.captured(packet.toPort, packet.domain)) capture.copy(packet, packet.toPort, DIRECTION_TX);
    deliver(packet);
  }
  clear(NODE_PORT_OUTPUT);
}
