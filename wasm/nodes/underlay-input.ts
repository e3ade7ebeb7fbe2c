// underlay-input: datagrams that other hosts sent become packets.
//
// in   receive descriptors of underlay ports. With UDP_GRO one buffer holds many datagrams of one sender, all of RX_SEGMENT
//      bytes but the last; the chunk may end in the middle of a buffer, and the next one goes on there
// out  vxlan-decap: a packet a datagram, offset at its first byte; `vtep` is the sender's, 0 if we know none at that address:
//      a buffer has one sender, so this is looked up once for all its datagrams
//      `flow` says where the buffer starts until ethernet-input puts the inner frame's hash there: the addresses that native
//      left before it are the outer header to whoever still asks (vxlan-decap)
//      drops TRUNCATED
//      a capture of the port gets its copies here, where also those that nobody will want are whole
// not  here: whether that VTEP may speak in the network it names (vxlan-decap)
//
import {
  NODE_VXLAN_DECAP, PORT_UNDERLAY, RX_FLAGS, RX_FLAG_INJECTED, RX_FLAG_TRUNCATED, RX_LENGTH, RX_OFFSET, RX_PORT, RX_SEGMENT,
  RX_SENDER_ADDRESS,
} from "../shared/abi";
import { DROP_TRUNCATED } from "../shared/counters";
import * as capture from "../core/capture";
import { drop, rx } from "../core/counters";
import * as cursor from "../core/cursor";
import { FROM_UNDERLAY, take } from "../core/packet";
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
    const flags: u32 = load<u16>(descriptor, RX_FLAGS);
    // What was cut short can't be split: the buffer counts as the one message that native received.
    const truncated = (flags & RX_FLAG_TRUNCATED) != 0;
    const announced: u32 = load<u16>(descriptor, RX_SEGMENT);
    const segment = announced == 0 || truncated ? length : announced;
    const vtep = vteps.find(<usize>buffer + RX_SENDER_ADDRESS);
    const captured = capture.armed() && capture.wantsDatagrams(port);
    let taken = cursor.taken();
    do {
      if (!cursor.fits(1)) return;
      const packet = take();
      packet.offset = buffer + taken;
      packet.length = min(segment, length - taken);
      packet.flags = FROM_UNDERLAY;
      packet.flow = buffer;
      packet.port = <u16>port;
      packet.vtep = <u16>vtep;
      cursor.spend(1);
      cursor.advance(packet.length);
      taken += packet.length;
      rx(packet);
      if (captured) capture.received(port, buffer, packet.offset, packet.length);
      if (flags & RX_FLAG_INJECTED) trace.begin(packet);
      else if (tracing) trace.considerPort(packet);
      if (truncated) drop(packet, DROP_TRUNCATED);
      else send(NODE_VXLAN_DECAP, packet);
    } while (taken < length && cursor.more());
    if (taken >= length) cursor.next();
  }
}
