// Which tracked connections end with a change of plan, held against a model: a flow is one port of one protocol led to one
// sandbox, and it must end exactly if that port no longer leads there.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { flowsOf, staleFlows } from "../../../src/nat/flows.ts";
import type { NatPlan, Publication } from "../../../src/nat/types.ts";
import type { FlowFilter } from "../../../src/ports/native.ts";

const LOCAL = ["192.0.2.1", "2001:db8::1"];

function publication(changes: Partial<Publication>): Publication {
  return {
    ...{ protocol: "udp", family: 4, hostAddress: "0.0.0.0", hostPort: 8080, count: 1, interfaceName: "br-a", mode: "nat" },
    ...{ target: "10.1.0.2", targetPort: 80 },
    ...changes,
  };
}

const plan = (...publications: Publication[]): NatPlan => ({ networks: [], publications, relays: [] });

interface Flow {
  readonly protocol: number;
  readonly destination: string;
  readonly port: number;
  readonly answeredBy: string;
}

/** As native/src/netlink/flows.rs has it, for lone addresses. */
function holds(filter: FlowFilter, flow: Flow): boolean {
  const inPorts = ({ protocol, firstPort = 0, lastPort = 65535 }: { protocol?: number; firstPort?: number; lastPort?: number }): boolean =>
    (protocol === undefined || protocol === flow.protocol) && firstPort <= flow.port && flow.port <= lastPort;
  const within = (prefix: string, address: string): boolean => prefix === `${address}/32`;
  return (
    inPorts(filter) &&
    (filter.destinations === undefined || filter.destinations.some((prefix) => within(prefix, flow.destination))) &&
    (filter.answeredBy === undefined || within(filter.answeredBy, flow.answeredBy)) &&
    !(filter.except ?? []).some((except) => within(except.answeredBy, flow.answeredBy) && inPorts(except))
  );
}

describe("flows that end", () => {
  it("are those of a port that is gone, led to its sandbox, of every protocol", () => {
    expect(staleFlows(plan(publication({ protocol: "tcp", hostAddress: "192.0.2.1" })), plan(), LOCAL)).toEqual([
      { family: 4, protocol: 6, firstPort: 8080, lastPort: 8080, answeredBy: "10.1.0.2/32", destinations: ["192.0.2.1/32"] },
    ]);
    const six = publication({ family: 6, hostAddress: "::", target: "fd00::2", protocol: "sctp", count: 3 });
    expect(staleFlows(plan(six), plan(), LOCAL)).toEqual([
      { family: 6, protocol: 132, firstPort: 8080, lastPort: 8082, answeredBy: "fd00::2/128" },
    ]);
  });

  it("are those that a UDP port had before it was published, at addresses of the host", () => {
    expect(staleFlows(plan(), plan(publication({}), publication({ protocol: "tcp" })), LOCAL)).toEqual([
      {
        ...{ family: 4, protocol: 17, firstPort: 8080, lastPort: 8080 },
        ...{ destinations: ["127.0.0.0/8", "192.0.2.1/32"], except: [{ answeredBy: "10.1.0.2/32" }] },
      },
    ]);
  });

  it("are those of routed ports at the sandbox's address", () => {
    expect(staleFlows(plan(publication({ mode: "routed", protocol: "tcp" })), plan(), LOCAL)).toEqual([
      { family: 4, protocol: 6, firstPort: 80, lastPort: 80, answeredBy: "10.1.0.2/32", destinations: ["10.1.0.2/32"] },
    ]);
  });

  it("are those of an address that is given up", () => {
    expect([flowsOf("10.1.0.2"), flowsOf("fd00::2")]).toEqual([
      { family: 4, party: "10.1.0.2" },
      { family: 6, party: "fd00::2" },
    ]);
  });

  it("are at start those into our subnets that no port accounts for", () => {
    const family = { subnet: "10.1.0.0/24", mode: "nat" as const, masquerade: true, source: null };
    const networks = [{ interfaceName: "br-a", internal: false, ipv4: family, ipv6: null }];
    expect(staleFlows(null, { networks, publications: [publication({ protocol: "tcp" })], relays: [] }, LOCAL)).toEqual([
      {
        ...{ family: 4, answeredBy: "10.1.0.0/24", translated: true },
        except: [{ answeredBy: "10.1.0.2/32", protocol: 6, firstPort: 8080, lastPort: 8080 }],
      },
    ]);
  });

  it("are, to the port, those that lead elsewhere after any change", () => {
    const ports = fc
      .record({ hostPort: fc.integer({ min: 1, max: 12 }), count: fc.integer({ min: 1, max: 6 }), shift: fc.integer({ min: 0, max: 1 }) })
      .chain((range) => fc.constantFrom("10.1.0.2", "10.1.0.3").map((target) => ({ ...range, target })));
    const plans = fc.array(ports, { maxLength: 4 }).map((all) => {
      // As published ports are: none has two meanings.
      const taken = new Set<number>();
      return all.flatMap(({ hostPort, count, shift, target }) => {
        const mine = Array.from({ length: count }, (_, n) => hostPort + n);
        if (mine.some((port) => taken.has(port))) return [];
        for (const port of mine) taken.add(port);
        return [publication({ hostPort, count, targetPort: hostPort + 100 * shift, target })];
      });
    });
    const leads = (publications: Publication[], port: number): string => {
      const found = publications.find(({ hostPort, count }) => hostPort <= port && port < hostPort + count);
      return found === undefined ? "" : `${found.target}:${found.targetPort + port - found.hostPort}`;
    };
    fc.assert(
      fc.property(plans, plans, (before, now) => {
        const filters = staleFlows(plan(...before), plan(...now), LOCAL);
        for (let port = 1; port < 20; port++) {
          const flow = { protocol: 17, destination: "192.0.2.1", port, answeredBy: leads(before, port).split(":")[0] || "192.0.2.1" };
          const ends = filters.some((filter) => holds(filter, flow));
          expect(ends, `port ${port}`).toBe(leads(before, port) !== leads(now, port));
          const forwarded = { ...flow, destination: "198.51.100.1", answeredBy: "198.51.100.1" };
          expect(filters.some((filter) => holds(filter, forwarded))).toBe(false);
        }
      }),
    );
  });
});
