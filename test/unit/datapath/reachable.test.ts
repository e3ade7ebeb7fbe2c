import { describe, expect, it } from "vitest";
import type { Declaration } from "../../../src/datapath/declarations.ts";
import { reachable } from "../../../src/datapath/desired/reachable.ts";

const MAC = "02:42:0a:00:00:02";
const vtep = (address: string, domain = "n1") => ({ domain, address, port: 4789 });
const entry = (address: string, domain = "n1") => ({ domain, mac: MAC, to: { vtep: address } });
const port = { domain: "n1", mac: "02:42:0a:00:00:03", to: { port: "e1" } };

describe("a declaration with VTEPs that this host can't send to", () => {
  it.each([
    ["its own address", ["10.9.0.1"], "10.9.0.1", "it is this host's own underlay address"],
    ["its own address of two", ["10.9.0.1", "fd09::1"], "fd09::1", "it is this host's own underlay address"],
    ["IPv6 without an IPv6 underlay", ["10.9.0.1"], "fd09::2", "it is IPv6, but the daemon has no IPv6 underlay address"],
    ["IPv4 without an IPv4 underlay", ["fd09::1"], "10.9.0.2", "it is IPv4, but the daemon has no IPv4 underlay address"],
    ["no underlay at all", [], "10.9.0.2", "it is IPv4, but the daemon has no IPv4 underlay address"],
  ])("loses them and what points to them: %s", (_, addresses, address, words) => {
    const made = reachable({ vteps: [vtep(address)], fdb: [entry(address), port], ports: [] }, addresses);
    expect(made.declaration).toEqual({ vteps: [], fdb: [port], ports: [] });
    expect(made.leftOut).toEqual([{ vtep: vtep(address), reason: expect.stringContaining(words) }]);
  });

  it("keeps all others, and entries of theirs in any domain", () => {
    const declaration: Declaration = {
      vteps: [vtep("10.9.0.2"), vtep("fd09::2"), vtep("10.9.0.2", "n2")],
      fdb: [entry("10.9.0.2"), entry("fd09::2"), entry("10.9.0.2", "n2")],
    };
    const made = reachable(declaration, ["10.9.0.1"]);
    expect(made.declaration.vteps).toEqual([vtep("10.9.0.2"), vtep("10.9.0.2", "n2")]);
    expect(made.declaration.fdb).toEqual([entry("10.9.0.2"), entry("10.9.0.2", "n2")]);
  });

  it("is left alone when there are none", () => {
    const declaration: Declaration = { vteps: [vtep("10.9.0.2")], fdb: [entry("10.9.0.2")] };
    expect(reachable(declaration, ["10.9.0.1"]).declaration).toBe(declaration);
  });
});
