// The ruleset as a function: what stands in it for which plan, and that nft takes every one (`nft -c`, in a namespace of its own).
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { type Closed, NO_RULES, replacement, rulesOf } from "../../../src/nat/rules.ts";
import type { NatNetwork, NatPlan, Publication } from "../../../src/nat/types.ts";

const OPEN = { ipv4: false, ipv6: false };
const ruleset = (plan: NatPlan, closed: Closed): string => replacement(rulesOf(plan, closed));

function network(interfaceName: string, changes: Partial<NatNetwork> = {}): NatNetwork {
  const family = (subnet: string) => ({ subnet, mode: "nat" as const, masquerade: true, source: null });
  return { interfaceName, internal: false, ipv4: family("10.1.0.0/24"), ipv6: family("fd00:1::/64"), ...changes };
}

function publication(changes: Partial<Publication>): Publication {
  return {
    ...{ protocol: "tcp", family: 4, hostAddress: "0.0.0.0", hostPort: 8080, count: 1, interfaceName: "br-a", mode: "nat" },
    ...{ target: "10.1.0.2", targetPort: 80 },
    ...changes,
  };
}

const plan = (networks: NatNetwork[], publications: Publication[] = []): NatPlan => ({ networks, publications, relays: [] });

/** Elements of a set or map. */
function elements(text: string, name: string): string[] {
  const lines = text.split("\n");
  const from = lines.findIndex((line) => /^ {2}(set|map) /.test(line) && line.includes(` ${name} {`));
  const block = lines.slice(from, lines.indexOf("  }", from)).join("\n");
  return /elements = \{ (.*) \}/.exec(block)?.[1]?.split(", ") ?? [];
}

