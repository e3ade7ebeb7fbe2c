// Makes the host do what a plan says: rules, the kernel's switches. One change at a time; of plans that come while one is being
// made true only the last is, for it says all.
//
// The kernel gets what differs from what it was told last (change-set.ts), and all of it where that is not known or was refused.
// After changes the audit replaces the table by the whole, once, and knows from then on how the kernel lists it.
//
// Rules come before forwarding is switched on, so that there is no instant at which the host forwards without them, and go
// after it is off. Connections that are tracked are cut last (flows.ts): one that began a moment later began under the new rules.
//
// A host whose kernel takes no rules (no nf_tables, no permission, no libnftables) has sandboxes that reach each other and the host, and
// no more: forwarding stays as it is, ports are refused with the reason, and each change and audit looks whether that is still so.
import { unavailable } from "../errors.ts";
import type { FlowFilter, Native } from "../ports/native.ts";
import { changeSet } from "./change-set.ts";
import { flowsOf, staleFlows } from "./flows.ts";
import { Forwarding } from "./forwarding.ts";
import { ephemeralPorts, HostPorts, type PortHolder, reservedPorts } from "./host-ports.ts";
import { Nft, ordered } from "./nft.ts";
import { type Closed, type Rules, replacement, rulesOf } from "./rules.ts";
import type { HostNat, HostPort, NatNetwork, NatPlan } from "./types.ts";

type Log = (level: "warn" | "info", message: string, fields?: Readonly<Record<string, unknown>>) => void;

const NO_WAY_OUT = "no rules can be set: networks don't reach out of this host and no ports are published";
const UNTRACKED = "tracked connections can't be ended";

type HostKernel = PortHolder & Pick<Native, "runNftables" | "addresses" | "forgetFlows" | "routeLoopbackIpv6">;

export interface KernelNatOptions {
  readonly stateDir: string;
  readonly native: HostKernel;
  readonly log: Log;
}

/** What the kernel was told last, and how it lists that; null: it has not been asked since. */
interface Applied {
  readonly rules: Rules | null;
  readonly listing: string | null;
}

