import { describe, expect, it } from "vitest";
import { outerHeaders } from "../../../src/datapath/capture/outer-headers.ts";
import {
  concat,
  enhancedPacket,
  INBOUND,
  interfaceDescription,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  OUTBOUND,
  sectionHeader,
} from "../../../src/datapath/capture/pcapng.ts";
import { sum } from "../../../src/datapath/internet-checksum.ts";
import { echoFrame } from "../../../src/datapath/trace/probe.ts";
import { addressBytes } from "../../../src/datapath/words.ts";
import { tsharkFields } from "../../support/tshark.ts";

const MACS = { sourceMac: "02:42:0a:00:00:02", destinationMac: "02:42:0a:00:00:03" };
const V4 = echoFrame({ kind: "echo", ...MACS, source: "10.0.0.2", destination: "10.0.0.3" });
const V6 = echoFrame({ kind: "echo", ...MACS, source: "fd00::2", destination: "fd00::3" });

function capture(linkType: number, frames: readonly Uint8Array[]): Uint8Array {
  const packets = frames.map((bytes) =>
    enhancedPacket({ interfaceId: 0, timeNs: 0n, bytes, originalLength: bytes.length, direction: INBOUND }),
  );
  return concat([sectionHeader("weft"), interfaceDescription("eth0", linkType, 0), ...packets]);
}

describe("pcapng", () => {
  it("lays a section header out as the draft has it", () => {
    expect(Buffer.from(sectionHeader("weft")).toString("hex")).toBe(
      ["0a0d0d0a", "28000000", "4d3c2b1a", "01000000", "ffffffffffffffff", "04000400", "77656674", "00000000", "28000000"].join(""),
    );
  });

  it("is read by tshark: interfaces, directions, nanoseconds, lengths, comments", () => {
    const timeNs = 1_700_000_000_123_456_789n;
    const file = concat([
      sectionHeader("weft", "a comment"),
      interfaceDescription("eth0", LINKTYPE_ETHERNET, 96, "endpoint one"),
      enhancedPacket({ interfaceId: 0, timeNs, bytes: V4, originalLength: 1500, direction: INBOUND, comment: "odd" }),
      interfaceDescription("eth1", LINKTYPE_ETHERNET, 96),
      enhancedPacket({ interfaceId: 1, timeNs: timeNs + 1n, bytes: V6, originalLength: V6.length, direction: OUTBOUND }),
    ]);
    const fields = [
      "frame.interface_name",
      "frame.interface_description",
      "frame.packet_flags_direction",
      "frame.time_epoch",
      "frame.len",
      "frame.cap_len",
      "frame.comment",
    ];
    expect(tsharkFields(file, fields)).toEqual([
      ["eth0", "endpoint one", "0x00000001", "1700000000.123456789", "1500", String(V4.length), "odd"],
      ["eth1", "", "0x00000002", "1700000000.123456790", String(V6.length), String(V6.length), ""],
    ]);
  });
});

describe("a probe's frame", () => {
  it("is an echo request that tshark finds nothing wrong with", () => {
    const fields = [
      "eth.src",
      "eth.dst",
      "ip.src",
      "ipv6.src",
      "icmp.type",
      "icmpv6.type",
      "ip.checksum.status",
      "icmp.checksum.status",
      "icmpv6.checksum.status",
      "_ws.expert",
    ];
    const options = ["-o", "ip.check_checksum:TRUE"];
    expect(tsharkFields(capture(LINKTYPE_ETHERNET, [V4, V6]), fields, options)).toEqual([
      ["02:42:0a:00:00:02", "02:42:0a:00:00:03", "10.0.0.2", "", "8", "", "1", "1", "", ""],
      ["02:42:0a:00:00:02", "02:42:0a:00:00:03", "", "fd00::2", "", "128", "", "", "1", ""],
    ]);
  });

  it("can't have two families", () => {
    expect(() => echoFrame({ kind: "echo", ...MACS, source: "10.0.0.2", destination: "fd00::3" })).toThrow("one is IPv4, the other IPv6");
  });
});

describe("a datagram of the underlay", () => {
  const FIELDS = ["udp.srcport", "udp.dstport", "udp.checksum.status", "vxlan.vni", "icmp.type", "_ws.expert"];
  const CHECKED = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];

  it.each([
    ["10.9.0.2", "10.9.0.1", 0],
    ["10.9.0.2", "10.9.0.1", 1],
    ["fd09::2", "fd09::1", 0],
    ["fd09::2", "fd09::1", 1],
  ])("has the headers back that the kernel took: from %s to %s, %i bytes more", (from, to, more) => {
    const payload = Uint8Array.from([0x08, 0, 0, 0, 0, 0x10, 0x01, 0, ...V4, ...new Uint8Array(more).fill(7)]);
    const headers = outerHeaders({
      source: addressBytes(from),
      sourcePort: 50000,
      destination: addressBytes(to),
      destinationPort: 4789,
      payloadLength: payload.length,
      payloadSum: sum(payload),
    });
    const family = from.includes(":") ? "ipv6" : "ip";
    expect(
      tsharkFields(capture(LINKTYPE_RAW, [concat([headers, payload])]), [`${family}.src`, `${family}.dst`, ...FIELDS], CHECKED),
    ).toEqual([[from, to, "50000", "4789", "1", "4097", "8", ""]]);
  });

  it("never has the checksum 0, which would say that there is none", () => {
    const outer = {
      source: addressBytes("10.9.0.2"),
      sourcePort: 50000,
      destination: addressBytes("10.9.0.1"),
      destinationPort: 4789,
      payloadLength: 2,
    };
    const checksum = (payloadSum: number): number => new DataView(outerHeaders({ ...outer, payloadSum }).buffer).getUint16(26);
    expect(checksum(checksum(0))).toBe(0xffff); // adding the checksum itself makes the sum what complements to zero
  });

  it("of 64 KiB does not overflow its length fields", () => {
    const outer = { source: addressBytes("10.9.0.2"), sourcePort: 1, destination: addressBytes("10.9.0.1"), destinationPort: 2 };
    const view = new DataView(outerHeaders({ ...outer, payloadLength: 65_530, payloadSum: 0 }).buffer);
    expect([view.getUint16(2), view.getUint16(24)]).toEqual([0xffff, 0xffff]);
  });
});
