// Makes the host do what a plan says: rules, the kernel's switches. One change at a time; of plans that come while one is being
// made true only the last is, for it says all.
//
// Rules come before forwarding is switched on, so that there is no instant at which the host forwards without them, and go
// after it is off. Connections that are tracked are cut last (flows.ts): one that began a moment later began under the new rules.
//
// A host whose kernel takes no rules (no nf_tables, no permission, no libnftables) has sandboxes that reach each other and the host, and
// no more: forwarding stays as it is, ports are refused with the reason, and each change looks whether that is still so.
import { unavailable } from "../errors.ts";
import type { FlowFilter, Native } from "../ports/native.ts";
import { flowsOf, staleFlows } from "./flows.ts";
import { Forwarding } from "./forwarding.ts";
import { ephemeralPorts, HostPorts, reservedPorts } from "./host-ports.ts";
import { Nft } from "./nft.ts";
import { type Closed, NO_RULES, ruleset } from "./rules.ts";
import type { HostNat, HostPort, NatPlan } from "./types.ts";

type Log = (level: "warn" | "info", message: string, fields?: Readonly<Record<string, unknown>>) => void;

type HostKernel = Pick<Native, "runNftables" | "addresses" | "forgetFlows" | "routeLoopbackIpv6">;

export interface KernelNatOptions {
  readonly stateDir: string;
  readonly native: HostKernel;
  readonly log: Log;
}

function wanted({ networks }: NatPlan): Closed {
  const forwards = (family: "ipv4" | "ipv6"): boolean =>
    networks.some((network) => !network.internal && network[family] !== null && network[family].mode !== "isolated");
  return { ipv4: forwards("ipv4"), ipv6: forwards("ipv6") };
}

export class KernelNat implements HostNat {
  readonly #log: Log;
  readonly #native: HostKernel;
  readonly #nft: Nft;
  readonly #forwarding: Forwarding;
  #plan: NatPlan = { networks: [], publications: [] };
  #next: Promise<void> | null = null;
  #current: Promise<void> = Promise.resolve();
  /** What the kernel was told last, and how it lists that: asked for at once, but nobody waits for it but the next change. */
  #applied: { readonly text: string; readonly listing: Promise<string> } | null = null;

  /** Why the host takes no rules; null: it does, for all that is known. */
  #obstacle: string | null = null;
  /** The last plan that tracked connections were brought in line with. */
  #followed: NatPlan | null = null;
  #cutting: { filters: FlowFilter[]; done: Promise<void> } | null = null;
  #cut: Promise<void> = Promise.resolve();
  #tracks = true;

  readonly #ports = new HostPorts();
  /** Where the last search for a free port ended: one that was let go is not given away at once. */
  #lastEphemeral = 0;

  constructor(options: KernelNatOptions) {
    this.#log = options.log;
    this.#native = options.native;
    this.#nft = new Nft(options.native);
    this.#forwarding = new Forwarding(options.stateDir);
  }

