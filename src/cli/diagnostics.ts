// weft stats, drops, fdb, neigh, vtep, trace, audit: what the data path does and has.
import type { Command } from "commander";
import type { FdbEntry__Output } from "../api/generated/weft/v1/FdbEntry.ts";
import type { PortStats__Output } from "../api/generated/weft/v1/PortStats.ts";
import type { StatsResponse__Output } from "../api/generated/weft/v1/StatsResponse.ts";
import { portText } from "../api/port-text.ts";
import { WeftError } from "../errors.ts";
import { type Context, integer, leaf, type Session } from "./command.ts";
import { table } from "./table.ts";
import { amount, durationMs, figure, span } from "./values.ts";

const WATCH_MS = 1000;
const CLEAR = "\x1b[H\x1b[2J";
const BITS = 8;

const counts = (numbers: Readonly<Record<string, string>>): Record<string, number | string> =>
  Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, figure(value)]));

const statsDocument = (stats: StatsResponse__Output) => ({
  At: stats.at,
  Counters: Object.fromEntries(stats.counters.map(({ name, value }) => [name, figure(value)])),
  Drops: figure(stats.drops),
  LawDifference: figure(stats.lawDifference),
  Rebuilds: stats.rebuilds,
  Audits: stats.audits,
  Mended: stats.mended,
  Ports: stats.ports.map((one) => ({
    Port: one.port!.id,
    Kind: one.port!.kind,
    Network: one.port!.networkName,
    Sandbox: one.port!.sandboxName,
    Interface: one.port!.interfaceName,
    RxPackets: figure(one.rxPackets),
    RxBytes: figure(one.rxBytes),
    TxPackets: figure(one.txPackets),
    TxBytes: figure(one.txBytes),
    Drops: figure(one.drops),
  })),
  Poller: {
    Polls: figure(stats.poller!.polls),
    Sleeps: figure(stats.poller!.sleeps),
    SpinUs: figure(stats.poller!.spinUs),
    Wakes: figure(stats.poller!.wakes),
    ReceiveCalls: figure(stats.poller!.receiveCalls),
    SendCalls: figure(stats.poller!.sendCalls),
    ReceiveErrors: counts(stats.poller!.receiveErrors),
    SendErrors: counts(stats.poller!.sendErrors),
  },
});

const PORT_FIGURES = [2, 3, 4, 5, 6];

/** What should never be, in words; empty lines are none. */
function alarms(stats: StatsResponse__Output): string {
  const lines: string[] = [];
  if (stats.lawDifference !== "0") lines.push(`packets without a verdict: ${stats.lawDifference} (a bug of Weft's)`);
  if (stats.rebuilds > 0) lines.push(`the engine was rebuilt after a trap ${stats.rebuilds} times: see the daemon's log`);
  if (stats.mended > 0) lines.push(`audits mended ${stats.mended} table entries`);
  return lines.map((line) => `${line}\n`).join("");
}

function statsText(context: Context, stats: StatsResponse__Output): string {
  const rows = stats.ports.map((one) => [
    portText(one.port!),
    one.port!.networkName,
    ...[one.rxPackets, one.rxBytes, one.txPackets, one.txBytes, one.drops],
  ]);
  const header = ["PORT", "NETWORK", "RX PACKETS", "RX BYTES", "TX PACKETS", "TX BYTES", "DROPS"];
  const counters = [...stats.counters.map(({ name, value }) => [name, value]), ["drops", stats.drops]].filter(([, value]) => value !== "0");
  const ports = table(header, rows, context.host.columns, PORT_FIGURES);
  return `${ports}\n${table(["COUNTER", "VALUE"], counters as string[][], context.host.columns, [1])}${alarms(stats)}`;
}

/** The change of one port's figure a second. */
function rate(
  now: PortStats__Output,
  before: PortStats__Output | undefined,
  key: "rxPackets" | "rxBytes" | "txPackets" | "txBytes" | "drops",
  seconds: number,
): number {
  return before === undefined || seconds <= 0 ? 0 : Number(BigInt(now[key]) - BigInt(before[key])) / seconds;
}

