// The data plane as the rest of the daemon sees it (datapath-api.ts): takes declarations, makes interfaces and tables agree
// with them, and answers questions about both. Each of its rooms has one business, and all share one `Plane`:
//
//   changes    declarations come true, or leave everything as it was
//   repair     interfaces that somebody deleted are made again
//   workers    the worker, its underlay and its descriptors; a new one when it died
//   esp        its sockets and keys
//   captures   what the engine copies for whom
//
// Here: start, stop, and the questions. Not here: addresses and routes of interfaces, and anything that has a subnet: the
// datapath knows Ethernet and VTEPs.
import { availableParallelism } from "node:os";
import { ABI_VERSION } from "../../wasm/shared/abi.ts";
import { MEMORY_LENGTH } from "../../wasm/shared/layout.ts";
import { FDB_SLOTS_DEFAULT, FDB_SLOTS_MAX } from "../../wasm/shared/limits.ts";
import { VXLAN_PORT } from "../../wasm/shared/protocol.ts";
import { forbidden, invalidArgument } from "../errors.ts";
import { ENGINE_RELEASE_PATH } from "../paths.ts";
import { closeFds, requireAddon } from "../ports/port.ts";
import { descriptorsOf } from "../ports/underlay.ts";
import { Captures } from "./capture/captures.ts";
import { Changes } from "./changes.ts";
import type { Client } from "./client.ts";
import type {
  AssociationEntry,
  AuditReport,
  CaptureOptions,
  DatapathInfo,
  DatapathOptions,
  DatapathService,
  DatapathStats,
  EspListener,
  FdbEntry,
  NeighborEntry,
  StopOptions,
  TraceOptions,
  TraceResult,
  VtepEntry,
} from "./datapath-api.ts";
import type { Declaration } from "./declarations.ts";
import { Standing } from "./desired/standing.ts";
import { dumpFdb, dumpNeighbors } from "./dumps.ts";
import { Esp } from "./esp.ts";
import type { Notice } from "./messages.ts";
import { compileEngine } from "./module.ts";
import { missingText } from "./parents.ts";
import { Plane } from "./plane.ts";
import { Repair } from "./repair.ts";
import { readStats } from "./stats.ts";
import { dropTaps } from "./taps.ts";
import { runTrace } from "./trace/tracer.ts";
import { addressBytes, isIpv6 } from "./words.ts";
import { Workers } from "./workers.ts";

/**
 * A sleep in epoll costs some 30 us of round trip: two to three times the kernel's own. The poller spins only within a few
 * milliseconds of traffic, so an idle daemon does not pay for this.
 */
const SPIN_US_DEFAULT = 50;
const AUDIT_INTERVAL_S_DEFAULT = 60;

export class WeftDatapath implements DatapathService {
  readonly #plane = new Plane();
  readonly #captures = new Captures(this.#plane);
  readonly #esp = new Esp(this.#plane, this.#captures);
  readonly #changes = new Changes(this.#plane, this.#captures, this.#esp);
  readonly #repair = new Repair(this.#plane);
  readonly #workers = new Workers(this.#plane, this.#captures, this.#esp, (client, notice) => this.#notice(client, notice));
  #traces: Promise<unknown> = Promise.resolve();
  #rebuilds = 0;
  #audits = 0;
  #mended = 0;

  // ── life ──