function checkedByNft(text: string): void {
  const { status, stderr } = spawnSync("unshare", ["--net", "nft", "-c", "-f", "-"], { input: text, encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

describe("the ruleset", () => {
  it("is none without networks", () => {
    expect(ruleset(plan([]), OPEN)).toBe(NO_RULES);
    checkedByNft(NO_RULES);
  });

  it("does not depend on the order of what it is made from", () => {
    const [a, b] = [network("br-a"), network("br-b", { ipv4: null })];
    const [p, q] = [publication({}), publication({ hostPort: 99 })];
    expect(ruleset(plan([a, b], [p, q]), OPEN)).toBe(ruleset(plan([b, a], [q, p]), OPEN));
  });

  it("replaces our table alone, in one transaction", () => {
    const text = ruleset(plan([network("br-a")]), OPEN);
    expect(text.startsWith("table inet weft\ndelete table inet weft\ntable inet weft {\n")).toBe(true);
    expect(text.match(/^(table|delete|flush|add)/gm)).toEqual(["table", "delete", "table"]);
    checkedByNft(text);
  });

  it("puts networks into the sets that their modes mean", () => {
    const family = (subnet: string, mode: "nat" | "routed" | "nat-unprotected", masquerade = true, source: string | null = null) => ({
      ...{ subnet, mode, masquerade, source },
    });
    const text = ruleset(
      plan([
        network("br-a"),
        network("br-b", { internal: true, ipv4: family("10.2.0.0/24", "nat"), ipv6: null }),
        network("br-c", { ipv4: family("10.3.0.0/24", "routed"), ipv6: family("fd00:3::/64", "nat-unprotected") }),
        network("br-d", { ipv4: family("10.4.0.0/24", "nat", false), ipv6: family("fd00:4::/64", "nat", true, "2001:db8::9") }),
      ]),
      OPEN,
    );
    expect(elements(text, "bridges")).toEqual(['"br-a"', '"br-b"', '"br-c"', '"br-d"']);
    expect(elements(text, "internal")).toEqual(['"br-b"']);
    expect(elements(text, "masquerade4")).toEqual(["10.1.0.0/24"]);
    expect(elements(text, "masquerade6")).toEqual(["fd00:1::/64", "fd00:3::/64"]);
    expect(elements(text, "hairpin4")).toEqual(['10.1.0.0/24 . "br-a"', '10.4.0.0/24 . "br-d"']);
    expect(elements(text, "routed4")).toEqual(['"br-c"']);
    expect(elements(text, "unprotected6")).toEqual(['"br-c"']);
    expect(text).toContain("ip6 saddr fd00:4::/64 oifname != @bridges snat ip6 to 2001:db8::9");
    checkedByNft(text);
  });

  it("closes what was closed before", () => {
    const dropped = (ipv4: boolean, ipv6: boolean): string[] =>
      ruleset(plan([network("br-a")]), { ipv4, ipv6 }).match(/meta nfproto ipv. drop/g) ?? [];
    expect(dropped(false, false)).toEqual([]);
    expect(dropped(true, false)).toEqual(["meta nfproto ipv4 drop"]);
    expect(dropped(true, true)).toEqual(["meta nfproto ipv4 drop", "meta nfproto ipv6 drop"]);
    checkedByNft(ruleset(plan([network("br-a")]), { ipv4: true, ipv6: true }));
  });

  it("publishes by elements: one for a range that keeps its numbers", () => {
    const text = ruleset(
      plan(
        [network("br-a")],
        [
          publication({}),
          publication({ family: 6, hostAddress: "::", target: "fd00:1::2" }),
          publication({ hostAddress: "127.0.0.1", hostPort: 53, targetPort: 53, protocol: "udp" }),
          publication({ hostPort: 10_000, targetPort: 10_000, count: 10_000, protocol: "udp" }),
          publication({ hostPort: 9000, targetPort: 90, count: 3 }),
          publication({ hostPort: 7000, targetPort: 70, count: 2, mode: "routed" }),
        ],
      ),
      OPEN,
    );
    expect(elements(text, "ranges4")).toEqual(["udp . 0.0.0.0/0 . 10000-19999 : 10.1.0.2"]);
    expect(elements(text, "at4")).toEqual(["udp . 127.0.0.1 . 53 : 10.1.0.2 . 53"]);
    expect(elements(text, "anywhere4")).toEqual([
      "tcp . 8080 : 10.1.0.2 . 80",
      "tcp . 9000 : 10.1.0.2 . 90",
      "tcp . 9001 : 10.1.0.2 . 91",
      "tcp . 9002 : 10.1.0.2 . 92",
    ]);
    expect(elements(text, "anywhere6")).toEqual(["tcp . 8080 : fd00:1::2 . 80"]);
    expect(elements(text, "open4")).toEqual(["10.1.0.2 . tcp . 70-71"]);
    checkedByNft(text);
  });

  it("opens each port of a sandbox once, however often it is published", () => {
    const routed = (hostPort: number, targetPort: number, count: number, changes: Partial<Publication> = {}): Publication =>
      publication({ hostPort, targetPort, count, mode: "routed", ...changes });
    const text = ruleset(
      plan(
        [network("br-a")],
        [
          ...[routed(8080, 80, 1), routed(9080, 80, 2), routed(0, 85, 6), routed(7000, 82, 5), routed(0, 91, 1), routed(0, 65535, 1)],
          ...[routed(0, 65530, 6), routed(0, 80, 1, { protocol: "udp" }), routed(0, 80, 1, { target: "10.1.0.3" })],
        ],
      ),
      OPEN,
    );
    expect(elements(text, "open4").sort()).toEqual([
      "10.1.0.2 . tcp . 65530-65535",
      "10.1.0.2 . tcp . 80-81",
      "10.1.0.2 . tcp . 82-90",
      "10.1.0.2 . tcp . 91",
      "10.1.0.2 . udp . 80",
      "10.1.0.3 . tcp . 80",
    ]);
    checkedByNft(text);
  });

  it("has as many rules for a thousand ports as for one", () => {
    const many = Array.from({ length: 1000 }, (_, index) => publication({ hostPort: 2000 + index }));
    const rules = (text: string): number => text.match(/accept$|drop$|masquerade$|dnat /gm)!.length;
    const text = ruleset(plan([network("br-a")], many), OPEN);
    expect(rules(text)).toBe(rules(ruleset(plan([network("br-a")], many.slice(0, 1)), OPEN)));
    checkedByNft(text);
  });
});
