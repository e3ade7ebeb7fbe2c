// Core files of processes that hold keys: there are none. Oracle: the kernel, which says of a process that it has killed whether
// it dumped it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { Keys } from "../../src/keys/service.ts";
import { ADDON_PATH } from "../../src/paths.ts";
import { MemoryStore } from "../../src/store/memory.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program that crashes, with core files allowed; answers whether the kernel wrote one. */
const DUMPS = `
import os, resource, sys
child = os.fork()
if child == 0:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.chdir(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
_, status = os.waitpid(child, 0)
assert os.WIFSIGNALED(status), status
print(os.WCOREDUMP(status))
`;

function dumps(...argv: string[]): boolean {
  return (
    execFileSync("/usr/bin/python3", ["-c", DUMPS, folder, ...argv], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim() ===
    "True"
  );
}

const node = (script: string): boolean => dumps(process.execPath, "-e", script);

/** Whether core files of this machine are written at all: their pattern may be a pipe to a program that is not there. */
const canDump = (): boolean => dumps("/bin/sh", "-c", "kill -ABRT $$");

it("a process is dumped, and is not when that is forbidden", () => {
  const load = `require(${JSON.stringify(ADDON_PATH)})`;
  expect(node(`${load}; process.abort()`)).toBe(canDump());
  expect(node(`${load}.forbidCoreFiles(); process.abort()`)).toBe(false);
});

it("secrets are announced before they are there: when one is given, and at a start that finds one", async () => {
  const store = new MemoryStore();
  const announced: number[] = [];
  const keysOf = (): Keys =>
    new Keys({
      store,
      datapath: {
        declare: async () => {},
        withdraw: async () => {},
        probe: async () => true,
        dumpAssociations: async () => [],
        onEspEvent: () => {},
      },
      clock: { nowIso: () => "", monotonicMs: () => 0 },
      randomBytes: (count) => new Uint8Array(count),
      underlayAddresses: ["10.9.0.1"],
      limits: { rekeyS: 600, packetLimit: 2 ** 32, byteLimit: 2 ** 38, keepaliveS: 20 },
      log: () => {},
      onSecrets: () => void announced.push(1),
    });
  const keys = keysOf();
  await keys.start();
  expect(announced).toEqual([]);
  const seed = new KeyMaterial(Uint8Array.from({ length: 32 }, (_, i) => i));
  await keys.setPeer("10.9.0.2", 4789, { kind: "seed", seed, transport: "udp", localId: null, peerId: null });
  expect(announced).toEqual([1]);
  await keysOf().start();
  expect(announced).toEqual([1, 1]);
});
