// underlay-output: datagrams join the runs that the kernel takes in one call; super-frames are cut on their way there.
//
// in   vxlan-encap: toVtep and its underlay port are there
// out  runs (core/runs), closed at the end of the batch at the latest; drops BAD_GSO, ENGINE_FULL (core/segment)
//
// Which of the underlay port's sockets takes a flow depends on the flow alone: its source port is the entropy by which the
// fabric's switches and the receiver's NIC spread flows (RFC 7348 section 5), and a flow on one path keeps its order.
//
// What goes to a VTEP whose path is in doubt is shown to tables/doubt; of a super-frame, its first segment.
//
import { EVENT_SENT, NODE_UNDERLAY_OUTPUT } from "../shared/abi";
import { txUnderlay } from "../core/counters";
import * as runs from "../core/runs";
import { firstHead, segment } from "../core/segment";
import * as trace from "../core/trace";
import { clear, packetAt, waiting } from "../core/vector";
import * as domains from "../tables/bridge-domain";
import * as doubt from "../tables/doubt";
import * as ports from "../tables/port";
import * as vteps from "../tables/vtep";
import * as vxlan from "../wire/vxlan";

export function underlayOutput(): void {
  const n = waiting(NODE_UNDERLAY_OUTPUT);
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_UNDERLAY_OUTPUT, i);
    const vtep = vteps.at(packet.toVtep);
    const port: u32 = vtep.port;
    // The hash scaled to the number of sockets: its high bits decide, no division.
    const socket = <u32>((<u64>packet.flow * <u64>ports.at(port).sockets) >> 32);
    const run = runs.select(packet.toVtep, socket, port, changetype<usize>(vtep), vtep.udpPort);
    if (packet.gso == 0) {
      if (vtep.doubt != 0) doubt.note(packet.toVtep, packet.offset, packet.length, 0, 0);
      runs.addWhole(run, packet.offset, packet.length);
    } else if (!segment(packet, run, vxlan.header(domains.at(packet.domain).vni))) {
      continue;
    } else if (vtep.doubt != 0) {
      const payload: u32 = packet.payload;
      const first = min<u32>(packet.segment, packet.length - payload);
      doubt.note(packet.toVtep, firstHead(), vxlan.LENGTH + payload, <usize>packet.offset + payload, first);
    }
    txUnderlay(packet, port);
    trace.mark(packet, EVENT_SENT, port, 1, 0);
  }
  clear(NODE_UNDERLAY_OUTPUT);
}