  async start(options: DatapathOptions): Promise<void> {
    const plane = this.#plane;
    if (plane.running !== null) throw forbidden("the datapath has been started already");
    plane.log = options.log ?? (() => {});
    this.#changes.forgetLeftOut();
    const vxlanPort = options.vxlanPort ?? VXLAN_PORT;
    const fdbSlots = options.fdbSlots ?? FDB_SLOTS_DEFAULT;
    const spinUs = availableParallelism() > 1 ? (options.spinUs ?? SPIN_US_DEFAULT) : 0;
    const addresses = options.underlayAddresses ?? [];
    checkOptions(addresses, vxlanPort, fdbSlots, spinUs);
    requireAddon();
    const module = await compileEngine(ENGINE_RELEASE_PATH);
    const settings = { module, options, addresses, vxlanPort, fdbSlots, spinUs, startedAt: new Date().toISOString() };
    try {
      const worker = await this.#workers.bringUp(settings);
      plane.running = { ...settings, ...worker, auditTimer: this.#auditTimer(options.auditIntervalS ?? AUDIT_INTERVAL_S_DEFAULT) };
      this.#repair.watchParents(true);
    } catch (error) {
      plane.tables.clear();
      throw error;
    }
  }

  #auditTimer(intervalS: number): NodeJS.Timeout | null {
    if (intervalS <= 0) return null;
    const timer = setInterval(() => {
      this.audit().catch((error: Error) => this.#plane.log("warn", `the audit of the tables failed: ${error.message}`));
    }, intervalS * 1000);
    return timer.unref();
  }

  stop({ keepInterfaces }: StopOptions): Promise<void> {
    const plane = this.#plane;
    return plane.serially(async () => {
      const { running } = plane;
      if (running === null) return;
      plane.running = null;
      if (running.auditTimer !== null) clearInterval(running.auditTimer);
      this.#repair.watchParents(false);
      this.#captures.endAll();
      try {
        await running.client.stop();
      } catch (error) {
        plane.log("warn", (error as Error).message); // it died on the way
      }
      await closeFds(running.underlays.flatMap(descriptorsOf));
      await this.#esp.close();
      await dropTaps(plane.taps.clear(), keepInterfaces, plane.log);
      await plane.taps.dropped();
      plane.standing = new Standing();
      plane.tables.clear();
    });
  }

  #notice(client: Client | null, notice: Notice): void {
    const { running, log, names } = this.#plane;
    switch (notice.notice) {
      case "rebuilt":
        this.#rebuilds++;
        log("error", "the engine trapped and was rebuilt", { reason: notice.reason, batch: notice.file });
        if (running?.client !== client) break; // on its way up: it gets its tables, whichever engine it has
        running?.sync.rebuilt(notice.generation).catch((error: Error) => log("error", `cannot write the tables again: ${error.message}`));
        break;
      case "port-failed":
        this.#repair.failed(names.port(notice.port) ?? `#${notice.port}`, notice.error);
        break;
      case "esp-events":
        this.#esp.take(notice.events);
        break;
      case "captured":
        this.#captures.take(notice.records, notice.lost);
        break;
    }
  }

  onEspEvent(listener: EspListener): void {
    this.#esp.onEvent(listener);
  }

  onInterfaceRecreated(listener: (port: string) => void): void {
    this.#repair.onRecreated(listener);
  }

  // ── declarations ──

  async declare(owner: string, declaration: Declaration, opened?: () => void): Promise<void> {
    await this.#changes.one(owner, declaration, opened);
  }

  async withdraw(owner: string): Promise<void> {
    await this.#changes.one(owner, null);
  }

  async declareAll(declarations: ReadonlyMap<string, Declaration>): Promise<ReadonlyMap<string, Error>> {
    return await this.#changes.all(declarations);
  }

  // ── questions ──

  capture(options: CaptureOptions): AsyncIterableIterator<Uint8Array> {
    return this.#captures.subscribe(options);
  }

  info(): DatapathInfo {
    const { standing, tables, taps } = this.#plane;
    const { client, underlays, vxlanPort, fdbSlots, spinUs, startedAt } = this.#plane.require();
    return {
      abiVersion: ABI_VERSION,
      underlay: underlays.map(({ address, port, sourcePorts }) => ({ address, port, sourcePorts })),
      vxlanPort,
      fdbSlots,
      spinUs,
      domains: standing.domains.size,
      ports: standing.ports.size,
      vteps: tables.names.vteps.size,
      startedAt,
      missing: taps.lost.map(({ port }) => missingText(port)),
      engineBytes: MEMORY_LENGTH,
      cipher: client.cipher,
    };
  }

