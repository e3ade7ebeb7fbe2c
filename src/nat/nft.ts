// Hands rulesets to nftables by its own library, in the daemon's network namespace: one transaction a change, however large, and
// the kernel takes it whole or not at all.
import { unavailable } from "../errors.ts";
import type { Native, NftablesOutcome } from "../ports/native.ts";
import { TABLE } from "./rules.ts";

export type NftablesRunner = Pick<Native, "runNftables">;

/** What rules.ts needs of the kernel, in the fewest words; made and removed in one transaction. */
const PROBE = `table ${TABLE}_probe {
  chain probe {
    type nat hook output priority -100
    fib daddr type local dnat ip to 192.0.2.1
  }
}
delete table ${TABLE}_probe
`;

export class Nft {
  readonly #native: NftablesRunner;

  constructor(native: NftablesRunner) {
    this.#native = native;
  }

  async #run(commands: string): Promise<NftablesOutcome> {
    try {
      return await this.#native.runNftables(commands);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const missing = "libnftables is missing: install nftables (`apt-get install nftables`)";
      throw unavailable(code === "ENOENT" ? missing : `nftables can't be reached: ${message} (\`modprobe nf_tables\`)`);
    }
  }

  /** Makes the library's context, which can't be made any more when very many descriptors are open. What stands against it is heard later. */
  async open(): Promise<void> {
    await this.#run("").catch(() => {});
  }

  /** A transaction of rules.ts or change-set.ts. */
  async apply(text: string): Promise<void> {
    const { code, error } = await this.#run(text);
    if (code === 0) return;
    const reason = error.trim().split("\n")[0] ?? "";
    throw unavailable(`nftables refused the rules of ${TABLE}: ${reason}: look at \`nft list ruleset\``);
  }

  /** Why this host takes no rules, whatever they are, and what to do about it; null: it takes some. */
  async obstacle(): Promise<string | null> {
    const outcome = await this.#run(PROBE).catch((error: Error) => error.message);
    if (typeof outcome === "string") return outcome;
    if (outcome.code === 0) return null;
    const reason = outcome.error.trim().split("\n")[0] ?? "";
    if (/Operation not permitted/.test(reason)) return `nftables refused: ${reason}: give the daemon CAP_NET_ADMIN`;
    return `nftables refused: ${reason}: the kernel may lack nf_tables, nft_nat or nft_fib (\`modprobe nft_nat\`)`;
  }

  /** Our table as the kernel has it, in nft's own spelling; "" if there is none. */
  async listTable(): Promise<string> {
    const { code, output } = await this.#run(`list table ${TABLE}`);
    return code === 0 ? output : "";
  }
}

/** A listing with elements in an order: the kernel lists them as it keeps them, which tells how they came. */
export const ordered = (listing: string): string =>
  listing.replace(/elements = \{([^}]*)\}/g, (_, elements: string) => {
    const each = elements.split(",").map((element) => element.trim());
    return `elements = { ${each.sort().join(", ")} }`;
  });
