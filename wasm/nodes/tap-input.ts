// tap-input: frames that a sandbox's kernel handed over through a TAP, each behind its virtio-net header.
//
//   descriptor's offset ─> ┌ vnet_hdr 10 ┬ Ethernet frame ...
//
// in   receive descriptors of TAPs (and of ports that the engine doesn't know, to drop them by name)
// out  ethernet-input; drops PORT_UNKNOWN, TRUNCATED, RUNT, GIANT, VNET_HEADER, BAD_GSO
// not  here: whether the offload agrees with the headers (ethernet-input, once it has parsed them)
//
// The header comes from the sandbox's kernel, but whoever has CAP_NET_RAW in there may write it through a packet socket: every
// number in it is checked against the frame before anybody computes with it.
//
import { NODE_ETHERNET_INPUT, RX_FLAGS, RX_FLAG_INJECTED, RX_LENGTH, RX_OFFSET, RX_PORT } from "../shared/abi";
import { COUNTER_RX, DROP_PORT_UNKNOWN } from "../shared/counters";
import { add, drop, rx } from "../core/counters";
import * as cursor from "../core/cursor";
import * as trace from "../core/trace";
import { send } from "../core/vector";
import * as vnet from "../core/vnet";
import * as ports from "../tables/port";

export function tapInput(): void {
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const port: u32 = load<u16>(descriptor, RX_PORT);
    const known = ports.isSet(port);
    if (known && !ports.isBridged(ports.at(port).kind)) return;
    const header: usize = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const flags: u32 = load<u16>(descriptor, RX_FLAGS);
    const packet = vnet.take(port, header, length);
    if (packet === null) return;
    if (!known) {
      add(COUNTER_RX, 1);
      drop(packet, DROP_PORT_UNKNOWN);
      continue;
    }
    packet.domain = ports.at(port).domain;
    rx(packet);
    if (flags & RX_FLAG_INJECTED) trace.begin(packet);
    else if (trace.armed()) trace.considerPort(packet);
    const reason = vnet.check(packet, header, flags);
    if (reason != vnet.NO_REASON) drop(packet, reason);
    else send(NODE_ETHERNET_INPUT, packet);
  }
}
