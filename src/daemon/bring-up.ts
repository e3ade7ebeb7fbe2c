// The composition root: the only place that makes subsystems and puts them in order.
//
//   host checks ─> lock ─> store ─> datapath ─> names, nat, keys ─> controller: restore ─> API ─> metrics
//
// What is up is on the stack, so that whoever called takes it down again, in reverse, when a step fails or a signal comes.
import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { allHandlers } from "../api/handlers.ts";
import { type ApiServer, checkSocketPath, startApi } from "../api/server.ts";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/load.ts";
import { VERSION } from "../config/version.ts";
import { openController } from "../controller/controller.ts";
import { RECONCILE_INTERVAL_MS } from "../controller/upkeep/reconcile.ts";
import { WeftDatapath } from "../datapath/datapath.ts";
import type { DatapathLog } from "../datapath/datapath-api.ts";
import { EmbeddedDns } from "../dns/dns.ts";
import { builtinDrivers, DriverRegistry } from "../drivers/registry.ts";
import { EmbeddedIpam } from "../ipam/embedded.ts";
import { NullIpam } from "../ipam/null.ts";
import { IpamRegistry } from "../ipam/registry.ts";
import { PluginIpams } from "../ipam/remote/plugins.ts";
import { Keys } from "../keys/service.ts";
import type { Logger } from "../log.ts";
import { serveMetrics } from "../metrics.ts";
import { auditRules } from "../nat/audit.ts";
import { KernelNat } from "../nat/host-nat.ts";
import { checkPrivileges, checkTun, underlayMtu } from "../netns/host.ts";
import { NativeNamespaces } from "../netns/native-namespaces.ts";
import { Programs } from "../netns/programs.ts";
import { native } from "../ports/native.ts";
import { requireAddon } from "../ports/port.ts";
import { repeat } from "../repeat.ts";
import { openLmdbStore, STORE_FILE } from "../store/lmdb.ts";
import { removeAbandoned, removeOldLogs } from "./died.ts";
import type { Stack } from "./stack.ts";
import { lockStateDir, makeStateDir } from "./state-dir.ts";

const KEY_TICK_MS = 1000;

const logTo =
  (log: Logger): DatapathLog =>
  (level, message, fields) =>
    log[level](fields ?? {}, message);

/** All of a daemon, each step on `stack`; answers when the API is open. Throws the reason, with the steps that were taken on the stack. */
export async function bringUp(config: Config, log: Logger, stack: Stack, stopping: () => boolean): Promise<ApiServer> {
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
  await nat.open();
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
  if (config.datapath.auditIntervalS > 0) {
    const audits = repeat(
      () => controller.auditHost(),
      config.datapath.auditIntervalS * 1000,
      (error) => log.error({ err: error }, "cannot audit the host's interfaces"),
    );
    stack.push("audit of the host's interfaces", () => audits.end());
  }
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
  return api;
}
