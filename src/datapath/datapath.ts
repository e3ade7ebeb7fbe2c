// The data plane as the rest of the daemon sees it (datapath-api.ts): takes declarations, makes interfaces and tables agree
// with them, and answers questions about both.
//
// A change takes these steps, one change at a time:
//
//   merge owners ─> open and configure TAPs ─> one message to the worker: rows, descriptors ─> delete TAPs no longer wanted
//     refused: an owner is     failed: its owner is            refused: rows taken back             failed: logged, the
//     left as it was           left as it was                  by the reverse difference            network stands
//
// so whatever fails, what was there before is still there, and what is deleted is deleted last.
//
// Not here: addresses and routes of interfaces, and anything that has a subnet: the datapath knows Ethernet and VTEPs.
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ABI_VERSION } from "../../wasm/shared/abi.ts";
import { MEMORY_LENGTH } from "../../wasm/shared/layout.ts";
import { FDB_SLOTS_DEFAULT, FDB_SLOTS_MAX } from "../../wasm/shared/limits.ts";
import { VXLAN_PORT } from "../../wasm/shared/protocol.ts";
import { forbidden, invalidArgument, notFound, unavailable, WeftError } from "../errors.ts";
import { ENGINE_RELEASE_PATH } from "../paths.ts";
import { closeFds, requireAddon } from "../ports/port.ts";
import { openUnderlay, type UnderlaySockets } from "../ports/underlay.ts";
import { CaptureHub, type UnderlayEnd } from "./capture.ts";
import { Client } from "./client.ts";
import type {
  AuditReport,
  CaptureOptions,
  DatapathInfo,
  DatapathLog,
  DatapathOptions,
  DatapathService,
  DatapathStats,
  FdbEntry,
  NeighborEntry,
  PortStats,
  StopOptions,
  TraceOptions,
  TraceResult,
  VtepEntry,
} from "./datapath-api.ts";
import type { Declaration } from "./declarations.ts";
import { type Delta, deltaBetween } from "./delta.ts";
import { merge } from "./desired.ts";
import { emptyPatch } from "./diff.ts";
import { dumpFdb, dumpNeighbors } from "./dumps.ts";
import type { Attachment, Notice } from "./messages.ts";
import { compileEngine } from "./module.ts";
import { reachable } from "./reachable.ts";
import { PORT_COUNTERS } from "./shard.ts";
import { Standing } from "./standing.ts";
import { counterStats, dropStats, lawDifference } from "./stats.ts";
import { Sync } from "./sync.ts";
import { Tables } from "./tables.ts";
import { attachment, descriptorsOf, dropTaps, LOST, type OpenTap, type TapPlan, TapSet } from "./taps.ts";
import type { Names } from "./trace.ts";
import { runTrace } from "./tracer.ts";
import { addressBytes, isIpv6 } from "./words.ts";

/**
 * A sleep in epoll costs some 30 us of round trip: two to three times the kernel's own. The poller spins only within a few
 * milliseconds of traffic, so an idle daemon does not pay for this.
 */
const SPIN_US_DEFAULT = 50;
const AUDIT_INTERVAL_S_DEFAULT = 60;
/** A worker that dies again and again is for the operator to look at. */
const REVIVALS_MAX = 5;
const REVIVAL_WAIT_MS = 200;

/** Changes by owner; null withdraws. */
type Changes = ReadonlyMap<string, Declaration | null>;

/** What changes come to, and how to make that the state once it is true. */
interface Planned {
  readonly delta: Delta;
  readonly commit: () => void;
}

/** What stays as long as the datapath runs. */
interface Plane {
  readonly module: WebAssembly.Module;
  readonly options: DatapathOptions;
  readonly addresses: readonly string[];
  readonly vxlanPort: number;
  readonly fdbSlots: number;
  readonly spinUs: number;
  readonly startedAt: string;
}

/** What goes with a worker. */
interface Worker {
  readonly client: Client;
  readonly sync: Sync;
  readonly underlays: readonly UnderlaySockets[];
  /** The same by port, as captures want it. */
  readonly underlayEnds: ReadonlyMap<string, UnderlayEnd>;
}

