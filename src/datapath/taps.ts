// The TAPs that this daemon holds open, by place (namespace and interface name): what has to be opened, configured, handed to
// another port or closed so that they are those of the declared ports, and the doing of it.
//
// Packet sockets are held here too. Their interface is not ours: it is neither configured nor deleted, and while it is not there
// the port waits for it.
import { openPacketPort } from "../ports/packet.ts";
import { closeFds, settleAll } from "../ports/port.ts";
import { configureTapPort, deleteTapPort, openTapPort } from "../ports/tap.ts";
import type { DatapathLog } from "./datapath-api.ts";
import type { OpenPortDeclaration, PortDeclaration, TapPortDeclaration } from "./declarations.ts";
import type { Delta } from "./desired/delta.ts";
import { interfaceKey } from "./desired/identity.ts";
import type { Attachment } from "./messages.ts";
import type { Indexes } from "./tables/indexes.ts";
import type { Descriptors } from "./tables/sync.ts";

/** TAPs opened or deleted at a time: each is a thread of the addon's in another namespace. */
const IN_PARALLEL = 24;

export interface OpenTap {
  readonly port: OpenPortDeclaration;
  /** LOST when the interface is gone and could not be made again. */
  readonly fd: number;
  /** Numbers the openings, since a descriptor's number comes again. */
  readonly opening: number;
}

let openings = 0;

async function openTap(port: OpenPortDeclaration): Promise<OpenTap> {
  const fd = await (port.kind === "tap" ? openTapPort(port) : openPacketPort(port.interfaceName));
  return { port, fd, opening: ++openings };
}

/** There is no descriptor. */
export const LOST = -1;

export interface TapPlan {
  /** Not open yet. */
  readonly open: readonly OpenPortDeclaration[];
  /** Open, but with another MAC or MTU. */
  readonly configure: readonly { readonly from: TapPortDeclaration; readonly to: TapPortDeclaration }[];
  /** Open as another port's. */
  readonly hand: readonly { readonly from: OpenTap; readonly to: OpenPortDeclaration }[];
  /** Open, and nobody's any more. */
  readonly close: readonly OpenTap[];
}

const isOpen = (port: PortDeclaration | undefined): port is OpenPortDeclaration => port !== undefined && port.kind !== "uplink";

export class TapSet {
  readonly #open = new Map<string, OpenTap>();
  /** Why one could not be opened again, as it was logged. */
  readonly #told = new Map<string, string>();
  /** Places whose interface is being deleted. */
  readonly #dropping = new Map<string, Promise<void>>();

  get all(): OpenTap[] {
    return [...this.#open.values()];
  }

  /** Those without a descriptor. */
  get lost(): OpenTap[] {
    return this.all.filter(({ fd }) => fd === LOST);
  }

  /** Whether there is one at this place. */
  has({ port }: OpenTap): boolean {
    return this.#open.has(interfaceKey(port));
  }

  ofPort(id: string): OpenTap | undefined {
    return this.all.find(({ port }) => port.id === id);
  }

  plan(changes: Delta["ports"]): TapPlan {
    const open: OpenPortDeclaration[] = [];
    const configure: { from: TapPortDeclaration; to: TapPortDeclaration }[] = [];
    const hand: { from: OpenTap; to: OpenPortDeclaration }[] = [];
    const wanted = new Set<string>();
    for (const { after: port } of changes.values()) {
      if (!isOpen(port)) continue;
      const key = interfaceKey(port);
      wanted.add(key);
      const tap = this.#open.get(key);
      if (tap === undefined || tap.fd === LOST) {
        open.push(port);
        continue;
      }
      const differs = tap.port.kind === "tap" && port.kind === "tap" && (tap.port.mac !== port.mac || tap.port.mtuBytes !== port.mtuBytes);
      if (differs) configure.push({ from: tap.port as TapPortDeclaration, to: port });
      if (tap.port.id !== port.id) hand.push({ from: tap, to: port });
    }
    const close: OpenTap[] = [];
    for (const { before: port } of changes.values()) {
      if (!isOpen(port)) continue;
      const key = interfaceKey(port);
      const tap = this.#open.get(key);
      if (tap !== undefined && !wanted.has(key)) close.push(tap);
    }
    return { open, configure, hand, close };
  }

  /**
   * Opens what is to be opened, into `fresh` (which may have some already), and configures. Answers what failed, by port.
   * `awaitParents`: a packet socket whose interface is not there fails nobody, it stays LOST.
   */
  async prepare(plan: TapPlan, fresh: Map<string, OpenTap>, awaitParents = false): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>();
    const open = plan.open.filter((port) => !fresh.has(interfaceKey(port)));
    const opened = await settleAll(open, IN_PARALLEL, async (port) => {
      const key = interfaceKey(port);
      await this.#dropping.get(key);
      try {
        fresh.set(key, await openTap(port));
      } catch (error) {
        if (port.kind === "tap" || !awaitParents) throw error;
        fresh.set(key, { port, fd: LOST, opening: ++openings });
      }
    });
    const configured = await settleAll(plan.configure, IN_PARALLEL, ({ to }) => configureTapPort(to));
    opened.forEach((result, i) => {
      if (result.status === "rejected") failures.set(open[i]!.id, result.reason);
    });
    configured.forEach((result, i) => {
      if (result.status === "rejected") failures.set(plan.configure[i]!.to.id, result.reason);
    });
    return failures;
  }

