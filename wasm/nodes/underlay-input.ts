// underlay-input: datagrams that other hosts sent become packets.
//
// in   receive descriptors of underlay ports, each with one datagram or many of one sender
// out  vxlan-decap: a packet a datagram, offset at its first byte; `vtep` is the sender's, 0 if we know none at that address:
//      a buffer has one sender, so this is looked up once for all its datagrams
//      drops TRUNCATED
//      a capture of the port gets its copies here, where also those that nobody will want are whole
// not  here: whether that VTEP may speak in the network it names (vxlan-decap)
//
import {
  NODE_VXLAN_DECAP, PORT_UNDERLAY, RX_FLAGS, RX_FLAG_INJECTED, RX_LENGTH, RX_OFFSET, RX_PORT, RX_SENDER_ADDRESS,
} from "../shared/abi";
import { DROP_TRUNCATED } from "../shared/counters";
import * as capture from "../core/capture";
import { drop } from "../core/counters";
import * as cursor from "../core/cursor";
import * as datagrams from "../core/datagrams";
import * as trace from "../core/trace";
import { send } from "../core/vector";
import * as ports from "../tables/port";
import * as vteps from "../tables/vtep";

export function underlayInput(): void {
  const tracing = trace.armed();
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const port: u32 = load<u16>(descriptor, RX_PORT);
    if (!ports.isSet(port) || ports.at(port).kind != PORT_UNDERLAY) return;
    const buffer = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const injected = (load<u16>(descriptor, RX_FLAGS) & RX_FLAG_INJECTED) != 0;
    const truncated = datagrams.truncated(descriptor);
    const segment = datagrams.segment(descriptor);
    const vtep = vteps.find(<usize>buffer + RX_SENDER_ADDRESS);
    const captured = capture.armed() && capture.wantsDatagrams(port);
    let left = length - cursor.taken();
    do {
      if (!cursor.fits(1)) return;
      const packet = datagrams.takeNext(port, buffer, segment, left);
      left -= packet.length;
      packet.vtep = <u16>vtep;
      if (captured) capture.received(port, buffer, packet.offset, packet.length);
      if (injected) trace.begin(packet);
      else if (tracing) trace.considerPort(packet);
      if (truncated) drop(packet, DROP_TRUNCATED);
      else send(NODE_VXLAN_DECAP, packet);
    } while (left != 0 && cursor.more());
    if (left == 0) cursor.next();
  }
}
