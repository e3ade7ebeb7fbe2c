// The composition root: the only place that makes subsystems and puts them in order.
//
//   configuration ─> host checks ─> lock ─> store ─> datapath ─> controller: restore ─> API ─> metrics ─> "ready"
//
// and back in reverse at SIGTERM or SIGINT: no more calls, `run --rm` sandboxes removed, TAPs left in place for the next
// daemon, store closed. Whatever fails on the way up, what is up already goes down again, and the reason is the exit's. A
// second signal ends at once: state is in the store, interfaces are persistent, so nothing is lost but politeness.
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { allHandlers } from "./api/handlers.ts";
import { type ApiServer, checkSocketPath, startApi } from "./api/server.ts";
import { systemClock } from "./clock.ts";
import { sandboxLogPath } from "./config/defaults.ts";
import { type Config, loadConfig } from "./config/load.ts";
import { VERSION } from "./config/version.ts";
import { type CnmController, openController } from "./controller/controller.ts";
import { RECONCILE_INTERVAL_MS } from "./controller/reconcile.ts";
import { WeftDatapath } from "./datapath/datapath.ts";
import type { DatapathLog } from "./datapath/datapath-api.ts";
import { EmbeddedDns } from "./dns/dns.ts";
import { builtinDrivers, DriverRegistry } from "./drivers/registry.ts";
import { forbidden, unavailable } from "./errors.ts";
import { EmbeddedIpam } from "./ipam/embedded.ts";
import { NullIpam } from "./ipam/null.ts";
import { IpamRegistry } from "./ipam/registry.ts";
import { PluginIpams } from "./ipam/remote/plugins.ts";
import { Keys } from "./keys/service.ts";
import { createLogger, type Logger } from "./log.ts";
import { serveMetrics } from "./metrics.ts";
import { auditRules } from "./nat/audit.ts";
import { KernelNat } from "./nat/host-nat.ts";
import { abandoned, checkPrivileges, checkTun, underlayMtu } from "./netns/host.ts";
import { NativeNamespaces } from "./netns/native-namespaces.ts";
import { Programs } from "./netns/programs.ts";
import { makeFolders } from "./paths.ts";
import { native } from "./ports/native.ts";
import { requireAddon } from "./ports/port.ts";
import { purge } from "./purge/purge.ts";
import { repeat } from "./repeat.ts";
import { openLmdbStore, STORE_FILE } from "./store/lmdb.ts";

const LOCK_FILE = "lock";
const STATE_DIR_MODE = 0o700;
const SIGNALLED = 128;
const KEY_TICK_MS = 1000;

export interface DaemonFlags {
  readonly config?: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What has been started, in order; taken down in reverse. */
class Stack {
  readonly #log: Logger;
  readonly #steps: { readonly name: string; readonly stop: () => unknown }[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  push(name: string, stop: () => unknown): void {
    this.#steps.push({ name, stop });
  }

  /** One that fails does not keep the others up. */
  async unwind(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.stop();
      } catch (error) {
        this.#log.error({ err: error }, `cannot stop ${step.name}`);
      }
    }
  }
}

function makeStateDir(path: string): void {
  try {
    makeFolders(path, STATE_DIR_MODE);
    if (!statSync(path).isDirectory()) throw new Error("not a folder");
  } catch (error) {
    throw unavailable(`cannot make the state directory ${path}: ${(error as Error).message}; give another --state-dir`);
  }
}

/** Whose it is, for the second daemon's message; the lock itself is the kernel's and goes with the process. */
function lockStateDir(stateDir: string): number {
  const path = join(stateDir, LOCK_FILE);
  let fd: number | null;
  try {
    fd = native().lockFile(path);
  } catch (error) {
    throw unavailable(
      `cannot write in the state directory ${stateDir}: ${(error as Error).message}; make it writable or give another --state-dir`,
    );
  }
  if (fd === null) {
    const owner = readFileSync(path, "utf8").trim();
    const who = owner === "" ? "another weft daemon" : `another weft daemon (pid ${owner})`;
    throw forbidden(`${who} uses state directory ${stateDir}; stop it or give --state-dir`);
  }
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw unavailable(`cannot write ${path}: ${(error as Error).message}; free some space there or give another --state-dir`);
  }
  return fd;
}

