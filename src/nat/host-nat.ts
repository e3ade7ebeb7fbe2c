// Makes the host do what a plan says: rules, the kernel's switches. One change at a time; of plans that come while one is being
// made true only the last is, for it says all.
//
// Rules come before forwarding is switched on, so that there is no instant at which the host forwards without them, and go
// after it is off.
import { Forwarding } from "./forwarding.ts";
import { ephemeralPorts, HostPorts, reservedPorts } from "./host-ports.ts";
import { Nft, type NftablesRunner } from "./nft.ts";
import { type Closed, NO_RULES, ruleset } from "./rules.ts";
import type { HostNat, HostPort, NatPlan } from "./types.ts";

type Log = (level: "warn" | "info", message: string, fields?: Readonly<Record<string, unknown>>) => void;

export interface KernelNatOptions {
  readonly native: NftablesRunner;
  readonly stateDir: string;
  readonly log: Log;
}

function wanted({ networks }: NatPlan): Closed {
  const forwards = (family: "ipv4" | "ipv6"): boolean =>
    networks.some((network) => !network.internal && network[family] !== null && network[family].mode !== "isolated");
  return { ipv4: forwards("ipv4"), ipv6: forwards("ipv6") };
}

export class KernelNat implements HostNat {
  readonly #log: Log;
  readonly #nft: Nft;
  readonly #forwarding: Forwarding;
  #plan: NatPlan = { networks: [], publications: [] };
  #next: Promise<void> | null = null;
  #current: Promise<void> = Promise.resolve();
  /** What the kernel was told last, and how it lists that. */
  #applied: { readonly text: string; readonly listing: string } | null = null;

  readonly #ports = new HostPorts();
  /** Where the last search for a free port ended: one that was let go is not given away at once. */
  #lastEphemeral = 0;

  constructor(options: KernelNatOptions) {
    this.#log = options.log;
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

  reserve(ports: HostPort): Promise<void> {
    return this.#ports.reserve(ports);
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
    if (applied === null || (await this.#nft.listTable()) === applied.listing || this.#applied !== applied || this.#next !== null)
      return false;
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
    if (this.#applied?.text !== text) {
      this.#applied = null;
      await this.#nft.apply(text);
      this.#applied = { text, listing: await this.#nft.listTable() };
    }
    if (text !== NO_RULES) this.#forwarding.set(forward);
    for (const { interfaceName, ipv4 } of plan.networks) if (ipv4 !== null) this.#forwarding.routeLocalnet(interfaceName);
  }
}
