// The frame of a trace probe: an ICMP or ICMPv6 echo request as the sandbox's own kernel would send it. It is injected at the
// port, so its source MAC is the port's; the answer, if one comes, goes to the sandbox, whose kernel drops it, for it has not
// asked.
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } from "../../../wasm/shared/protocol.ts";
import { invalidArgument } from "../../errors.ts";
import type { EchoProbe } from "../datapath-api.ts";
import { complement, sum } from "../internet-checksum.ts";
import { addressBytes, isIpv6, macBytes } from "../words.ts";

const ECHO_REQUEST = 8; // RFC 792
const ECHO_REQUEST_V6 = 128; // RFC 4443
const PAYLOAD = new TextEncoder().encode("weft trace");
const ICMP_LENGTH = 8 + PAYLOAD.length;
const HOPS = 64;

export function echoFrame(probe: EchoProbe): Uint8Array<ArrayBuffer> {
  const ipv6 = isIpv6(probe.source);
  if (ipv6 !== isIpv6(probe.destination)) {
    throw invalidArgument(`a probe can't go from ${probe.source} to ${probe.destination}: one is IPv4, the other IPv6`);
  }
  const ipLength = ipv6 ? 40 : 20;
  const frame = new Uint8Array(14 + ipLength + ICMP_LENGTH);
  const view = new DataView(frame.buffer);
  frame.set(macBytes(probe.destinationMac), 0);
  frame.set(macBytes(probe.sourceMac), 6);
  view.setUint16(12, ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const source = addressBytes(probe.source);
  const destination = addressBytes(probe.destination);
  const icmp = 14 + ipLength;
  frame[icmp] = ipv6 ? ECHO_REQUEST_V6 : ECHO_REQUEST;
  view.setUint16(icmp + 6, 1); // sequence
  frame.set(PAYLOAD, icmp + 8);
  if (ipv6) {
    frame[14] = 0x60;
    view.setUint16(18, ICMP_LENGTH);
    frame[20] = IP_PROTOCOL_ICMPV6;
    frame[21] = HOPS;
    frame.set(source, 22);
    frame.set(destination, 38);
    const pseudo = sum(frame, 22, 32) + ICMP_LENGTH + IP_PROTOCOL_ICMPV6;
    view.setUint16(icmp + 2, complement(pseudo + sum(frame, icmp, ICMP_LENGTH)));
  } else {
    frame[14] = 0x45;
    view.setUint16(16, ipLength + ICMP_LENGTH);
    frame[22] = HOPS;
    frame[23] = IP_PROTOCOL_ICMP;
    frame.set(source.subarray(12), 26);
    frame.set(destination.subarray(12), 30);
    view.setUint16(24, complement(sum(frame, 14, 20)));
    view.setUint16(icmp + 2, complement(sum(frame, icmp, ICMP_LENGTH)));
  }
  return frame;
}
