// What the kernel is told, and when: changes alone, the whole where that does not do, and what the audit makes of a table that
// somebody has been at. nft is the real one, in a namespace of its own; networks are internal, so that no switch of the host moves.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { KernelNat } from "../../../src/nat/host-nat.ts";
import type { NatNetwork } from "../../../src/nat/types.ts";
import type { FlowFilter } from "../../../src/ports/native.ts";
import { testNamespaces } from "../../support/namespaces.ts";

const namespaces = testNamespaces();
let namespace: string;
let folder: string;
let nat: KernelNat;
let native: ConstructorParameters<typeof KernelNat>[0]["native"];
/** First words of what was run: "list table", "add element", or "table inet" for the whole. */
let runs: string[];
let warnings: string[];
/** Why the kernel can't be asked at the moment. */
let trouble: string | null;
/** Addresses whose connections were ended. */
let forgotten: string[];

beforeEach(async () => {
  namespace = await namespaces.create("nft");
  folder = mkdtempSync(join(tmpdir(), "weft-t"));
  runs = [];
  warnings = [];
  trouble = null;
  forgotten = [];
  native = {
    runNftables: async (commands: string) => {
      runs.push(commands.split(" ").slice(0, 2).join(" "));
      if (trouble !== null) return { code: 1, output: "", error: trouble };
      const { status, stdout, stderr } = run(commands);
      return { code: status ?? -1, output: stdout, error: stderr };
    },
    addresses: async () => [],
    forgetFlows: async (_namespace: string | null, filters: readonly FlowFilter[]) => {
      if (trouble !== null) throw new Error(trouble);
      forgotten.push(...filters.flatMap(({ party }) => party ?? []));
      return filters.length;
    },
    routeLoopbackIpv6: async () => {},
    holdPort: () => 0,
    leadPort: () => {},
    releasePort: () => {},
    limitRelays: () => {},
  };
  nat = new KernelNat({ stateDir: folder, native, log: (level, message) => level === "warn" && warnings.push(message) });
});

afterEach(async () => {
  nat.close();
  rmSync(folder, { recursive: true });
  await namespaces.removeAll();
});

const run = (input: string) => spawnSync("nsenter", [`--net=${namespace}`, "nft", "-s", "-f", "-"], { input, encoding: "utf8" });
const bridges = (): string[] => [...run("list set inet weft bridges").stdout.matchAll(/"(br-.)"/g)].map(([, name]) => name!).sort();

const apply = (...names: string[]): Promise<void> => {
  const networks = names.map((interfaceName): NatNetwork => ({ interfaceName, internal: true, ipv4: null, ipv6: null }));
  return nat.apply({ networks, publications: [], relays: [] });
};

it("tells the kernel what has changed", async () => {
  await apply("br-a");
  await apply("br-a", "br-b");
  await apply("br-a", "br-b");
  await apply("br-b");
  expect(bridges()).toEqual(["br-b"]);
  expect(runs).toEqual(["table inet", "add element", "delete element"]);
  expect(warnings).toEqual([]);
});

it("tells it all where the table turns out to be another", async () => {
  await apply("br-a");
  run("delete table inet weft");
  await apply("br-a", "br-b");
  expect(bridges()).toEqual(["br-a", "br-b"]);
  expect(runs).toEqual(["table inet", "add element", "table inet"]);
  expect(warnings).toHaveLength(1);
});

it("audits: replaces once after changes, and then looks", async () => {
  await apply("br-c");
  await apply("br-c", "br-a");
  await apply("br-c", "br-a", "br-b");
  runs = [];
  expect(await nat.audit()).toBe(false);
  expect(await nat.audit()).toBe(false);
  expect(runs).toEqual(["list table", "table inet", "list table", "list table"]);
  expect(warnings).toEqual([]);
});

it("audits: puts back what somebody changed, before it was looked at and after", async () => {
  await apply("br-a");
  for (const n of [1, 2, 3]) {
    expect(run('delete element inet weft bridges { "br-a" }').status).toBe(0);
    expect(await nat.audit()).toBe(true);
    expect(bridges()).toEqual(["br-a"]);
    expect(warnings).toHaveLength(n);
  }
  run("delete table inet weft");
  expect(await nat.audit()).toBe(true);
  expect(bridges()).toEqual(["br-a"]);
  expect(await nat.audit()).toBe(false);
});

it("audits: puts back what it could not put back at first, and what could not be set at all", async () => {
  await apply("br-a");
  run("delete table inet weft");
  trouble = "Error: Could not process rule: Cannot allocate memory";
  for (let n = 0; n < 2; n++) expect(await nat.audit()).toBe(false);
  expect(nat.warnings).toEqual([expect.stringContaining(trouble)]);
  trouble = null;
  expect(await nat.audit()).toBe(true);
  expect([bridges(), nat.warnings]).toEqual([["br-a"], []]);

  run("delete table inet weft");
  trouble = "Error: Could not process rule: Cannot allocate memory";
  await apply("br-a", "br-b");
  await nat.audit();
  trouble = null;
  expect(await nat.audit()).toBe(true);
  expect([bridges(), await nat.audit()]).toEqual([["br-a", "br-b"], false]);
});

it("audits nothing before anything was asked for: an earlier daemon's rules are in force until then", async () => {
  await apply("br-a");
  const table = run("list table inet weft").stdout;
  nat.close();
  nat = new KernelNat({ stateDir: folder, native, log: () => {} });
  expect(await nat.audit()).toBe(false);
  expect(run("list table inet weft").stdout).toBe(table);
});

it("goes on to end connections after it could not once", async () => {
  trouble = "EMFILE";
  await nat.forget(["10.0.0.2"]);
  await nat.forget(["10.0.0.3"]);
  expect([warnings.length, nat.warnings]).toEqual([1, [expect.stringContaining("EMFILE")]]);
  trouble = null;
  await nat.forget(["10.0.0.4"]);
  expect([forgotten, nat.warnings]).toEqual([["10.0.0.4"], []]);
});