  async stats(): Promise<DatapathStats> {
    const figures = await readStats(this.#plane);
    return { ...figures, rebuilds: this.#rebuilds, audits: this.#audits, mended: this.#mended };
  }

  async dumpFdb(domain?: string): Promise<readonly FdbEntry[]> {
    const { client } = this.#plane.require();
    if (domain !== undefined) this.#plane.checkDomain(domain);
    return await dumpFdb(client, this.#plane.names, domain);
  }

  async dumpNeighbors(domain?: string): Promise<readonly NeighborEntry[]> {
    const { client } = this.#plane.require();
    if (domain !== undefined) this.#plane.checkDomain(domain);
    return await dumpNeighbors(client, this.#plane.names, domain);
  }

  async dumpVteps(domain?: string): Promise<readonly VtepEntry[]> {
    this.#plane.require();
    if (domain !== undefined) this.#plane.checkDomain(domain);
    const { vteps, domains } = this.#plane.standing;
    return [...vteps.values()]
      .filter((vtep) => domain === undefined || vtep.domain === domain)
      .map((vtep) => ({ ...vtep, vni: domains.get(vtep.domain)?.vni ?? null }));
  }

  async dumpAssociations(): Promise<readonly AssociationEntry[]> {
    return await this.#esp.associations();
  }

  async probe(peer: string, what: "dummy" | "keepalive"): Promise<boolean> {
    return await this.#esp.probe(peer, what);
  }

  /** One trace at a time: the engine has one filter. */
  trace(options: TraceOptions): Promise<TraceResult> {
    const plane = this.#plane;
    const result = this.#traces.then(() => {
      const { client } = plane.require();
      return runTrace(client, plane.names, options, options.port === undefined ? null : plane.portIndex(options.port));
    });
    this.#traces = result.catch(() => undefined);
    return result;
  }

  /** What a bug of ours in the engine would do. For tests of what follows: a rebuild, and traffic that goes on. */
  async trapEngine(): Promise<void> {
    await this.#plane.require().client.request({ kind: "trap" });
  }

  /** Ends the worker as a bug of ours might. For tests of what follows: a new one, and traffic that goes on. */
  async killWorker(): Promise<void> {
    await this.#plane.require().client.kill();
  }

  async audit(): Promise<AuditReport> {
    this.#plane.require();
    await this.#repair.retry();
    const { sync } = this.#plane.require();
    const report = await sync.audit();
    this.#audits++;
    this.#mended += report.mended;
    if (report.mended > 0) this.#plane.log("warn", "the audit mended engine tables", { ...report });
    return report;
  }
}

function checkOptions(addresses: readonly string[], vxlanPort: number, fdbSlots: number, spinUs: number): void {
  for (const ipv6 of [false, true]) {
    const family = addresses.filter((address) => isIpv6(address) === ipv6);
    if (family.length > 1)
      throw invalidArgument(`underlay addresses ${family.join(" and ")}: at most one IPv4 and one IPv6 address can be used`);
  }
  for (const address of addresses) addressBytes(address);
  if (!Number.isInteger(vxlanPort) || vxlanPort < 1 || vxlanPort > 65535)
    throw invalidArgument(`VXLAN port ${vxlanPort} is not from 1 to 65535`);
  if (!Number.isInteger(Math.log2(fdbSlots)) || fdbSlots < 1024 || fdbSlots > FDB_SLOTS_MAX) {
    throw invalidArgument(`${fdbSlots} FDB slots: a power of two from 1024 to ${FDB_SLOTS_MAX} is needed`);
  }
  if (!Number.isInteger(spinUs) || spinUs < 0 || spinUs > 10_000) throw invalidArgument(`a spin of ${spinUs} us is not from 0 to 10000`);
}
