// A controller on twins, with a clock that stands still and randomness that counts.
import { type CnmController, type ControllerOptions, openController } from "../../src/controller/controller.ts";
import { builtinDrivers, DriverRegistry } from "../../src/drivers/registry.ts";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { NullIpam } from "../../src/ipam/null.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import type { Store } from "../../src/store/store.ts";
import { MemoryDatapath } from "./memory-datapath.ts";
import { MemoryKeys } from "./memory-keys.ts";
import { MemoryNames } from "./memory-names.ts";
import { MemoryNamespaces } from "./memory-namespaces.ts";

export interface Bench {
  readonly controller: CnmController;
  readonly store: Store;
  readonly keys: MemoryKeys;
  readonly datapath: MemoryDatapath;
  readonly namespaces: MemoryNamespaces;
  readonly names: MemoryNames;
  readonly logged: string[];
}

export const STATE_DIR = "/var/lib/weft";

/** `kernel`, `store`: what an earlier one left. */
export async function startController(
  parts: { store?: Store; namespaces?: MemoryNamespaces; keys?: MemoryKeys; options?: Partial<ControllerOptions> } = {},
): Promise<Bench> {
  const store = parts.store ?? new MemoryStore();
  const namespaces = parts.namespaces ?? new MemoryNamespaces();
  const keys = parts.keys ?? new MemoryKeys();
  const datapath = new MemoryDatapath(namespaces);
  const names = new MemoryNames(namespaces);
  const logged: string[] = [];
  const controller = await openController({
    store,
    datapath,
    namespaces,
    names,
    drivers: new DriverRegistry(builtinDrivers()),
    ipam: new IpamRegistry([new EmbeddedIpam(), new NullIpam()]),
    underlay: { addresses: ["192.0.2.1"], mtuBytes: 1500, vxlanPort: 4789 },
    keys,
    cipher: () => ({ by: "native", reason: "self-test passed" }),
    stateDir: STATE_DIR,
    clock: { nowIso: () => "2026-01-31T12:00:00.000Z" },
    randomBytes: countingBytes(),
    log: (level, message, fields) => logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    ...parts.options,
  });
  names.follow(controller.nameRecords);
  return { controller, store, keys, datapath, namespaces, names, logged };
}

let draws = 0;

/** Never the same twice in a process, and spread over the first digits of ids. */
export function countingBytes(): (count: number) => Uint8Array {
  return (count) => {
    const bytes = new Uint8Array(count);
    let value = Math.imul(++draws, 2654435761) >>> 0;
    for (let index = 0; index < count; index++) {
      bytes[index] = value & 0xff;
      value = (Math.imul(value, 1664525) + 1013904223) >>> 0;
      value = ((value >>> 8) | (value << 24)) >>> 0;
    }
    return bytes;
  };
}