function ratesText(context: Context, now: StatsResponse__Output, before: StatsResponse__Output): string {
  const seconds = (Date.parse(now.at) - Date.parse(before.at)) / 1000;
  const earlier = new Map(before.ports.map((one) => [one.port!.id, one]));
  const rows = now.ports.map((one) => {
    const old = earlier.get(one.port!.id);
    const per = (key: Parameters<typeof rate>[2]): number => rate(one, old, key, seconds);
    return [
      portText(one.port!),
      one.port!.networkName,
      ...[amount(per("rxPackets")), amount(per("rxBytes") * BITS, "bit"), amount(per("txPackets")), amount(per("txBytes") * BITS, "bit")],
      amount(per("drops")),
    ];
  });
  const header = ["PORT", "NETWORK", "RX PACKETS/S", "RX /S", "TX PACKETS/S", "TX /S", "DROPS/S"];
  return `${table(header, rows, context.host.columns, PORT_FIGURES)}${alarms(now)}`;
}

async function watch(context: Context): Promise<void> {
  let before: StatsResponse__Output | undefined;
  const stream = context.client.stream("diagnostics", "Stats", { intervalMs: WATCH_MS }, context.host.interrupted());
  for await (const stats of stream) {
    const clear = context.host.stdoutIsTerminal && context.format === "table" ? CLEAR : "";
    context.one(statsDocument(stats), () => clear + (before === undefined ? statsText(context, stats) : ratesText(context, stats, before)));
    before = stats;
  }
}

const fdbRow = (entry: FdbEntry__Output) => ({
  Mac: entry.mac,
  To: entry.to === "vtep" ? `vtep ${entry.vtep}` : portText(entry.port!),
  Kind: entry.static ? "static" : "learned",
  AgeS: entry.ageS,
});

interface TraceFlags {
  readonly mac?: string;
  readonly network?: string;
  readonly address?: string;
  readonly packets?: number;
  readonly timeout?: string;
}

async function trace(context: Context, sandbox: string, destination: string, flags: TraceFlags): Promise<void> {
  const request = {
    sandbox,
    destination,
    destinationMac: flags.mac ?? "",
    network: flags.network ?? "",
    address: flags.address ?? "",
    packets: flags.packets ?? 0,
    timeoutMs: flags.timeout === undefined ? 0 : durationMs(flags.timeout),
  };
  let count = 0;
  let packet = 0;
  const interrupted = context.host.interrupted();
  for await (const { lines, lost } of context.client.stream("diagnostics", "Trace", request, interrupted)) {
    for (const line of lines) {
      const document = { Packet: line.packet, Node: line.node, Event: line.event, Text: line.text };
      const gap = packet !== 0 && packet !== line.packet ? "\n" : "";
      context.one(
        document,
        () => `${gap}${String(line.packet).padStart(3)}  ${line.node.padEnd(16)}  ${line.event.padEnd(10)}  ${line.text}\n`,
      );
      packet = line.packet;
      count += 1;
    }
    if (lost > 0) context.complain(`${lost} lines were overwritten before they could be read`);
  }
  if (count === 0 && !interrupted.aborted)
    throw new WeftError("UNAVAILABLE", `no frame of ${sandbox} came by in time: give --timeout, or a destination to probe`);
}