const PUT_BACK = "somebody changed the nftables table inet weft: it is put back";

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
  #plan: NatPlan = { networks: [], publications: [], relays: [] };
  /** The last plan that was made true, as far as it could be. */
  #made: NatPlan = this.#plan;
  #next: Promise<void> | null = null;
  #current: Promise<void> = Promise.resolve();
  /** Null: nobody knows what the kernel has. */
  #applied: Applied | null = null;
  /** Why the host takes no rules; null: it does, for all that is known. */
  #obstacle: string | null = null;
  /** The last plan that tracked connections were brought in line with. */
  #followed: NatPlan | null = null;
  #cutting: { filters: FlowFilter[]; done: Promise<void> } | null = null;
  #cut: Promise<void> = Promise.resolve();
  /** Why tracked connections can't be ended; null: they can, for all that is known. */
  #untracked: string | null = null;

  readonly #ports: HostPorts;
  /** Where the last search for a free port ended: one that was let go is not given away at once. */
  #lastEphemeral = 0;

  constructor(options: KernelNatOptions) {
    this.#log = options.log;
    this.#native = options.native;
    this.#nft = new Nft(options.native);
    this.#forwarding = new Forwarding(options.stateDir);
    this.#ports = new HostPorts(options.native);
  }

  /** Once, before sandboxes have their descriptors. */
  open(): Promise<void> {
    return this.#nft.open();
  }

  apply(plan: NatPlan): Promise<void> {
    this.#plan = plan;
    if (this.#next !== null) return this.#next;
    const next = this.#serially(() => {
      this.#next = null;
      return this.#make(this.#plan);
    });
    this.#next = next;
    return next;
  }

  /** A gateway's interface is there, for the first time or again, and has nothing of ours yet. */
  interfaceMade(interfaceName: string): Promise<void> {
    return this.#serially(async () => {
      const network = this.#made.networks.find((one) => one.interfaceName === interfaceName);
      if (network !== undefined && this.#applied !== null) await this.#openLoopback(network, true);
    });
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#current.then(work);
    this.#current = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  async reserve(ports: HostPort): Promise<void> {
    if (this.#obstacle !== null) this.#obstacle = await this.#nft.obstacle();
    if (this.#obstacle !== null) throw unavailable(`ports can't be published on this host: ${this.#obstacle}`);
    this.#ports.reserve(ports);
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

  get warnings(): readonly string[] {
    return [
      ...(this.#obstacle === null ? [] : [`${NO_WAY_OUT}: ${this.#obstacle}`]),
      // Where no rules are set nothing is tracked for them.
      ...(this.#untracked === null || this.#obstacle !== null ? [] : [`${UNTRACKED}: ${this.#untracked}`]),
    ];
  }

  /** Lets go of held ports; rules stay. */
  close(): void {
    this.#ports.close();
  }

  /** Puts the table back if somebody changed or flushed it, and switches forwarding on again; answers whether it had to. */
  audit(): Promise<boolean> {
    return this.#serially(async () => {
      if (this.#applied === null) return await this.#tryAgain();
      const forwards = await this.#forwardAgain();
      return (await this.#putBack()) || forwards;
    });
  }

  /** What could not be set when it was asked for or put back: a kernel may have been short of something. */
  async #tryAgain(): Promise<boolean> {
    if (this.#plan.networks.length === 0) return false;
    await this.#make(this.#plan);
    if (this.#applied === null) return false;
    this.#log("info", "the host's rules, which could not be set before, are set");
    return true;
  }

  /** Programs that set the host's sysctls, at boot or for a VPN, know nothing of us. Rules first, as always. */
  async #forwardAgain(): Promise<boolean> {
    if (!this.#forwarding.off(wanted(this.#made))) return false;
    await this.#make(this.#made);
    this.#log("warn", "somebody switched forwarding off: it is on again");
    return true;
  }

  async #putBack(): Promise<boolean> {
    if (this.#applied === null) return false;
    const { rules, listing } = this.#applied;
    const found = await this.#nft.listTable();
    if (found === listing) return false;
    this.#applied = null;
    if (!(await this.#takes(rules))) return false;
    const made = await this.#nft.listTable();
    this.#applied = { rules, listing: made };
    if (ordered(found) === ordered(made)) return false;
    this.#log("warn", PUT_BACK);
    return true;
  }

  async #make(plan: NatPlan): Promise<void> {
    const forward = wanted(plan);
    const translated = plan.publications.filter(({ mode }) => mode === "nat" || mode === "nat-unprotected");
    for (const { hostAddress, hostPort, protocol, reason } of this.#ports.follow(translated, plan.relays)) {
      this.#log("warn", "a published port can't be held: a program of the host that has it gets nothing", {
        hostAddress,
        hostPort,
        protocol,
        reason,
      });
    }
    const rules = rulesOf(plan, this.#forwarding.closed(forward));
    const anew = this.#applied === null;
    // A host that has no networks to route needs no nft either.
    if (rules === null && anew && (await this.#nft.listTable().catch(() => "")) === "") return this.#forwarding.set(forward);
    if (rules === null) this.#forwarding.set(forward);
    if (!(await this.#takes(rules))) return;
    if (rules !== null) this.#forwarding.set(forward);
    this.#made = plan;
    if (anew) for (const network of plan.networks) await this.#openLoopback(network, false);
    await this.#follow(plan);
  }

  /** Whether the host takes rules at all. Throws if it takes others but not these. */
  async #takes(rules: Rules | null): Promise<boolean> {
    if (this.#applied !== null && (await this.#changes(this.#applied, rules))) return true;
    this.#applied = null;
    const before = this.#obstacle;
    try {
      await this.#nft.apply(replacement(rules));
      this.#obstacle = null;
    } catch (error) {
      this.#obstacle = await this.#nft.obstacle();
      if (this.#obstacle === null) throw error;
      if (this.#obstacle !== before) this.#log("warn", NO_WAY_OUT, { reason: this.#obstacle });
      return false;
    }
    this.#applied = { rules, listing: null };
    return true;
  }

  /** Whether less than the whole has done it. A table that takes no change set is not the one that we made. */
  async #changes({ rules: before }: Applied, after: Rules | null): Promise<boolean> {
    const commands = changeSet(before, after);
    if (commands === "") return true;
    if (commands === null) return false;
    try {
      await this.#nft.apply(commands);
    } catch (error) {
      this.#log("warn", PUT_BACK, { reason: (error as Error).message });
      return false;
    }
    this.#applied = { rules: after, listing: null };
    return true;
  }

  /**
   * For host programs that reach published ports by 127.0.0.1 and ::1. `there`: it has been made; else it may yet have to be, and
   * gets it then.
   */
  async #openLoopback({ interfaceName, internal, ipv4, ipv6 }: NatNetwork, there: boolean): Promise<void> {
    if (ipv4 !== null) this.#forwarding.routeLocalnet(interfaceName);
    if (ipv6 === null || internal) return;
    await this.#native.routeLoopbackIpv6(null, interfaceName).catch((error: Error & { code?: string }) => {
      if (!there && error.code === "ENODEV") return;
      this.#log("warn", "ports published for IPv6 are not reached by ::1", { interfaceName, error: error.message });
    });
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
    if (filters.length === 0) return this.#cut;
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
        this.#untracked = null;
      } catch (error) {
        // Without ctnetlink, or without anything tracked at all; or a daemon short of descriptors, which has some the next time.
        const before = this.#untracked;
        this.#untracked = (error as Error).message;
        if (before !== null) return;
        this.#log("warn", `${UNTRACKED}: those of ports that go live on until they are idle`, { error: this.#untracked });
      }
    });
    this.#cut = next.done;
    return next.done;
  }
}
