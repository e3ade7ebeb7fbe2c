// DiagnosticsService: what the datapath counts, has and sees, with the controller's names on it.
import { setTimeout as wait } from "node:timers/promises";
import type { Controller } from "../controller/types.ts";
import type { CaptureOptions, DatapathService, DatapathStats, TraceOptions } from "../datapath/datapath-api.ts";
import { forbidden, invalidArgument, notFound, WeftError } from "../errors.ts";
import { canonicalAddress } from "../net/address.ts";
import type { CaptureRequest__Output } from "./generated/weft/v1/CaptureRequest.ts";
import type { FdbEntry } from "./generated/weft/v1/FdbEntry.ts";
import type { StatsResponse } from "./generated/weft/v1/StatsResponse.ts";
import type { TraceRequest__Output } from "./generated/weft/v1/TraceRequest.ts";
import { PortNames } from "./port-names.ts";
import { planProbe, stackOf } from "./probe.ts";
import type { AllHandlers } from "./server.ts";

/** Faster would be a load of its own. */
const INTERVAL_MIN_MS = 100;
/** What timers can count to; a longer one would come at once. */
const INTERVAL_MAX_MS = 2 ** 31 - 1;
const FDB_CHUNK = 1000;
const TRACE_PACKETS_MAX = 64;

const text = (counts: Readonly<Record<string, number>>): Record<string, string> =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, String(count)]));

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function statsMessage(stats: DatapathStats, names: PortNames): StatsResponse {
  const { poller } = stats;
  return {
    at: new Date().toISOString(),
    counters: stats.counters.map(({ name, value }) => ({ name, value: String(value) })),
    ports: stats.ports.map((port) => ({
      port: names.name(port.port, port),
      rxPackets: String(port.rxPackets),
      rxBytes: String(port.rxBytes),
      txPackets: String(port.txPackets),
      txBytes: String(port.txBytes),
      drops: String(port.drops),
    })),
    poller: {
      polls: poller.polls,
      sleeps: poller.sleeps,
      spinUs: poller.spinUs,
      wakes: poller.wakes,
      receiveCalls: poller.receiveCalls,
      sendCalls: poller.sendCalls,
      receiveErrors: text(poller.receiveErrors),
      sendErrors: text(poller.sendErrors),
    },
    drops: String(stats.drops.reduce((sum, { value }) => sum + value, 0n)),
    lawDifference: String(stats.lawDifference),
    rebuilds: stats.rebuilds,
    audits: stats.audits,
    mended: stats.mended,
  };
}

/** Bridge domains whose frames cross the underlay inside ESP. */
const encryptedDomains = (controller: Controller): string[] =>
  controller
    .listNetworks()
    .map(({ id }) => controller.inspectNetwork(id))
    .flatMap(({ encrypted, domains }) => (encrypted ? domains : []));

/** Which ports or domains a capture means. */
async function captureTarget(request: CaptureRequest__Output, controller: Controller, datapath: DatapathService): Promise<CaptureOptions> {
  const sandbox = (reference: string): CaptureOptions => {
    const view = stackOf(controller, reference);
    const own = view.endpoints.filter(({ endpoint }) => endpoint.interfaceName !== null);
    if (own.length === 0) throw forbidden(`sandbox ${view.sandbox.name} is on no network: there is nothing to capture`);
    return { ports: own.map(({ endpoint }) => endpoint.id) };
  };
  const network = async (reference: string): Promise<CaptureOptions> => {
    const { network, domains: its } = controller.inspectNetwork(reference);
    const { name } = network;
    const [stats, vteps] = await Promise.all([datapath.stats(), datapath.dumpVteps()]);
    const domains = new Set([...stats.ports, ...vteps].map(({ domain }) => domain).filter((domain) => its.includes(domain)));
    if (domains.size === 0) throw forbidden(`network ${name} has no port on this host: there is nothing to capture`);
    return { domains: [...domains] };
  };
  const exists = (look: () => unknown): boolean => {
    try {
      look();
      return true;
    } catch (error) {
      if (error instanceof WeftError && error.code === "NOT_FOUND") return false;
      throw error;
    }
  };
  if (request.decrypt && request.target !== "underlay")
    throw invalidArgument("--decrypt is for captures of the underlay: frames of sandboxes and networks are never encrypted");
  switch (request.target) {
    case "underlay":
      if (datapath.info().underlay.length === 0) throw forbidden("this daemon has no underlay: it was started without --underlay-address");
      return { underlay: true, ...(request.decrypt ? { opened: encryptedDomains(controller) } : {}) };
    case "sandbox":
      return sandbox(request.sandbox ?? "");
    case "network":
      return network(request.network ?? "");
    case "name": {
      const name = request.name ?? "";
      const isSandbox = exists(() => controller.inspectSandbox(name));
      const isNetwork = exists(() => controller.inspectNetwork(name));
      if (isSandbox && isNetwork) throw invalidArgument(`${name} is a sandbox and a network: give its id`);
      if (isSandbox) return sandbox(name);
      if (isNetwork) return network(name);
      throw notFound(`no sandbox or network ${name}`);
    }
    default:
      throw invalidArgument("a capture has a target: sandbox, network, underlay or name");
  }
}

