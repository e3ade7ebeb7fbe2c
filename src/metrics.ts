// Prometheus metrics at http://HOST:PORT/metrics: the engine's counters as they are when they are asked for. Nothing is counted
// here. What the datapath calls its figures is taken by structure, for a leaf knows no product.
import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { WeftError } from "./errors.ts";

export interface MetricsFigures {
  readonly counters: readonly { readonly name: string; readonly value: bigint }[];
  readonly drops: readonly { readonly name: string; readonly value: bigint }[];
  readonly ports: readonly {
    readonly port: string;
    readonly interfaceName: string;
    readonly rxPackets: bigint;
    readonly rxBytes: bigint;
    readonly txPackets: bigint;
    readonly txBytes: bigint;
    readonly drops: bigint;
  }[];
  readonly lawDifference: bigint;
  readonly rebuilds: number;
  readonly mended: number;
}

export interface MetricsSource {
  stats(): Promise<MetricsFigures>;
  sizes(): {
    readonly networks: number;
    readonly sandboxes: number;
    /** Addresses and pools that the reconciliation had to free or claim; those that wait for a plugin. */
    readonly reclaimed: number;
    readonly waiting: number;
  };
}

const PORT_FIGURES = {
  rx_packets: "rxPackets",
  rx_bytes: "rxBytes",
  tx_packets: "txPackets",
  tx_bytes: "txBytes",
  drops: "drops",
} as const;

/** A registry that asks `source` at each scrape. */
export function metricsRegistry(source: MetricsSource): Registry {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `weft_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string) => new Gauge({ name: `weft_${name}`, help, registers });

  const engine = counter("engine_total", "Counters of the engine: packets unless the name says otherwise", ["counter"]);
  const drops = counter("drops_total", "Packets dropped, by reason", ["reason"]);
  const ports = Object.entries(PORT_FIGURES).map(
    ([name, key]) =>
      [key, counter(`port_${name}_total`, `${name.replace("_", " ")} of a port, from the engine's view`, ["port", "interface"])] as const,
  );
  const rebuilds = counter("engine_rebuilds_total", "Times that the engine was rebuilt after a trap");
  const mended = counter("audit_mended_total", "Table entries that audits had to mend");
  const law = gauge("law_difference", "Packets received less those accounted for: anything but 0 is a bug");
  const networks = gauge("networks", "Networks there are");
  const sandboxes = gauge("sandboxes", "Sandboxes there are");
  const reclaimed = counter("ipam_reclaimed_total", "Leaked addresses and pools that reconciliations freed");
  const waiting = gauge("ipam_waiting", "Addresses and pools that are given back to IPAM plugins when these answer again");
  collectDefaultMetrics({ register: registry, prefix: "weft_" });

  const collect = async (): Promise<void> => {
    const stats = await source.stats();
    const sizes = source.sizes();
    const absolute = [engine, drops, rebuilds, mended, reclaimed, ...ports.map(([, metric]) => metric)];
    for (const metric of absolute) metric.reset();
    for (const { name, value } of stats.counters) engine.inc({ counter: name }, Number(value));
    for (const { name, value } of stats.drops) drops.inc({ reason: name }, Number(value));
    for (const port of stats.ports) {
      for (const [key, metric] of ports) metric.inc({ port: port.port, interface: port.interfaceName }, Number(port[key]));
    }
    rebuilds.inc(stats.rebuilds);
    mended.inc(stats.mended);
    law.set(Number(stats.lawDifference));
    networks.set(sizes.networks);
    sandboxes.set(sizes.sandboxes);
    reclaimed.inc(sizes.reclaimed);
    waiting.set(sizes.waiting);
  };
  const metrics = registry.metrics.bind(registry);
  registry.metrics = async () => {
    await collect();
    return metrics();
  };
  return registry;
}

export interface MetricsServer {
  close(): Promise<void>;
}

/** `address`: "127.0.0.1:9469", "[::1]:9469". */
export async function serveMetrics(address: string, source: MetricsSource): Promise<MetricsServer> {
  const cut = address.lastIndexOf(":");
  const host = address.slice(0, cut).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(cut + 1));
  const registry = metricsRegistry(source);
  const server: Server = createServer((request, response) => {
    if (request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404).end("see /metrics\n");
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      (error: Error) => response.writeHead(503).end(`${error.message}\n`),
    );
  });
  await new Promise<void>((done, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const code = error.code === "EADDRINUSE" ? "ADDRESS_IN_USE" : "UNAVAILABLE";
      fail(new WeftError(code, `cannot serve metrics on ${address}: ${error.message}; give another --metrics`));
    });
    server.listen(port, host, done);
  });
  return {
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