  /** What the poller has to give back and to take, once the ports have indexes. */
  descriptors(plan: TapPlan, fresh: ReadonlyMap<string, OpenTap>, indexes: Indexes): Descriptors {
    return {
      release: [...plan.close, ...plan.hand.map(({ from }) => from)].map(({ port }) => indexes.ensure(port.id)),
      attach: [
        ...plan.hand.map(({ from, to }) => attachment({ ...from, port: to }, indexes)),
        ...plan.open
          .map((port) => fresh.get(interfaceKey(port))!)
          .filter(({ fd }) => fd !== LOST)
          .map((tap) => attachment(tap, indexes)),
      ],
    };
  }

  /** The plan has come true: `fresh` loses what is ours now. */
  commit(plan: TapPlan, fresh: Map<string, OpenTap>): void {
    for (const { port } of plan.close) {
      this.#open.delete(interfaceKey(port));
      this.#told.delete(interfaceKey(port));
    }
    for (const { to } of plan.configure) this.#rename(to);
    for (const { to } of plan.hand) this.#rename(to);
    for (const port of plan.open) {
      const key = interfaceKey(port);
      this.set({ ...fresh.get(key)!, port });
      fresh.delete(key);
    }
  }

  /**
   * Deletes what a plan closes, `commit`ted before. Nobody else has to wait for it: who opens the same place again waits by
   * himself.
   */
  drop(taps: readonly OpenTap[], log: DatapathLog): Promise<void> {
    const dropped = dropTaps(taps, false, log).finally(() => {
      for (const { port } of taps) this.#dropping.delete(interfaceKey(port));
    });
    for (const { port } of taps) this.#dropping.set(interfaceKey(port), dropped);
    return dropped;
  }

  /** Resolves when all that was being deleted is gone. */
  async dropped(): Promise<void> {
    await Promise.all(this.#dropping.values());
  }

  #rename(port: OpenPortDeclaration): void {
    this.set({ ...this.#open.get(interfaceKey(port))!, port });
  }

  /** Replaces what is known of this place. */
  set(tap: OpenTap): void {
    const key = interfaceKey(tap.port);
    this.#open.set(key, tap);
    if (tap.fd !== LOST) this.#told.delete(key);
  }

  /** The plan has not come true: MACs and MTUs as they were. */
  async revert(plan: TapPlan): Promise<void> {
    await settleAll(plan.configure, IN_PARALLEL, ({ from }) => configureTapPort(from));
  }

  /**
   * Opens these again; answers those that it could, for `set`. Why another could not be is logged once, not at each attempt: it
   * may be gone for good, with its namespace.
   */
  async reopen(taps: readonly OpenTap[], log: DatapathLog): Promise<OpenTap[]> {
    const results = await settleAll(taps, IN_PARALLEL, ({ port }) => openTap(port));
    results.forEach((result, i) => {
      if (result.status === "fulfilled") return;
      const { port } = taps[i]!;
      const { message } = result.reason as Error;
      if (this.#told.get(interfaceKey(port)) === message) return;
      this.#told.set(interfaceKey(port), message);
      log("error", `${message}; port ${port.id} stays without its interface until that can be made`);
    });
    return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  }

  /** Forgets all; the descriptors are the caller's. */
  clear(): OpenTap[] {
    const taps = this.all;
    this.#open.clear();
    this.#told.clear();
    return taps;
  }
}

/** What the poller has to take. */
export function attachment({ port, fd }: OpenTap, indexes: Indexes): Attachment {
  return { port: indexes.ensure(port.id), kind: port.kind, fds: [fd] };
}

/** Our ends of these that may be closed. */
export const descriptorsOf = (taps: readonly OpenTap[]): number[] => taps.map(({ fd }) => fd).filter((fd) => fd !== LOST);

/** Closes our ends; deletes the interfaces unless they are to be kept. What can't be deleted is logged: nothing hangs on it. */
export async function dropTaps(taps: readonly OpenTap[], keepInterfaces: boolean, log: DatapathLog): Promise<void> {
  const results = await settleAll(taps, IN_PARALLEL, async (tap) => {
    const { port } = tap;
    const fds = descriptorsOf([tap]);
    if (keepInterfaces || port.kind === "packet") await closeFds(fds);
    else await deleteTapPort(port.namespacePath, port.interfaceName, fds);
  });
  for (const result of results) if (result.status === "rejected") log("warn", (result.reason as Error).message);
}
