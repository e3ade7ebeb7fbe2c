// What this host may have of ours, as far as it can still be known. The store says it; where the store is damaged or gone, the
// kernel does: a gateway's interface is a persistent TAP that is called br-<12 digits> or that our rules name, and a namespace
// of ours is a mount in the state directory.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LinkInfo } from "../ports/native.ts";
import { ENDPOINT_PREFIX, NETWORK_PREFIX, SANDBOX_PREFIX } from "../store/keys.ts";
import { LMDB_OPTIONS, openLmdbStore, STORE_FILE } from "../store/lmdb.ts";
import { probeLmdb } from "../store/lmdb-probe.ts";

export interface ForeignEnd {
  /** The user's own namespace. */
  readonly namespacePath: string;
  readonly interfaceNames: readonly string[];
}

export interface Known {
  /** Interfaces in the daemon's namespace, by name. */
  readonly gateways: ReadonlySet<string>;
  /** What sandboxes have in namespaces that are not ours. */
  readonly foreign: readonly ForeignEnd[];
  /** Why the store could not be read; null: it was, or there is none. */
  readonly damage: string | null;
}

const MADE_NAME = /^br-[0-9a-f]{12}$/;
const QUOTED = /"([^"]+)"/g;

type Loose = Readonly<Record<string, unknown>>;

/** `rules`: our table as nftables lists it. */
export async function knownTo(stateDir: string, links: readonly LinkInfo[], rules: string): Promise<Known> {
  const named = new Set([...rules.matchAll(QUOTED)].map((match) => match[1]!));
  // Persistent and without a program: what other programs leave under such names is of another kind (Docker's are bridges).
  const taps = new Set(links.filter(({ kind, running }) => kind === "tun" && !running).map(({ name }) => name));
  const gateways = new Set([...taps].filter((name) => MADE_NAME.test(name) || named.has(name)));
  const path = join(stateDir, STORE_FILE);
  if (!existsSync(path)) return { gateways, foreign: [], damage: null };
  try {
    const damage = await probeLmdb(path, LMDB_OPTIONS);
    if (damage !== null) return { gateways, foreign: [], damage };
    const store = await openLmdbStore(path);
    try {
      const records = async (prefix: string) => (await store.list(prefix)).map(({ value }) => (value ?? {}) as Loose);
      for (const { driverState } of await records(NETWORK_PREFIX)) {
        const name = (driverState as Loose | undefined)?.interfaceName;
        if (typeof name === "string" && taps.has(name)) gateways.add(name);
      }
      const endpoints = await records(ENDPOINT_PREFIX);
      const foreign = (await records(SANDBOX_PREFIX))
        .filter(({ ownsNamespace, joinedTo, namespacePath }) => !ownsNamespace && !joinedTo && namespacePath !== "/proc/self/ns/net")
        .map(({ id, namespacePath }) => ({
          namespacePath: String(namespacePath),
          interfaceNames: endpoints
            .filter(({ sandboxId }) => sandboxId === id)
            .flatMap(({ interfaceName }) => (typeof interfaceName === "string" ? [interfaceName] : [])),
        }));
      return { gateways, foreign, damage: null };
    } finally {
      await store.close();
    }
  } catch (error) {
    return { gateways, foreign: [], damage: (error as Error).message };
  }
}
