// `weft daemon --purge`: the host afterwards is the host before, whatever was left of the daemon's state.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Daemon, WEFT } from "../support/daemon.ts";
import { Fate } from "../support/fate.ts";
import { type Host, Lab, namespaceMounts } from "../support/hosts.ts";

const lab = new Lab();
afterAll(() => lab.dispose());

/** All that a daemon could leave in a host, as one text. */
async function picture(host: Host): Promise<string> {
  const look = (command: string) => host.must(["sh", "-c", command]);
  return [
    await look("ip -o link | cut -d: -f2- | sed 's/qlen.*//'"),
    await look("ip -o address | cut -d: -f2- | sed 's/valid_lft.*//'"),
    await look("ip route show table all; ip -6 route show table all; ip rule; ip -6 rule"),
    await look("nft list ruleset"),
    await look("sysctl -a --pattern 'net.ipv4.ip_forward$|forwarding$|accept_ra$|route_localnet$' 2>/dev/null | sort"),
  ].join("\n---\n");
}

const purgeArgv = ({ stateDir, socket }: Daemon, ...args: string[]) => [
  ...[WEFT, "daemon", "--state-dir", stateDir, "--socket", socket],
  ...["--purge", ...args],
];
const purge = (daemon: Daemon, ...args: string[]) => daemon.host.execute(purgeArgv(daemon, ...args));

/** Networks of every kind, sandboxes in namespaces of ours and of the user's, a published port. */
async function settle(name: string): Promise<{ daemon: Daemon; before: string; outer: Host; outerBefore: string }> {
  const host = await lab.host(name);
  const outer = await lab.host(`${name}u`);
  await host.must(["nft", "add", "table", "inet", "other"]);
  const [before, outerBefore] = [await picture(host), await picture(outer)];
  const daemon = await Daemon.start(lab, host);
  await daemon.must("network", "create", "--subnet", "10.83.0.0/24", "--ipv6", "--subnet", "fd83::/64", "net");
  await daemon.must("network", "create", "--subnet", "10.84.0.0/24", "-o", "com.docker.network.bridge.name=custom0", "named");
  await daemon.must("sandbox", "create", "--network", "net", "-p", "8080:80", "a");
  await daemon.must("sandbox", "create", "--network", "named", "--netns", outer.path, "b");
  expect(await picture(host)).not.toBe(before);
  expect(await picture(outer)).not.toBe(outerBefore);
  return { daemon, before, outer, outerBefore };
}

test("leaves the host as it was, and says what it removed", async () => {
  const { daemon, before, outer, outerBefore } = await settle("p");
  const running = await purge(daemon, "--yes");
  expect([running.code, running.stderr]).toEqual([
    1,
    expect.stringMatching(/a weft daemon \(pid \d+\) uses state directory .*: stop it first/),
  ]);
  await daemon.kill9();
  const refused = await purge(daemon);
  expect([refused.code, refused.stderr]).toEqual([1, "weft: purge has been cancelled\n"]);

  const { code, stdout, stderr } = await purge(daemon, "-y");
  expect([code, stderr]).toEqual([0, ""]);
  for (const what of ["interface custom0", "nftables table inet weft", "state directory", "interface eth0", "network namespace"]) {
    expect(stdout).toContain(`removed ${what}`);
  }
  expect(await picture(daemon.host)).toBe(before);
  expect(await picture(outer)).toBe(outerBefore);
  expect([existsSync(daemon.stateDir), namespaceMounts(daemon.stateDir)]).toEqual([false, []]);
  expect(await purge(daemon, "-y")).toMatchObject({ code: 0, stdout: "", stderr: "" });
});

test("does so where the store is damaged and half of the state is gone, though it is killed again and again", async () => {
  const { daemon, before } = await settle("q");
  await daemon.kill9();
  const [store, forwarding] = ["store.lmdb", "forwarding.json"].map((name) => join(daemon.stateDir, name)) as [string, string];
  writeFileSync(store, Buffer.alloc(readFileSync(store).length, 0xa5));
  expect(existsSync(forwarding)).toBe(true);
  rmSync(join(daemon.stateDir, "sandboxes"), { recursive: true });
  // Killed before its first call, the next one before its second, and so on until one comes to its end.
  const fate = new Fate();
  let stdout = "";
  let kills = 0;
  for (let over = false; !over; kills++) {
    fate.decide(kills);
    const outcome = await daemon.host.execute(purgeArgv(daemon, "-y"), { env: fate.env });
    stdout += outcome.stdout;
    over = outcome.code !== 137;
    if (over) expect(outcome).toMatchObject({ code: 0, stderr: "" });
  }
  fate.dispose();
  expect(kills).toBeGreaterThan(4);
  expect(stdout).toContain("the store can't be read");
  expect(await picture(daemon.host)).toBe(before);
  expect(existsSync(daemon.stateDir)).toBe(false);
});

test("takes the default folder of the socket, which a stopped daemon leaves empty; not with something in it", async () => {
  const host = await lab.host("d");
  const left = async (file: string): Promise<string> => {
    const purge = `env -u WEFT_SOCKET '${WEFT}' daemon --purge -y --state-dir /run/none`;
    const script = `mount -t tmpfs none /run && mkdir /run/weft && ${file} && ${purge} >&2 && ls /run`;
    return host.must(["unshare", "--mount", "sh", "-c", script]);
  };
  expect(await left("true")).toBe("");
  expect((await left("touch /run/weft/other")).trim()).toBe("weft");
});