  apply(plan: NatPlan): Promise<void> {
    this.#plan = plan;
    if (this.#next !== null) return this.#next;
    const next = this.#current.then(() => {
      this.#next = null;
      return this.#make(this.#plan);
    });
    this.#next = next;
    this.#current = next.catch(() => {});
    return next;
  }

  async reserve(ports: HostPort): Promise<void> {
    if (this.#obstacle !== null) this.#obstacle = await this.#nft.obstacle();
    if (this.#obstacle !== null) throw unavailable(`ports can't be published on this host: ${this.#obstacle}`);
    await this.#ports.reserve(ports);
  }

  forget(addresses: readonly string[]): Promise<void> {
    return this.#forgetFlows(addresses.map(flowsOf));
  }

  *ephemeralPorts(): Iterable<number> {
    const { first, last } = ephemeralPorts();
    const reserved = reservedPorts();
    const count = last - first + 1;
    const from = this.#lastEphemeral >= first && this.#lastEphemeral < last ? this.#lastEphemeral + 1 - first : 0;
    for (let n = 0; n < count; n++) {
      const port = first + ((from + n) % count);
      if (reserved.some((range) => port >= range.first && port <= range.last)) continue;
      this.#lastEphemeral = port;
      yield port;
    }
  }

  /** Lets go of held ports; rules stay. */
  close(): void {
    this.#ports.close();
  }

  /** Puts the table back if somebody changed or flushed it; answers whether it had to. */
  async audit(): Promise<boolean> {
    await this.#current;
    const applied = this.#applied;
    if (applied === null) return false;
    const listing = await applied.listing;
    if ((await this.#nft.listTable()) === listing || this.#applied !== applied || this.#next !== null) return false;
    this.#log("warn", "somebody changed the nftables table inet weft: it is put back");
    this.#applied = null;
    await this.apply(this.#plan);
    return true;
  }

  async #make(plan: NatPlan): Promise<void> {
    const forward = wanted(plan);
    const translated = plan.publications.filter(({ mode }) => mode === "nat" || mode === "nat-unprotected");
    for (const { hostAddress, hostPort, protocol } of await this.#ports.follow(translated)) {
      this.#log("warn", "a program of the host has a port that is published: it gets nothing", { hostAddress, hostPort, protocol });
    }
    const text = ruleset(plan, this.#forwarding.closed(forward));
    // A host that has no networks to route needs no nft either.
    if (text === NO_RULES && this.#applied === null && (await this.#nft.listTable().catch(() => "")) === "")
      return this.#forwarding.set(forward);
    if (text === NO_RULES) this.#forwarding.set(forward);
    if (this.#applied?.text !== text && !(await this.#takes(text))) return;
    if (text !== NO_RULES) this.#forwarding.set(forward);
    await this.#openLoopback(plan);
    await this.#follow(plan);
  }

  /** Whether the host takes rules at all. Throws if it takes others but not these. */
  async #takes(text: string): Promise<boolean> {
    await this.#applied?.listing;
    this.#applied = null;
    const before = this.#obstacle;
    try {
      await this.#nft.apply(text);
      this.#obstacle = null;
    } catch (error) {
      this.#obstacle = await this.#nft.obstacle();
      if (this.#obstacle === null) throw error;
      const consequence = "networks don't reach out of this host and no ports are published";
      if (this.#obstacle !== before) this.#log("warn", `no rules can be set: ${consequence}`, { reason: this.#obstacle });
      return false;
    }
    // One that can't be had is like none, and the next audit puts the table there again.
    this.#applied = { text, listing: this.#nft.listTable().catch(() => "") };
    return true;
  }

  /** For host programs that reach published ports by 127.0.0.1 and ::1. An interface that is not there gets it when it is. */
  async #openLoopback({ networks }: NatPlan): Promise<void> {
    for (const { interfaceName, internal, ipv4, ipv6 } of networks) {
      if (ipv4 !== null) this.#forwarding.routeLocalnet(interfaceName);
      if (ipv6 === null || internal) continue;
      await this.#native.routeLoopbackIpv6(null, interfaceName).catch((error: Error) => {
        this.#log("warn", "ports published for IPv6 are not reached by ::1", { interfaceName, error: error.message });
      });
    }
  }

  async #follow(plan: NatPlan): Promise<void> {
    const needsLocal = plan.publications.length > 0 && plan.publications !== this.#followed?.publications;
    const local = needsLocal ? (await this.#native.addresses(null)).map(({ address }) => address) : [];
    const filters = staleFlows(this.#followed, plan, local);
    this.#followed = plan;
    await this.#forgetFlows(filters);
  }

  /** Those that come while the kernel's table is gone through are looked for together, next time. */
  #forgetFlows(filters: readonly FlowFilter[]): Promise<void> {
    if (filters.length === 0 || !this.#tracks) return this.#cut;
    if (this.#cutting !== null) {
      this.#cutting.filters.push(...filters);
      return this.#cutting.done;
    }
    const next = { filters: [...filters], done: Promise.resolve() };
    this.#cutting = next;
    next.done = this.#cut.then(async () => {
      this.#cutting = null;
      try {
        await this.#native.forgetFlows(null, next.filters);
      } catch (error) {
        // Without ctnetlink, or without anything tracked at all.
        this.#tracks = false;
        this.#log("warn", "tracked connections can't be ended: those of ports that go live on until they are idle", {
          error: (error as Error).message,
        });
      }
    });
    this.#cut = next.done;
    return next.done;
  }
}