async function traceOptions(request: TraceRequest__Output, controller: Controller, datapath: DatapathService): Promise<TraceOptions> {
  const timeout = request.timeoutMs === 0 ? {} : { timeoutMs: request.timeoutMs };
  if (request.destination !== "") return { ...timeout, ...(await planProbe(request, controller, datapath)) };
  const view = stackOf(controller, request.sandbox);
  const networkId = request.network === "" ? null : controller.inspectNetwork(request.network).network.id;
  const own = view.endpoints.filter(
    ({ endpoint, network }) => endpoint.interfaceName !== null && (networkId === null || network.id === networkId),
  );
  if (own.length === 0)
    throw notFound(`sandbox ${view.sandbox.name} is ${networkId === null ? "on no network" : `not on network ${request.network}`}`);
  if (own.length > 1) {
    const choices = own.map(({ network }) => network.name).join(", ");
    throw invalidArgument(`sandbox ${view.sandbox.name} is on several networks: give --network, one of ${choices}`);
  }
  if (request.packets > TRACE_PACKETS_MAX)
    throw invalidArgument(`${request.packets} packets are too many to trace: at most ${TRACE_PACKETS_MAX}`);
  return {
    ...timeout,
    port: own[0]!.endpoint.id,
    packets: request.packets || 1,
    ...(request.address === "" ? {} : { address: canonicalAddress(request.address) }),
  };
}

export function diagnosticsHandlers(controller: Controller, datapath: DatapathService): AllHandlers["diagnostics"] {
  const ofNetwork = <E extends { readonly domain: string }>(reference: string, entries: readonly E[]): E[] => {
    const { domains } = controller.inspectNetwork(reference);
    return entries.filter((entry) => domains.includes(entry.domain));
  };
  return {
    async *Stats(request, { signal }) {
      const interval = request.intervalMs;
      if (interval !== 0 && interval < INTERVAL_MIN_MS) {
        throw invalidArgument(`an interval of ${interval} ms is too short: at least ${INTERVAL_MIN_MS} ms`);
      }
      if (interval > INTERVAL_MAX_MS) {
        throw invalidArgument(`an interval of ${interval} ms is too long: at most ${INTERVAL_MAX_MS} ms`);
      }
      do {
        yield statsMessage(await datapath.stats(), new PortNames(controller));
        if (interval !== 0) await wait(interval, undefined, { signal });
      } while (interval !== 0);
    },

    async Drops(request) {
      const { drops } = await datapath.stats();
      const reasons = drops.filter(({ value }) => request.all || value > 0n);
      return { reasons: reasons.map(({ name, text, value }) => ({ name, text, packets: String(value) })) };
    },

    async *Fdb(request) {
      controller.inspectNetwork(request.network);
      const names = new PortNames(controller);
      const entries = ofNetwork(request.network, await datapath.dumpFdb()).sort((a, b) => byText(a.mac, b.mac));
      for (let at = 0; at < entries.length; at += FDB_CHUNK) {
        yield {
          entries: entries.slice(at, at + FDB_CHUNK).map((entry): FdbEntry => {
            const to = "port" in entry.to ? { port: names.name(entry.to.port) } : { vtep: entry.to.vtep };
            return { mac: entry.mac, ...to, static: entry.static, ageS: Math.round(entry.ageS) };
          }),
        };
      }
    },

    async Neighbors(request) {
      controller.inspectNetwork(request.network);
      const neighbors = ofNetwork(request.network, await datapath.dumpNeighbors());
      return { neighbors: neighbors.map(({ address, mac }) => ({ address, mac })) };
    },

    async Vteps(request) {
      controller.inspectNetwork(request.network);
      const vteps = ofNetwork(request.network, await datapath.dumpVteps());
      return { vteps: vteps.map(({ address, port, vni }) => ({ address, port, ...(vni === null ? {} : { vni }) })) };
    },

    async *Trace(request, { signal }) {
      const result = await datapath.trace({ ...(await traceOptions(request, controller, datapath)), signal });
      const names = new PortNames(controller);
      yield {
        lines: result.lines.map(({ packet, node, event, text: words }) => ({ packet, node, event, text: names.readable(words) })),
        lost: result.lost,
      };
    },

    async *Capture(request, { signal }) {
      const target = await captureTarget(request, controller, datapath);
      const length = request.snapLength === 0 ? {} : { snapLengthBytes: request.snapLength };
      for await (const chunk of datapath.capture({ ...target, ...length, signal })) yield { data: Buffer.from(chunk) };
    },

    async Audit() {
      const { checked, mended } = await datapath.audit();
      return { checked, mended };
    },
  };
}
