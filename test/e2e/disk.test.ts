// A state directory that is full or can't be written: what changes state is refused with the reason, nothing is half done, traffic
// goes on, and when there is room again everything works without a restart.
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ordered } from "../../src/nat/nft.ts";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab, must, namespaceMounts } from "../support/hosts.ts";

const lab = new Lab();
let daemon: Daemon;
let one: Host;

beforeAll(async () => {
  daemon = new Daemon(lab, await lab.host("h"));
  await must(["mount", "-t", "tmpfs", "-o", "size=4m", "weft-test", daemon.stateDir]);
  await daemon.start();
  await daemon.must("network", "create", "--subnet", "10.85.0.0/24", "net");
  await daemon.must("network", "create", "--subnet", "10.86.0.0/24", "other");
  for (const name of ["one", "two"]) await daemon.must("sandbox", "create", "--network", "net", name);
  one = await daemon.enter("one");
});
afterAll(() => lab.dispose());
afterEach(async () => {
  expect(await one.ping("10.85.0.3", [], 1)).toBe(1);
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
  await daemon.law();
});

const filler = () => join(daemon.stateDir, "filler");

/** To the last byte. */
function fill(): void {
  for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeFileSync(filler(), Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
  }
}

/** Namespaces, interfaces, rules and files that are there. */
async function host(): Promise<unknown> {
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  return {
    mounts: namespaceMounts(daemon.stateDir).sort(),
    links: (await daemon.host.links()).map(({ ifname }) => ifname).sort(),
    inside: (await one.links()).map(({ ifname }) => ifname).sort(),
    rules: ordered(await daemon.host.must(["nft", "-s", "list", "ruleset"])),
    files: ["netns", "sandboxes"].map((name) => readdirSync(join(daemon.stateDir, name)).sort()),
    sandboxes: sandboxes.map(({ name }) => name),
  };
}

/** What is refused while nothing can be stored. */
const CHANGES: readonly (readonly string[])[] = [
  ["network", "create", "--subnet", "10.87.0.0/24", "more"],
  ["network", "create", "-o", "com.docker.network.bridge.gateway_mode_ipv6=nat", "--ipv6", "six"],
  ["sandbox", "create", "--network", "net", "three"],
  ["sandbox", "create", "--network", "other", "-p", "8081:80", "four"],
  ["network", "connect", "other", "one"],
];

async function refusesAll(pattern: RegExp): Promise<void> {
  const before = [await daemon.state(), await host()];
  for (const change of CHANGES) {
    const { code, stderr } = await daemon.cli(change);
    expect([change.join(" "), code, stderr]).toEqual([change.join(" "), 1, expect.stringMatching(pattern)]);
  }
  expect([await daemon.state(), await host()]).toEqual(before);
}

async function worksAgain(): Promise<void> {
  for (const change of CHANGES) await daemon.must(...change);
  expect(await (await daemon.enter("three")).ping("10.85.0.2", [], 1)).toBe(1);
  await daemon.must("sandbox", "rm", "-f", "three", "four");
  await daemon.must("network", "disconnect", "other", "one");
  await daemon.must("network", "rm", "more", "six");
}

test("a full disk", async () => {
  fill();
  await refusesAll(/no space left|ENOSPC/);
  const refused = daemon.api.call("network", "Create", { name: "more" });
  await expect(refused).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  rmSync(filler());
  await worksAgain();
});

test("a file of a sandbox that is not to be written is trouble of the host's, and no bug", async () => {
  const { id } = await daemon.sandbox("one");
  const folder = join(daemon.stateDir, "sandboxes", id);
  await must(["mount", "-t", "tmpfs", "-o", "ro,size=4k", "weft-test", folder]);
  try {
    const refused = daemon.api.call("endpoint", "Connect", { sandbox: "one", attachment: { network: "other" } });
    await expect(refused).rejects.toMatchObject({ code: "FORBIDDEN", message: expect.stringMatching(/read-only.*mount it writable/) });
  } finally {
    await must(["umount", folder]);
  }
  expect((await one.links()).map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
});

test("a folder that turned read-only under a daemon", async () => {
  const { stateDir } = daemon;
  await must(["mount", "--rbind", stateDir, stateDir]); // with the namespaces in it
  await must(["mount", "-o", "remount,bind,ro", stateDir]);
  try {
    const before = [await daemon.state(), await host()];
    // The store is open and goes on; what needs new files says why it can't be.
    const { code, stderr } = await daemon.cli(["sandbox", "create", "--network", "net", "three"]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/EROFS|[Rr]ead-only file system/)]);
    expect(stderr).not.toContain("internal error");
    expect([await daemon.state(), await host()]).toEqual(before);
  } finally {
    await must(["umount", "-R", stateDir]);
  }
  await worksAgain();
});

test("a folder that is read-only from the start", async () => {
  const late = new Daemon(lab, await lab.host("l"));
  await must(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "weft-test", late.stateDir]);
  const { code, stderr } = await late.host.execute(late.argv());
  expect(code).toBe(1);
  expect(stderr).toMatch(/(EROFS|[Rr]ead-only file system).*(writable|--state-dir)/);
  expect(existsSync(late.socket)).toBe(false);
});
