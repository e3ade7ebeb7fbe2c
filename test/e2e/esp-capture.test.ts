// What a capture of the underlay has of an encrypted network: ESP as tshark reads it, bare or in UDP, or the frames inside.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EspPair, INNER, OUTER, SPI, type Way } from "../support/esp-pair.ts";
import { tsharkFields } from "../support/tshark.ts";

let hosts: EspPair;

beforeEach(() => {
  hosts = new EspPair("ec");
});
afterEach(() => hosts.stop());

describe.each<Way>([
  { family: "ipv4", transport: "udp" },
  { family: "ipv4", transport: "raw" },
  { family: "ipv6", transport: "raw" },
])("a capture of the underlay, ESP by $transport over $family", (way) => {
  it("is what was on the wire, or with the domain opened the frames inside", async () => {
    await hosts.start(way);
    await hosts.key(way);
    await hosts.namespaces.ping("s0", INNER[1], 1, 0.01);
    const datapath = hosts.datapaths[0]!;
    const stop = new AbortController();
    const readers = [{}, { opened: ["n1"] }].map((more) => datapath.capture({ underlay: true, signal: stop.signal, ...more }));
    const files = await Promise.all(readers.map(async (reader) => [(await reader.next()).value as Uint8Array]));
    await hosts.namespaces.ping("s0", INNER[1], 2, 0);
    await datapath.stats(); // what was captured before this is on its way before the answer
    stop.abort();
    for (const [i, reader] of readers.entries()) for await (const chunk of reader) files[i]!.push(chunk);
    const [wire, opened] = files.map((chunks) => Buffer.concat(chunks)) as [Buffer, Buffer];

    const [source, destination] = way.family === "ipv4" ? ["ip.src", "ip.dst"] : ["ipv6.src", "ipv6.dst"];
    const [local, remote] = OUTER[way.family];
    const fields = ["frame.packet_flags_direction", source, destination, "esp.spi", "udp.dstport", "_ws.expert"];
    const checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
    const port = way.transport === "udp" ? "4500" : "";
    const spi = SPI.map((number) => `0x${number.toString(16)}`);
    const out = ["0x00000002", local, remote, spi[0], port, ""];
    const back = ["0x00000001", remote, local, spi[1], port, ""];
    const rows = tsharkFields(wire, fields, ["-Y", "esp", ...checks]);
    expect(rows.length).toBeGreaterThanOrEqual(4);
    for (const row of rows) expect([out, back]).toContainEqual(row);
    expect(tsharkFields(wire, ["frame.number"], ["-Y", "!esp"])).toEqual([]);

    expect(tsharkFields(opened, ["frame.packet_flags_direction", "ip.dst", "icmp.type"], ["-Y", "icmp"])).toEqual(
      [1, 2].flatMap(() => [
        ["0x00000002", INNER[1], "8"],
        ["0x00000001", INNER[0], "0"],
      ]),
    );
    expect(tsharkFields(opened, ["frame.number"], ["-Y", "esp"])).toEqual([]);
  });
});