const logTo =
  (log: Logger): DatapathLog =>
  (level, message, fields) =>
    log[level](fields ?? {}, message);

interface Daemon {
  readonly controller: CnmController;
  readonly api: ApiServer;
}

/** Sandboxes to be removed at the end of processes that nobody told us of, where none is left. */
async function removeAbandoned(controller: CnmController, log: Logger): Promise<void> {
  const transient = controller.listSandboxes().filter(({ sandbox }) => sandbox.removeOnExit && sandbox.program === null);
  if (transient.length === 0) return;
  const empty = new Set(abandoned(transient.map(({ sandbox }) => sandbox.namespacePath)));
  for (const { sandbox } of transient) {
    if (!empty.has(sandbox.namespacePath)) continue;
    await controller.removeSandbox(sandbox.id, true);
    log.info({ sandbox: sandbox.name }, "sandbox that nothing runs in removed");
  }
}

/** Output and exit codes of programs in sandboxes that are gone. */
function removeOldLogs(stateDir: string, controller: CnmController): void {
  const folder = dirname(sandboxLogPath(stateDir, ""));
  if (!existsSync(folder)) return;
  const kept = new Set(controller.listSandboxes().map(({ sandbox }) => sandbox.id));
  for (const name of readdirSync(folder)) if (!kept.has(name.slice(0, name.indexOf(".")))) rmSync(join(folder, name), { force: true });
}

async function bringUp(config: Config, log: Logger, stack: Stack, stopping: () => boolean): Promise<Daemon> {
  const startedAt = systemClock.nowIso();
  checkPrivileges();
  checkTun();
  requireAddon();
  await checkSocketPath(config.socket);
  const mtuBytes = await underlayMtu(config.underlayAddresses);

  makeStateDir(config.stateDir);
  const lock = lockStateDir(config.stateDir);
  stack.push("lock", () => closeSync(lock));

  const store = await openLmdbStore(join(config.stateDir, STORE_FILE));
  stack.push("store", () => store.close());

  const datapath = new WeftDatapath();
  await datapath.start({
    underlayAddresses: config.underlayAddresses,
    vxlanPort: config.vxlanPort,
    fdbSlots: config.datapath.fdbSlots,
    spinUs: config.datapath.spinUs,
    crypto: config.datapath.crypto,
    auditIntervalS: config.datapath.auditIntervalS,
    stateDir: config.stateDir,
    log: logTo(log),
  });
  stack.push("datapath", () => datapath.stop({ keepInterfaces: true }));

  const { stateDir, resolvConf: resolvConfPath } = config;
  const names = new EmbeddedDns({
    native: native(),
    stateDir,
    resolvConfPath,
    clock: systemClock,
    warn: (message, fields) => log.warn(fields, message),
  });
  stack.push("DNS", () => names.stop());

  const nat = new KernelNat({ native: native(), stateDir: config.stateDir, log: logTo(log) });
  stack.push("held ports", () => nat.close());
  const { sockets, specs, retryS } = config.plugins;
  const host = { folders: { sockets, specs }, retryMs: retryS * 1000, monotonicMs: () => systemClock.monotonicMs(), wait };
  const plugins = new PluginIpams({ store, host, log: logTo(log) });
  const keys = new Keys({
    store,
    datapath,
    clock: systemClock,
    randomBytes: (count) => randomBytes(count),
    underlayAddresses: config.underlayAddresses,
    limits: config.keys,
    log: logTo(log),
    onSecrets: () => native().forbidCoreFiles(),
  });
  await keys.start();
  stack.push("keys", () => keys.stop());
  const keyTicks = repeat(
    () => keys.tick(),
    KEY_TICK_MS,
    (error) => log.error({ err: error }, "cannot renew keys"),
  );
  stack.push("renewal of keys", () => keyTicks.end());
  const controller = await openController({
    nat,
    programs: new Programs(native(), stateDir),
    store,
    datapath,
    namespaces: new NativeNamespaces(native()),
    names,
    drivers: new DriverRegistry(builtinDrivers()),
    ipam: new IpamRegistry([new EmbeddedIpam(), new NullIpam()], plugins),
    underlay: { addresses: config.underlayAddresses, mtuBytes, vxlanPort: config.vxlanPort },
    keys,
    cipher: () => datapath.info().cipher,
    defaultBridge: config.bridge,
    egress: config.egress,
    stateDir: config.stateDir,
    clock: systemClock,
    randomBytes: (count) => randomBytes(count),
    log: logTo(log),
  });
  names.follow(controller.nameRecords);
  datapath.onInterfaceRecreated((port) => void controller.interfaceRecreated(port));
  await controller.restore();
  stack.push(
    "audit of the host's rules",
    auditRules(nat, { native: native(), intervalS: config.datapath.auditIntervalS, log: logTo(log) }),
  );
  await controller.ensurePredefined();
  await controller.followPrograms();
  await removeAbandoned(controller, log);
  removeOldLogs(config.stateDir, controller);
  const reconciliation = repeat(
    () => controller.reconcile(),
    RECONCILE_INTERVAL_MS,
    (error) => stopping() || log.error({ err: error }, "cannot reconcile addresses"),
  );
  stack.push("reconciliation of addresses", () => void reconciliation.end());
  stack.push("sandboxes of run --rm", () => controller.removeTransient());

  const handlers = allHandlers(controller, datapath, keys, {
    version: VERSION,
    nodeName: config.nodeName,
    stateDir: config.stateDir,
    socketPath: config.socket,
    metrics: config.metrics,
    startedAt,
    stopping,
    reconciled: () => controller.reconciled,
  });
  const api = await startApi({ socketPath: config.socket, handlers, log });
  stack.push("API", () => api.close());

  if (config.metrics !== null) {
    const sizes = () => ({
      networks: controller.listNetworks().length,
      sandboxes: controller.listSandboxes().length,
      ...controller.reconciled,
    });
    const metrics = await serveMetrics(config.metrics, { stats: () => datapath.stats(), sizes });
    stack.push("metrics", () => metrics.close());
  }

  // For tests of the rebuild, on hosts where it must be seen to work.
  const trap = (): void => {
    log.warn("SIGUSR2: the engine is made to trap");
    datapath.trapEngine().catch((error: Error) => log.error({ err: error }, "cannot trap the engine"));
  };
  process.on("SIGUSR2", trap);
  stack.push("SIGUSR2", () => process.removeListener("SIGUSR2", trap));
  return { controller, api };
}