export function register(program: Command, host: Session): void {
  leaf<{ watch?: boolean }>(program, host, {
    usage: "stats",
    summary: "Packets and bytes by port, and the engine's counters",
    examples: ["weft stats", "weft stats --watch                    rates, every second until ctrl-c", "weft stats --format json"],
    async run(context, _, flags) {
      if (flags.watch) return watch(context);
      for await (const stats of context.client.stream("diagnostics", "Stats", {})) {
        context.one(statsDocument(stats), () => statsText(context, stats));
      }
    },
  }).option("-w, --watch", "rates, again every second");

  leaf<{ all?: boolean }>(program, host, {
    usage: "drops",
    summary: "Why packets were dropped, and how many",
    examples: ["weft drops", "weft drops --all                       reasons that never happened too"],
    async run(context, _, flags) {
      const { reasons } = await context.client.call("diagnostics", "Drops", { all: flags.all ?? false });
      const rows = reasons.map(({ name, packets, text }) => ({ Reason: name, Packets: figure(packets), Text: text }));
      context.list(rows, {
        header: ["REASON", "PACKETS", "MEANING"],
        cells: (row) => [row.Reason, String(row.Packets), row.Text],
        id: (row) => row.Reason,
        whole: [0],
        right: [1],
      });
    },
  }).option("-a, --all", "also reasons that never happened");

  leaf(program, host, {
    usage: "fdb <network>",
    summary: "Where a network's MAC addresses are",
    examples: ["weft fdb prod"],
    async run(context, [network]) {
      const rows = [];
      for await (const { entries } of context.client.stream("diagnostics", "Fdb", { network: network! })) rows.push(...entries.map(fdbRow));
      context.list(rows, {
        header: ["MAC", "TO", "KIND", "AGE"],
        cells: (row) => [row.Mac, row.To, row.Kind, row.Kind === "static" ? "" : span(row.AgeS)],
        id: (row) => row.Mac,
        whole: [0],
      });
    },
  });

  leaf(program, host, {
    usage: "neigh <network>",
    summary: "Addresses for which the engine answers ARP and neighbour solicitations",
    examples: ["weft neigh prod"],
    async run(context, [network]) {
      const { neighbors } = await context.client.call("diagnostics", "Neighbors", { network: network! });
      const rows = neighbors.map(({ address, mac }) => ({ Address: address, Mac: mac }));
      context.list(rows, { header: ["ADDRESS", "MAC"], cells: (row) => [row.Address, row.Mac], id: (row) => row.Address });
    },
  });

  leaf(program, host, {
    usage: "vtep <network>",
    summary: "VTEPs that a network's floods go to",
    examples: ["weft vtep prod"],
    async run(context, [network]) {
      const { vteps } = await context.client.call("diagnostics", "Vteps", { network: network! });
      const rows = vteps.map(({ address, port, vni }) => ({ Address: address, Port: port, Vni: vni ?? null }));
      context.list(rows, {
        header: ["ADDRESS", "PORT", "VNI"],
        cells: (row) => [row.Address, String(row.Port), row.Vni === null ? "" : String(row.Vni)],
        id: (row) => row.Address,
        whole: [0],
      });
    },
  });

  leaf<TraceFlags>(program, host, {
    usage: "trace <sandbox> [destination]",
    summary: "The way of a packet through the graph, node by node",
    examples: [
      "weft trace a 10.1.0.3                  an echo request, as if a had sent it",
      "weft trace a b                         to sandbox b",
      "weft trace a --packets 4 --timeout 30s the next four frames that a sends",
    ],
    run: (context, [sandbox, destination], flags) => trace(context, sandbox!, destination ?? "", flags),
  })
    .option("--mac <mac>", "the destination's MAC, where it isn't known here")
    .option("--network <network>", "which of the sandbox's networks")
    .option("--address <address>", "real traffic: only frames to or from this address")
    .option("--packets <count>", "real traffic: frames to trace (default: 1)", integer("--packets", 1, 64))
    .option("--timeout <duration>", "give up after so long (default: 1s for probes, 10s for real traffic)");

  leaf(program, host, {
    usage: "audit",
    summary: "Compare the engine's tables with what they should be, and mend them",
    examples: ["weft audit"],
    async run(context) {
      const { checked, mended } = await context.client.call("diagnostics", "Audit", {});
      context.one({ Checked: checked, Mended: mended }, () => `${checked} entries checked, ${mended} mended\n`);
    },
  });
}
