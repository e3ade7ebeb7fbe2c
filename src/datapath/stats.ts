// Figures: the counters of the engine's memory under their names, and the law that they keep.
import {
  COUNTER_CLONED,
  COUNTER_NAMES,
  COUNTER_ORIGINATED,
  COUNTER_RX,
  COUNTER_TX,
  DROP_BASE,
  DROP_NAMES,
  DROP_TEXTS,
} from "../../wasm/shared/counters.ts";
import type { CounterStats, DatapathStats, DropStats, PortStats } from "./datapath-api.ts";
import { domainOf } from "./declarations.ts";
import { interfaceOf } from "./parents.ts";
import type { Plane } from "./plane.ts";
import { PORT_COUNTERS } from "./shard/shard-counters.ts";

export function counterStats(counters: BigUint64Array): CounterStats[] {
  return COUNTER_NAMES.map((name, i) => ({ name, value: counters[i] ?? 0n }));
}

export function dropStats(counters: BigUint64Array): DropStats[] {
  return DROP_NAMES.map((name, i) => ({ name, text: DROP_TEXTS[i] ?? "", value: counters[DROP_BASE + i] ?? 0n }));
}

/** rx + cloned + originated - tx - sum(drops): each packet gets one verdict, so this is 0 between two batches. */
export function lawDifference(counters: BigUint64Array): bigint {
  let dropped = 0n;
  for (let i = 0; i < DROP_NAMES.length; i++) dropped += counters[DROP_BASE + i] ?? 0n;
  const at = (i: number): bigint => counters[i] ?? 0n;
  return BigInt.asIntN(64, at(COUNTER_RX) + at(COUNTER_CLONED) + at(COUNTER_ORIGINATED) - at(COUNTER_TX) - dropped);
}

interface NamedPort extends Pick<PortStats, "port" | "kind" | "domain" | "interfaceName"> {
  readonly index: number;
}

function namedPorts(plane: Plane): NamedPort[] {
  const underlays = [...plane.tables.underlays, ...plane.tables.espPorts].map(
    ({ name }): NamedPort => ({ port: name, kind: "underlay", domain: "", interfaceName: "", index: plane.portIndex(name) }),
  );
  const ports = [...plane.standing.ports.values()].map(
    (port): NamedPort => ({
      port: port.id,
      kind: port.kind,
      domain: domainOf(port) ?? "",
      interfaceName: interfaceOf(port),
      index: plane.portIndex(port.id),
    }),
  );
  return [...underlays, ...ports];
}

/** What the worker answers for all ports, under their names. */
export async function readStats(plane: Plane): Promise<Omit<DatapathStats, "rebuilds" | "audits" | "mended">> {
  const { client } = plane.require();
  const ports = namedPorts(plane);
  const reply = await client.request({ kind: "stats", ports: ports.map(({ index }) => index) });
  return {
    counters: counterStats(reply.counters),
    drops: dropStats(reply.counters),
    ports: ports.map(({ port, kind, domain, interfaceName }, i): PortStats => {
      const at = (field: number): bigint => reply.ports[i * PORT_COUNTERS + field] ?? 0n;
      return { port, kind, domain, interfaceName, rxPackets: at(0), rxBytes: at(1), txPackets: at(2), txBytes: at(3), drops: at(4) };
    }),
    poller: reply.poller,
    lawDifference: lawDifference(reply.counters),
  };
}
