// Addresses that nobody has and nobody can get: found and freed. Bookkeeping is computed from records here (ipam/embedded.ts), so
// none should be; a bug would show as an address that runs out unseen. Hence a second computation, apart from the first, at
// start and hourly: pools against endpoints, what the store remembers of pools against the networks there are, and the leases of
// plugins against who is busy with them. What it finds it says, counts, and makes good.
//
// It takes each network's lock alone and for itself, when nobody asks for an address of it.

import { LEASE_PREFIX } from "../../ipam/leases.ts";
import { ULA_KEY } from "../../store/keys.ts";
import { type Context, commit } from "../context.ts";
import { exclusive } from "../locks.ts";
import { addressSpaceOf, NETWORKS_LOCK, networkLock } from "../networks/networks.ts";

export const RECONCILE_INTERVAL_MS = 3600_000;

export interface ReconcileReport {
  /** Addresses that were taken and nobody's, "NETWORK ADDRESS". */
  readonly freed: readonly string[];
  /** Addresses that were somebody's and free. */
  readonly claimed: readonly string[];
  /** Of pools of networks that are gone. */
  readonly keys: readonly string[];
  /** Pools and addresses that plugins have back. */
  readonly released: number;
  /** Those that are still to be given back: their plugins don't answer. */
  readonly waiting: number;
}

export interface ReconcileFigures {
  /** ISO 8601; empty: not yet. */
  readonly lastAt: string;
  /** Since the daemon's start: freed, claimed, keys and released. */
  readonly reclaimed: number;
  readonly waiting: number;
}

export const NOTHING_RECONCILED: ReconcileFigures = { lastAt: "", reclaimed: 0, waiting: 0 };

export async function reconcile(context: Context): Promise<ReconcileReport> {
  const freed: string[] = [];
  const claimed: string[] = [];
  for (const { id } of [...context.state.networks.values()]) {
    await context.locks.run([exclusive(networkLock({ id }))], async () => {
      const network = context.state.networks.get(id);
      if (network === undefined || network.configOnly || addressSpaceOf(context, network) === null) return;
      const mended = context.ipam.reconcileNetwork(id, context.state.endpointsOfNetwork(id));
      freed.push(...mended.freed.map((address) => `${network.name} ${address}`));
      claimed.push(...mended.claimed.map((address) => `${network.name} ${address}`));
    });
  }
  const keys = await context.locks.run([exclusive(NETWORKS_LOCK)], () => removeOrphans(context));
  const { released, waiting } = await context.ipam.reconcileLeases();
  const report = { freed, claimed, keys, released, waiting };
  if (freed.length + claimed.length + keys.length + released > 0) {
    context.log("warn", "addresses that were leaked are free again", { ...report });
  }
  if (waiting > 0) context.log("warn", "addresses and pools wait for their IPAM plugins to be given back", { waiting });
  return report;
}

/** What is remembered of pools whose networks are gone. */
async function removeOrphans(context: Context): Promise<string[]> {
  const { state, ipam } = context;
  const known = new Set(
    [...state.networks.values()].flatMap((network) => {
      const space = network.configOnly ? null : addressSpaceOf(context, network);
      return space === null ? [] : ipam.keysOf(network, space);
    }),
  );
  const orphans = [...state.ipam.keys()].filter((key) => key !== ULA_KEY && !key.startsWith(LEASE_PREFIX) && !known.has(key));
  if (orphans.length > 0) await commit(context, [], orphans);
  return orphans;
}