interface Running extends Plane, Worker {
  readonly auditTimer: NodeJS.Timeout | null;
}

const underlayName = (address: string): string => `underlay/${address}`;

const underlayEnd = ({ address, port, sourcePorts }: UnderlaySockets): UnderlayEnd => ({
  address: addressBytes(address),
  port,
  sourcePorts,
});

export class WeftDatapath implements DatapathService {
  readonly #tables = new Tables();
  readonly #taps = new TapSet();
  readonly #names: Names = {
    port: (index) => this.#tables.ports.nameOf(index),
    domain: (index) => this.#tables.domains.nameOf(index),
    vtep: (index) => this.#tables.vteps.nameOf(index),
  };
  readonly #captures = new CaptureHub(
    {
      ...this.#names,
      interfaceName: (port) => this.#standing.ports.get(port)?.interfaceName ?? "",
      underlay: (port) => this.#running?.underlayEnds.get(port),
    },
    () => this.#captureChanged(),
  );
  /** All that owners declared and got. */
  #standing = new Standing();
  #running: Running | null = null;
  /** VTEPs that were left out, of whatever domain. */
  readonly #leftOut = new Set<string>();
  readonly #recreatedListeners: ((port: string) => void)[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #traces: Promise<unknown> = Promise.resolve();
  #log: DatapathLog = () => {};
  #rebuilds = 0;
  #audits = 0;
  #mended = 0;

  // ── life ──

  async start(options: DatapathOptions): Promise<void> {
    if (this.#running !== null) throw forbidden("the datapath has been started already");
    this.#log = options.log ?? (() => {});
    this.#leftOut.clear();
    const vxlanPort = options.vxlanPort ?? VXLAN_PORT;
    const fdbSlots = options.fdbSlots ?? FDB_SLOTS_DEFAULT;
    const spinUs = availableParallelism() > 1 ? (options.spinUs ?? SPIN_US_DEFAULT) : 0;
    const addresses = options.underlayAddresses ?? [];
    checkOptions(addresses, vxlanPort, fdbSlots, spinUs);
    requireAddon();
    const module = await compileEngine(ENGINE_RELEASE_PATH);
    const plane = { module, options, addresses, vxlanPort, fdbSlots, spinUs, startedAt: new Date().toISOString() };
    try {
      const worker = await this.#bringUp(plane);
      this.#running = { ...plane, ...worker, auditTimer: this.#auditTimer(options.auditIntervalS ?? AUDIT_INTERVAL_S_DEFAULT) };
    } catch (error) {
      this.#tables.clear();
      throw error;
    }
  }

  /** Underlay and worker, with the tables and TAPs that there are to be: none at the start, all of them after a worker died. */
  async #bringUp(plane: Plane): Promise<Worker> {
    const underlays: UnderlaySockets[] = [];
    let client: Client | null = null;
    try {
      for (const address of plane.addresses) {
        underlays.push(await openUnderlay(plane.options.underlayNamespacePath ?? null, address, plane.vxlanPort, process.pid));
      }
      client = await Client.start({
        module: plane.module,
        fdbSlots: plane.fdbSlots,
        spinUs: plane.spinUs,
        trapsFolder: join(plane.options.stateDir, "traps"),
        onNotice: (notice) => this.#notice(client, notice),
        onDeath: (error) => this.#died(client, error),
      });
      this.#tables.setUnderlays(
        underlays.map(({ address, port, fds }) => ({ name: underlayName(address), address, udpPort: port, socketCount: fds.length - 1 })),
      );
      const sync = new Sync(client, this.#tables);
      const attach: Attachment[] = underlays.map(({ address, fds }) => ({
        port: this.#portIndex(underlayName(address)),
        kind: "udp",
        fds: [...fds],
      }));
      for (const tap of await this.#taps.reopen(this.#taps.all, this.#log)) {
        this.#taps.set(tap);
        attach.push(attachment(tap, this.#tables.ports));
      }
      await sync.become(this.#tables.imageOf(this.#standing, this.#captures.marks), { release: [], attach });
      return { client, sync, underlays, underlayEnds: new Map(underlays.map((one) => [underlayName(one.address), underlayEnd(one)])) };
    } catch (error) {
      if (!client?.dead) {
        await client?.stop();
        await closeFds([...underlays.flatMap(({ fds }) => fds), ...descriptorsOf(this.#taps.all)]);
      }
      this.#taps.lose();
      throw error;
    }
  }

  /** The worker's descriptors went with it; TAPs are persistent, so all can be had again, with the loss of some frames. */
  #died(client: Client | null, error: WeftError): void {
    this.#log("error", error.message);
    if (this.#running === null || this.#running.client !== client) return; // it was being brought up: whoever did so knows
    this.#taps.lose();
    this.#running = { ...this.#running, underlays: [] };
    this.#serially(async () => {
      for (let attempt = 1; this.#running !== null; attempt++) {
        try {
          this.#running = { ...this.#running, ...(await this.#bringUp(this.#running)) };
          this.#captureChanged().catch(() => undefined);
          this.#log("warn", "the datapath worker was started again", { attempt });
          return;
        } catch (failure) {
          this.#log("error", `cannot start the datapath worker again: ${asWeftError(failure).message}`, { attempt });
          if (attempt === REVIVALS_MAX) return;
          await sleep(REVIVAL_WAIT_MS * attempt);
        }
      }
    });
  }

  #auditTimer(intervalS: number): NodeJS.Timeout | null {
    if (intervalS <= 0) return null;
    const timer = setInterval(() => {
      this.audit().catch((error: Error) => this.#log("warn", `the audit of the tables failed: ${error.message}`));
    }, intervalS * 1000);
    return timer.unref();
  }

  stop({ keepInterfaces }: StopOptions): Promise<void> {
    return this.#serially(async () => {
      const running = this.#running;
      if (running === null) return;
      this.#running = null;
      if (running.auditTimer !== null) clearInterval(running.auditTimer);
      this.#captures.endAll();
      try {
        await running.client.stop();
        await closeFds(running.underlays.flatMap(({ fds }) => fds));
      } catch (error) {
        this.#log("warn", asWeftError(error).message); // it died on the way, and what it had open is closed
        this.#taps.lose();
      }
      await dropTaps(this.#taps.clear(), keepInterfaces, this.#log);
      this.#standing = new Standing();
      this.#tables.clear();
    });
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  #require(): Running {
    if (this.#running === null) throw unavailable("the datapath is not running");
    return this.#running;
  }

  #notice(client: Client | null, notice: Notice): void {
    switch (notice.notice) {
      case "rebuilt":
        this.#rebuilds++;
        this.#log("error", "the engine trapped and was rebuilt", { reason: notice.reason, batch: notice.file });
        if (this.#running?.client !== client) break; // on its way up: it gets its tables, whichever engine it has
        this.#running?.sync
          .rebuilt(notice.generation)
          .catch((error: Error) => this.#log("error", `cannot write the tables again: ${error.message}`));
        break;
      case "port-failed":
        this.#portFailed(this.#names.port(notice.port) ?? `#${notice.port}`, notice.error);
        break;
      case "captured":
        if (notice.lost > 0) this.#log("warn", "captured frames were lost: the reader is too slow", { bytes: notice.lost });
        this.#captures.take(notice.records);
        this.#running?.client.captured(notice.records.length);
        break;
    }
  }

  // ── interfaces that went ──

  onInterfaceRecreated(listener: (port: string) => void): void {
    this.#recreatedListeners.push(listener);
  }

  #portFailed(port: string, error: string): void {
    this.#log("warn", "a port failed and is no longer polled", { port, error });
    const failed = this.#taps.ofPort(port);
    if (failed === undefined) return;
    this.#serially(async () => {
      const now = this.#taps.ofPort(port);
      if (this.#running !== null && now?.opening === failed.opening && now.fd !== LOST) await this.#recreate([now]);
    }).catch((reason: Error) => this.#log("error", `cannot make the interface of port ${port} again: ${reason.message}`));
  }

  /** Makes interfaces again that somebody has deleted, as far as that is possible: what is declared shall be there. */
  async #recreate(gone: readonly OpenTap[]): Promise<void> {
    const { sync, client } = this.#require();
    const { ports } = this.#tables;
    const made = await this.#taps.reopen(gone, this.#log);
    const dead = gone.filter(({ fd }) => fd !== LOST);
    try {
      const release = dead.map(({ port }) => ports.ensure(port.id));
      await sync.apply(emptyPatch(), { release, attach: made.map((tap) => attachment(tap, ports)) });
    } catch (error) {
      if (!client.dead) await closeFds(descriptorsOf(made)); // else it may have had them
      throw error;
    }
    for (const tap of dead) this.#taps.set({ ...tap, fd: LOST });
    for (const tap of made) this.#taps.set(tap);
    await closeFds(descriptorsOf(dead));
    for (const { port } of made) {
      this.#log("warn", "an interface was gone and is made again", { port: port.id, interface: port.interfaceName });
      for (const listener of this.#recreatedListeners) listener(port.id);
    }
  }

  // ── declarations ──

  async declare(owner: string, declaration: Declaration): Promise<void> {
    await this.#changeOne(owner, this.#reachable(owner, declaration));
  }

  async withdraw(owner: string): Promise<void> {
    await this.#changeOne(owner, null);
  }

  async #changeOne(owner: string, declaration: Declaration | null): Promise<void> {
    const failures = await this.#serially(() => this.#change(new Map([[owner, declaration]]), false));
    const failure = failures.get(owner);
    if (failure !== undefined) throw failure;
  }

  async declareAll(declarations: ReadonlyMap<string, Declaration>): Promise<ReadonlyMap<string, Error>> {
    const changes = new Map([...declarations].map(([owner, declaration]) => [owner, this.#reachable(owner, declaration)]));
    return await this.#serially(() => this.#change(changes, true));
  }

  /** The declaration without VTEPs that this host can't send to. Each address is told once. */
  #reachable(owner: string, declaration: Declaration): Declaration {
    const made = reachable(declaration, this.#require().addresses);
    for (const { vtep, reason } of made.leftOut) {
      if (this.#leftOut.has(vtep.address)) continue;
      this.#leftOut.add(vtep.address);
      this.#log("warn", `VTEP ${vtep.address} is left out: ${reason}`, { owner, domain: vtep.domain });
    }
    return made.declaration;
  }

  /**
   * Makes the changes true, those that can't be left out; answers why. `adopting`: at start-up a TAP may be an earlier
   * daemon's, with a sandbox's live connections on it, so a failure leaves it where it is.
   */
  async #change(changes: Changes, adopting: boolean): Promise<Map<string, WeftError>> {
    const { sync, client } = this.#require();
    const failures = new Map<string, WeftError>();
    const fresh = new Map<string, OpenTap>();
    let step: { readonly delta: Delta; readonly plan: TapPlan } | null = null;
    /** The worker was told of the descriptors in `fresh`: if it dies, it may have closed them. */
    let handedOver = false;
    try {
      for (;;) {
        const { delta, commit } = this.#planned(changes, failures);
        const plan = this.#taps.plan(delta.ports);
        step = { delta, plan };
        const failed = await this.#taps.prepare(plan, fresh);
        if (failed.size > 0) {
          await this.#taps.revert(plan);
          blame(failed, changes, failures);
          if (failures.size === changes.size) return failures;
          continue;
        }
        const patch = this.#tables.patchOf(delta, this.#captures.marks);
        const descriptors = this.#taps.descriptors(plan, fresh, this.#tables.ports);
        handedOver = !client.dead;
        await sync.apply(patch, descriptors);
        commit();
        this.#tables.release(delta);
        this.#taps.commit(plan, fresh);
        await dropTaps(plan.close, false, this.#log);
        return failures;
      }
    } catch (error) {
      if (handedOver && client.dead) for (const [key, tap] of fresh) fresh.set(key, { ...tap, fd: LOST });
      if (step !== null) {
        await this.#taps.revert(step.plan);
        this.#tables.revoke(step.delta);
      }
      const failure = asWeftError(error);
      if (changes.size > 1 && failure.code !== "UNAVAILABLE") return await this.#oneByOne(changes, adopting);
      for (const owner of changes.keys()) failures.set(owner, failure);
      return failures;
    } finally {
      // One that stands, but was lost, is not ours to delete.
      const [standing, added] = partition([...fresh.values()], (tap) => this.#taps.has(tap));
      await dropTaps(standing, true, this.#log);
      await dropTaps(added, adopting, this.#log);
    }
  }

  /** When a step refuses all changes together, it may take most of them singly. */
  async #oneByOne(changes: Changes, adopting: boolean): Promise<Map<string, WeftError>> {
    const failures = new Map<string, WeftError>();
    for (const [owner, declaration] of changes) {
      for (const [name, failure] of await this.#change(new Map([[owner, declaration]]), adopting)) failures.set(name, failure);
    }
    return failures;
  }

  /**
   * What the changes that can stand come to, and how to make that the state; adds to `failures` those that can't. One change
   * is computed from what it says itself; many, and one that is not plain, from all that anybody declares.
   */
  #planned(changes: Changes, failures: Map<string, WeftError>): Planned {
    const standing = this.#standing;
    if (changes.size === 1) {
      const [[owner, declaration]] = [...changes] as [[string, Declaration | null]];
      const proposal = standing.propose(owner, declaration);
      if (proposal !== null) return { delta: proposal.delta, commit: () => standing.commit(proposal) };
    }
    const next = Standing.of(this.#mergeChanges(changes, failures));
    const commit = (): void => {
      this.#standing = next;
    };
    return { delta: deltaBetween(standing, next), commit };
  }

  /** The owners with the changes that can stand; adds to `failures` those that can't. */
  #mergeChanges(changes: Changes, failures: Map<string, WeftError>): ReadonlyMap<string, Declaration> {
    for (;;) {
      const owners = new Map(this.#standing.declarations);
      for (const [owner, declaration] of changes) {
        if (failures.has(owner)) continue;
        owners.delete(owner); // what changes comes last: it is the one to give way
        if (declaration !== null) owners.set(owner, declaration);
      }
      const merged = merge(owners);
      if (merged.failures.size === 0) return owners;
      for (const [owner, failure] of merged.failures) {
        if (changes.has(owner)) {
          failures.set(owner, failure);
          continue;
        }
        const victim = forbidden(`${owner} stands on what would change: ${failure.message}`);
        for (const changed of changes.keys()) if (!failures.has(changed)) failures.set(changed, victim);
      }
    }
  }

  // ── captures ──

  capture(options: CaptureOptions): AsyncIterableIterator<Uint8Array> {
    this.#require();
    for (const port of options.ports ?? []) this.#portIndex(port);
    for (const domain of options.domains ?? []) this.#checkDomain(domain);
    return this.#captures.subscribe(options);
  }

  /** Tells the engine what is captured; once more, behind its revival, if the worker died over it. */
  async #captureChanged(again = true): Promise<void> {
    try {
      await this.#serially(async () => {
        const running = this.#running;
        if (running === null) return;
        const { all, snapLength } = this.#captures.wanted;
        await running.sync.apply(this.#tables.markPatch(this.#standing, this.#captures.marks));
        await running.client.request({ kind: "capture", all, snapLength });
      });
    } catch (error) {
      if (again && this.#running?.client.dead) return await this.#captureChanged(false);
      this.#log("warn", `cannot change what is captured: ${asWeftError(error).message}`);
      throw error;
    }
  }

  // ── questions ──

  info(): DatapathInfo {
    const { underlays, vxlanPort, fdbSlots, spinUs, startedAt } = this.#require();
    return {
      abiVersion: ABI_VERSION,
      underlay: underlays.map(({ address, port, sourcePorts }) => ({ address, port, sourcePorts })),
      vxlanPort,
      fdbSlots,
      spinUs,
      domains: this.#standing.domains.size,
      ports: this.#standing.ports.size,
      vteps: this.#tables.vteps.size,
      startedAt,
      engineBytes: MEMORY_LENGTH,
    };
  }

  async stats(): Promise<DatapathStats> {
    const { client } = this.#require();
    const ports = this.#portNames();
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
      rebuilds: this.#rebuilds,
      audits: this.#audits,
      mended: this.#mended,
    };
  }

  #portNames(): { port: string; kind: PortStats["kind"]; domain: string; interfaceName: string; index: number }[] {
    const named = [];
    for (const { name } of this.#tables.underlays) {
      named.push({ port: name, kind: "underlay" as const, domain: "", interfaceName: "", index: this.#portIndex(name) });
    }
    for (const { id, kind, domain, interfaceName } of this.#standing.ports.values()) {
      named.push({ port: id, kind, domain, interfaceName, index: this.#portIndex(id) });
    }
    return named;
  }

  #portIndex(port: string): number {
    const index = this.#tables.ports.indexOf(port);
    if (index === undefined) throw notFound(`no port ${port}`);
    return index;
  }

  #checkDomain(domain: string): void {
    if (!this.#standing.domains.has(domain)) throw notFound(`no bridge domain ${domain}`);
  }

  async dumpFdb(domain?: string): Promise<readonly FdbEntry[]> {
    const { client } = this.#require();
    if (domain !== undefined) this.#checkDomain(domain);
    return await dumpFdb(client, this.#names, domain);
  }

  async dumpNeighbors(domain?: string): Promise<readonly NeighborEntry[]> {
    const { client } = this.#require();
    if (domain !== undefined) this.#checkDomain(domain);
    return await dumpNeighbors(client, this.#names, domain);
  }

  async dumpVteps(domain?: string): Promise<readonly VtepEntry[]> {
    this.#require();
    if (domain !== undefined) this.#checkDomain(domain);
    return [...this.#standing.vteps.values()]
      .filter((vtep) => domain === undefined || vtep.domain === domain)
      .map((vtep) => ({ ...vtep, vni: this.#standing.domains.get(vtep.domain)?.vni ?? null }));
  }

  /** One trace at a time: the engine has one filter. */
  trace(options: TraceOptions): Promise<TraceResult> {
    const result = this.#traces.then(() => {
      const { client } = this.#require();
      return runTrace(client, this.#names, options, options.port === undefined ? null : this.#portIndex(options.port));
    });
    this.#traces = result.catch(() => undefined);
    return result;
  }

  /** What a bug of ours in the engine would do. For tests of what follows: a rebuild, and traffic that goes on. */
  async trapEngine(): Promise<void> {
    await this.#require().client.request({ kind: "trap" });
  }

  /** Ends the worker as a bug of ours might. For tests of what follows: a new one, and traffic that goes on. */
  async killWorker(): Promise<void> {
    await this.#require().client.kill();
  }

  async audit(): Promise<AuditReport> {
    this.#require();
    await this.#serially(async () => {
      const { lost } = this.#taps;
      if (this.#running !== null && lost.length > 0) await this.#recreate(lost);
    });
    const { sync } = this.#require();
    const report = await sync.audit();
    this.#audits++;
    this.#mended += report.mended;
    if (report.mended > 0) this.#log("warn", "the audit mended engine tables", { ...report });
    return report;
  }
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

/** Adds to `failures` the owners of ports that failed. A port that nobody of the changes declares is everybody's fault. */
function blame(failed: ReadonlyMap<string, unknown>, changes: Changes, failures: Map<string, WeftError>): void {
  for (const [port, reason] of failed) {
    const owning = [...changes].filter(([, declaration]) => declaration?.ports?.some(({ id }) => id === port)).map(([owner]) => owner);
    for (const owner of owning.length > 0 ? owning : changes.keys()) {
      if (!failures.has(owner)) failures.set(owner, asWeftError(reason));
    }
  }
}

function asWeftError(error: unknown): WeftError {
  if (error instanceof WeftError) return error;
  return new WeftError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
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