/** The first SIGTERM or SIGINT; later ones end the process. */
function firstSignal(log: Logger): { readonly came: Promise<NodeJS.Signals>; readonly seen: () => boolean } {
  let seen = false;
  const came = new Promise<NodeJS.Signals>((done) => {
    for (const [signal, number] of [
      ["SIGTERM", 15],
      ["SIGINT", 2],
    ] as const) {
      process.on(signal, () => {
        if (seen) {
          log.warn({ signal }, "second signal: ending at once");
          process.exit(SIGNALLED + number);
        }
        seen = true;
        done(signal);
      });
    }
  });
  return { came, seen: () => seen };
}

/** Ends a process whose state can't be trusted any more: everything it has is in the store or persistent. */
function dieOnBugs(log: Logger): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, event);
      process.exit(1);
    });
  }
}

/** Takes from the host what daemons of these settings have put there; answers the exit code. Throws while one runs. */
export async function purgeDaemon(flags: DaemonFlags, say: (line: string) => void): Promise<number> {
  const { stateDir, socket } = loadConfig(flags.config, flags.settings, process.env);
  checkPrivileges();
  requireAddon();
  return (await purge({ stateDir, socket, native: native(), say })) ? 0 : 1;
}

/** Runs until a signal; answers the exit code. Throws the reason if it can't start. */
export async function runDaemon(flags: DaemonFlags): Promise<number> {
  const config = loadConfig(flags.config, flags.settings, process.env);
  const log = createLogger({ level: config.log.level, format: config.log.format ?? undefined });
  const signal = firstSignal(log);
  dieOnBugs(log);
  const stack = new Stack(log);
  log.info({ version: VERSION, node: config.nodeName, stateDir: config.stateDir, pid: process.pid }, "weft daemon starts");
  try {
    const { api } = await bringUp(config, log, stack, signal.seen);
    log.info({ api: api.address, underlay: config.underlayAddresses, vxlanPort: config.vxlanPort }, "ready");
  } catch (error) {
    await stack.unwind();
    throw error;
  }
  log.info({ signal: await signal.came }, "stopping");
  await stack.unwind();
  log.info("stopped");
  return 0;
}
