// weft status, version, info: the daemon about itself.
import { setTimeout as wait } from "node:timers/promises";
import type { Command } from "commander";
import type { InfoResponse__Output } from "../api/generated/weft/v1/InfoResponse.ts";
import type { StatusResponse__Output } from "../api/generated/weft/v1/StatusResponse.ts";
import type { VersionResponse__Output } from "../api/generated/weft/v1/VersionResponse.ts";
import { VERSION } from "../config/version.ts";
import { unavailable, WeftError } from "../errors.ts";
import { type Context, leaf, type Session } from "./command.ts";
import { facts } from "./table.ts";
import { amount, durationMs, figure, span } from "./values.ts";

const RETRY_MS = 50;
/** How long one try waits for a daemon that doesn't speak. */
const TRY_MIN_MS = 100;
const TRY_MAX_MS = 10_000;
const IEC_MIB = 1024 * 1024;

const statusDocument = (status: StatusResponse__Output) => ({
  State: status.state,
  NodeName: status.nodeName,
  Pid: status.pid,
  StartedAt: status.startedAt,
  Networks: status.networks,
  Sandboxes: status.sandboxes,
  Endpoints: status.endpoints,
  StaticPeers: status.staticPeers,
  ReconciledAt: status.reconciledAt,
  AddressesReclaimed: status.addressesReclaimed,
  LeasesWaiting: status.leasesWaiting,
  Crypto: status.crypto,
  CryptoReason: status.cryptoReason,
  Warnings: status.warnings,
});

const versionDocument = (version: VersionResponse__Output) => ({
  Version: version.version,
  ApiVersion: version.apiVersion,
  EngineAbi: version.engineAbi,
  NodeVersion: version.nodeVersion,
  Kernel: version.kernel,
  Architecture: version.architecture,
});

const infoDocument = (info: InfoResponse__Output) => ({
  ...statusDocument(info.status!),
  ...versionDocument(info.version!),
  StateDir: info.stateDir,
  Socket: info.socket,
  Metrics: info.metrics,
  VxlanPort: info.vxlanPort,
  Underlay: info.underlay.map((one) => ({ Address: one.address, Port: one.port, SourcePorts: one.sourcePorts })),
  FdbSlots: info.fdbSlots,
  SpinUs: info.spinUs,
  Domains: info.domains,
  Ports: info.ports,
  Vteps: info.vteps,
  EngineBytes: figure(info.engineBytes),
});

const plural = (count: number, what: string, many = `${what}s`): string => `${count} ${count === 1 ? what : many}`;

/** Whether any were leaked. */
function reclaimed({ reconciledAt, addressesReclaimed, leasesWaiting }: StatusResponse__Output): string {
  const waiting = leasesWaiting === 0 ? "" : `, ${leasesWaiting} to be given back to plugins that don't answer`;
  if (reconciledAt === "") return `not reconciled yet${waiting}`;
  return `${addressesReclaimed === 0 ? "none leaked" : `${addressesReclaimed} were leaked and are free again`}${waiting}`;
}

function statusLines(status: StatusResponse__Output): [string, string][] {
  const seconds = (Date.now() - Date.parse(status.startedAt)) / 1000;
  return [
    ["state", `${status.state}, process ${status.pid}, up ${span(seconds)}`],
    ["node", status.nodeName],
    ["networks", String(status.networks)],
    ["sandboxes", `${status.sandboxes} with ${plural(status.endpoints, "endpoint")}`],
    ["static peers", String(status.staticPeers)],
    ["addresses", reclaimed(status)],
    ["crypto", `${status.crypto}: ${status.cryptoReason}`],
    ...status.warnings.map((warning): [string, string] => ["warning", warning]),
  ];
}

/** Asks until the daemon serves or the time is up. */
async function serving(context: Context, waitMs: number): Promise<StatusResponse__Output> {
  for (const deadline = performance.now() + waitMs; ; await wait(RETRY_MS)) {
    try {
      const leftMs = deadline - performance.now();
      const patience = waitMs === 0 ? TRY_MAX_MS : Math.min(TRY_MAX_MS, Math.max(TRY_MIN_MS, Math.round(leftMs)));
      const status = await context.client.call("node", "Status", {}, patience);
      if (status.state === "serving" || waitMs === 0) return status;
      throw unavailable(`the weft daemon is ${status.state}`);
    } catch (error) {
      if (!(error instanceof WeftError) || error.code !== "UNAVAILABLE" || performance.now() >= deadline) throw error;
    }
  }
}

export function register(program: Command, host: Session): void {
  leaf<{ wait?: string }>(program, host, {
    usage: "status",
    summary: "Whether the daemon serves; exit code 0 if so",
    examples: ["weft status", "weft status --wait 10s      until it serves, at most so long"],
    async run(context, _, flags) {
      const status = await serving(context, flags.wait === undefined ? 0 : durationMs(flags.wait));
      context.one(statusDocument(status), () => facts(statusLines(status)));
    },
  }).option("--wait <duration>", "wait until it serves: 10s, 500ms, 1m");

  leaf(program, host, {
    usage: "version",
    summary: "Versions of this program and of the daemon, if it runs",
    examples: ["weft version", "weft version --format '{{.Version}}'"],
    async run(context) {
      const client = { Version: VERSION, NodeVersion: process.version };
      const daemon = await context.client.call("node", "Version", {}).catch((error: WeftError) => {
        if (error.code !== "UNAVAILABLE") throw error;
        return undefined;
      });
      const document = { ...client, Client: client, Daemon: daemon === undefined ? null : versionDocument(daemon) };
      context.one(document, () =>
        facts([
          ["weft", `${VERSION} (Node ${process.version})`],
          daemon === undefined
            ? ["daemon", `not reachable at unix://${context.socketPath}`]
            : [
                "daemon",
                `${daemon.version} (Node ${daemon.nodeVersion}, Linux ${daemon.kernel} ${daemon.architecture}, engine ABI ${daemon.engineAbi})`,
              ],
        ]),
      );
    },
  });

  leaf(program, host, {
    usage: "info",
    summary: "Settings in force and the size of things",
    examples: ["weft info", "weft info --format json"],
    async run(context) {
      const info = await context.client.call("node", "Info", {});
      context.one(infoDocument(info), () =>
        facts([
          ...statusLines(info.status!),
          ["version", `${info.version!.version} (API ${info.version!.apiVersion}, engine ABI ${info.version!.engineAbi})`],
          ["host", `Linux ${info.version!.kernel} ${info.version!.architecture}, Node ${info.version!.nodeVersion}`],
          ["state dir", info.stateDir],
          ["socket", `unix://${info.socket}`],
          ["metrics", info.metrics === "" ? "off" : `http://${info.metrics}/metrics`],
          ["underlay", info.underlay.map(({ address, port }) => `${address} port ${port}`).join(", ") || "none: local networks only"],
          ["data path", `${plural(info.domains, "bridge domain")}, ${plural(info.ports, "port")}, ${plural(info.vteps, "VTEP")}`],
          [
            "engine",
            `${Math.round(Number(info.engineBytes) / IEC_MIB)} MiB, ${amount(info.fdbSlots)} FDB slots, spins up to ${info.spinUs} us`,
          ],
        ]),
      );
    },
  });
}
