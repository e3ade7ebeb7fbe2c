// Change sets against the kernel: whatever two plans follow each other, the table that the first has made and a change set has
// changed is listed like the one that the second makes whole.
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { changeSet } from "../../../src/nat/change-set.ts";
import { ordered } from "../../../src/nat/nft.ts";
import { NO_RULES, replacement, rulesOf } from "../../../src/nat/rules.ts";
import type { GatewayMode, NatNetwork, NatPlan, Publication } from "../../../src/nat/types.ts";
import { testNamespaces } from "../../support/namespaces.ts";

const CLOSED = { ipv4: true, ipv6: false };
const namespaces = testNamespaces();
let namespace: string;
beforeAll(async () => {
  namespace = await namespaces.create("nft");
});
afterAll(() => namespaces.removeAll());

function nft(input: string): string {
  const { status, stdout, stderr } = spawnSync("nsenter", [`--net=${namespace}`, "nft", "-s", "-f", "-"], { input, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

function made(commands: string): string {
  nft(commands);
  return ordered(nft("list table inet weft\n"));
}

/** Networks and ports by number, a few of them: most are there before and after. Neighbouring subnets, so that ranges touch. */
const MODES: readonly GatewayMode[] = ["nat", "nat", "nat-unprotected", "routed"];
const planOf = fc
  .record({
    networks: fc.uniqueArray(fc.tuple(fc.nat(7), fc.nat(3), fc.boolean()), { selector: ([n]) => n, minLength: 1 }),
    ports: fc.uniqueArray(fc.tuple(fc.nat(5), fc.nat(2), fc.boolean()), { selector: ([n]) => n }),
  })
  .map(({ networks, ports }): NatPlan => {
    const family = (subnet: string, mode: GatewayMode) => ({ subnet, mode, masquerade: true, source: null });
    return {
      networks: networks.map(
        ([n, mode, internal]): NatNetwork => ({
          ...{ interfaceName: `br-${n}`, internal },
          ...{ ipv4: family(`10.1.${n}.0/24`, MODES[mode]!), ipv6: family(`fd00:1:${n}::/64`, "nat") },
        }),
      ),
      publications: ports.flatMap(([n, target, moved]) =>
        ([4, 6] as const).map(
          (digit): Publication => ({
            ...{ family: digit, protocol: "tcp", hostAddress: digit === 4 ? "0.0.0.0" : "::", interfaceName: "br-0", mode: "nat" },
            ...{ hostPort: 1000 + 10 * n, count: 10, targetPort: (moved ? 5000 : 1000) + 10 * n },
            target: digit === 4 ? `10.1.0.${2 + target}` : `fd00:1::${2 + target}`,
          }),
        ),
      ),
      relays: [],
    };
  });

/** All of `a`, and of `b` what goes with it. */
const union = (a: NatPlan, b: NatPlan): NatPlan => ({
  networks: [...a.networks, ...b.networks.filter(({ interfaceName }) => !a.networks.some((one) => one.interfaceName === interfaceName))],
  publications: [...a.publications, ...b.publications.filter(({ hostPort }) => !a.publications.some((one) => one.hostPort === hostPort))],
  relays: [],
});

describe("a change set", () => {
  it("comes to what the whole comes to", () => {
    let changed = 0;
    const check = (from: NatPlan, to: NatPlan): void => {
      const [before, after] = [rulesOf(from, CLOSED), rulesOf(to, CLOSED)];
      const commands = changeSet(before, after);
      if (commands === null) return;
      const whole = made(replacement(after));
      nft(replacement(before));
      expect(made(commands)).toBe(whole);
      changed++;
    };
    fc.assert(
      fc.property(planOf, planOf, (a, b) => {
        const both = union(a, b);
        check(a, b);
        check(a, both);
        check(both, a);
      }),
      { numRuns: 12 },
    );
    expect(changed).toBeGreaterThan(12);
    nft(NO_RULES);
  });

  it("is three elements for a network, and nothing for none", () => {
    const family = { subnet: "10.1.0.0/24", mode: "nat", masquerade: true, source: null } as const;
    const one: NatNetwork = { interfaceName: "br-a", internal: false, ipv4: family, ipv6: null };
    const two: NatNetwork = { ...one, interfaceName: "br-b", ipv4: { ...family, subnet: "10.2.0.0/24" } };
    const [a, b] = [[one], [one, two]].map((networks) => rulesOf({ networks, publications: [], relays: [] }, CLOSED));
    const elements = ['bridges { "br-b" }', "masquerade4 { 10.2.0.0/24 }", 'hairpin4 { 10.2.0.0/24 . "br-b" }'];
    expect(changeSet(a!, b!)).toBe(elements.map((element) => `add element inet weft ${element}\n`).join(""));
    expect(changeSet(b!, a!)).toBe(elements.map((element) => `delete element inet weft ${element}\n`).join(""));
    expect(changeSet(a!, a!)).toBe("");
    expect(changeSet(null, null)).toBe("");
  });

  it("is none where rules differ, where there is no table, and where ranges take the place of others", () => {
    const family = { subnet: "10.1.0.0/24", mode: "nat", masquerade: true, source: null } as const;
    const network: NatNetwork = { interfaceName: "br-a", internal: false, ipv4: family, ipv6: null };
    const rules = rulesOf({ networks: [network], publications: [], relays: [] }, CLOSED);
    expect(changeSet(null, rules)).toBeNull();
    expect(changeSet(rules, null)).toBeNull();
    expect(changeSet(rules, rulesOf({ networks: [network], publications: [], relays: [] }, { ipv4: false, ipv6: false }))).toBeNull();
    const fixed = { ...network, ipv4: { ...family, source: "192.0.2.1" } };
    expect(changeSet(rules, rulesOf({ networks: [fixed], publications: [], relays: [] }, CLOSED))).toBeNull();
    const other = { ...network, ipv4: { ...family, subnet: "10.1.0.0/25" } };
    expect(changeSet(rules, rulesOf({ networks: [other], publications: [], relays: [] }, CLOSED))).toBeNull();
  });
});
