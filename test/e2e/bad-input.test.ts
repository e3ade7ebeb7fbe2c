// Commands that must be refused: exit code 1 (2 where the command line itself is wrong), a reason that names the value, and
// nothing changed. The state compared is all that the daemon lists, and the interfaces of its host.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab, type Outcome } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let state: string;

async function everything(): Promise<string> {
  return `${await daemon.state()}${JSON.stringify(await host.links())}`;
}

beforeAll(async () => {
  host = await lab.host("h");
  await lab.wire([host, "up0", "10.82.0.1/24"], [await lab.host("p"), "up0", "10.82.0.2/24"]);
  daemon = await Daemon.start(lab, host, { underlayAddress: "10.82.0.1" });
  await daemon.must(
    "network",
    "create",
    "--subnet",
    "10.90.0.0/24",
    "--ip-range",
    "10.90.0.128/25",
    "--aux-address",
    "router=10.90.0.200",
    "taken",
  );
  await daemon.must(
    ...["network", "create", "-d", "overlay", "--subnet", "10.91.0.0/24", "--ipv6", "--subnet", "fd91::/64"],
    ...["-o", "com.docker.network.driver.overlay.vxlanid_list=9100", "far"],
  );
  await daemon.must("network", "create", "--subnet", "10.92.0.0/30", "tiny");
  await daemon.must("sandbox", "create", "--network", "taken,ip=10.90.0.10", "box");
  await daemon.must("sandbox", "create", "--network", "tiny", "full"); // the last address of /30
  await daemon.must("peer", "add", "10.82.0.2");
  state = await everything();
});
afterAll(() => lab.dispose());

const VNIS = "com.docker.network.driver.overlay.vxlanid_list";
const MTU = "com.docker.network.driver.mtu";
const BRIDGE_NAME = "com.docker.network.bridge.name";

/** [command, words that the reason has to contain]; exit code 1. */
const REFUSED: readonly (readonly [string, RegExp])[] = [
  // subnets
  ["network create --subnet 10.90.0.0/24 x", /10\.90\.0\.0\/24.*overlap|overlap.*10\.90\.0\.0\/24/i],
  ["network create --subnet 10.90.0.0/16 x", /overlap/i],
  ["network create --subnet 10.90.0.64/26 x", /overlap/i],
  ["network create --subnet 10.93.0.0/24 --subnet 10.93.0.128/25 x", /overlap|several|one IPv4 subnet/i],
  ["network create --ipv6 --subnet fd91:0:0:0:8000::/65 x", /overlap/i],
  ["network create --subnet 10.93.0.0/33 x", /10\.93\.0\.0\/33/],
  ["network create --subnet 10.93.0.0 x", /10\.93\.0\.0/],
  ["network create --subnet 300.1.1.0/24 x", /300\.1\.1\.0\/24/],
  ["network create --subnet nonsense x", /nonsense/],
  ["network create --subnet 10.93.0.1/24 x", /10\.93\.0\.1\/24.*(10\.93\.0\.0\/24|host bits)/],
  ["network create --subnet fd93::/129 x", /fd93::\/129/],
  ["network create --subnet fd93::zz/64 x", /fd93::zz\/64/],
  ["network create --subnet 224.0.0.0/24 x", /224\.0\.0\.0\/24/],
  ["network create --subnet 127.0.0.0/24 x", /127\.0\.0\.0\/24/],
  // gateways, ranges, auxiliary addresses
  ["network create --subnet 10.93.0.0/24 --gateway 10.94.0.1 x", /10\.94\.0\.1/],
  ["network create --subnet 10.93.0.0/24 --gateway 10.93.0.0 x", /10\.93\.0\.0/],
  ["network create --subnet 10.93.0.0/24 --gateway 10.93.0.255 x", /10\.93\.0\.255/],
  ["network create --subnet 10.93.0.0/24 --gateway fd93::1 x", /fd93::1/],
  ["network create --subnet 10.93.0.0/24 --gateway gateway x", /gateway/],
  ["network create --subnet 10.93.0.0/24 --ip-range 10.94.0.0/25 x", /10\.94\.0\.0\/25/],
  ["network create --subnet 10.93.0.0/24 --ip-range 10.93.0.0/16 x", /10\.93\.0\.0\/16/],
  ["network create --subnet 10.93.0.0/24 --aux-address a=10.95.0.1 x", /10\.95\.0\.1/],
  ["network create --subnet 10.93.0.0/24 --gateway 10.93.0.1 --aux-address a=10.93.0.1 x", /10\.93\.0\.1/],
  ["network create --gateway 10.93.0.1 x", /10\.93\.0\.1|subnet/],
  // names, drivers, options
  ["network create taken", /network with name taken already exists/],
  ["network create -d nosuch x", /nosuch/],
  ["network create -d overlay --ipam-driver nosuch x", /nosuch/],
  ["network create -o com.example.nosuch=1 x", /com\.example\.nosuch/],
  ["network create -o com.docker.network.driver.mtuu=1400 x", /mtuu/],
  [`network create -o ${MTU}=many x`, /many/],
  [`network create -o ${MTU}=10 x`, /10/],
  [`network create -o ${MTU}=70000 x`, /70000/],
  [`network create --ipv6 --subnet fd93::/64 -o ${MTU}=1000 x`, /1280/],
  [`network create -o ${BRIDGE_NAME}=a-name-of-more-than-15 x`, /a-name-of-more-than-15.*15/],
  [`network create -o ${BRIDGE_NAME}=a/b x`, /a\/b/],
  [`network create -o ${BRIDGE_NAME}=up0 x`, /up0/],
  ["network create --scope nosuch x", /nosuch/],
  ["network create -- -x", /-x/],
  ["network create bad/name", /bad\/name/],
  [`network create ${"n".repeat(300)}`, /n{20}/],
  // VNIs
  [`network create -d overlay -o ${VNIS}=9100 x`, /9100/],
  [`network create -d overlay -o ${VNIS}=16777216 x`, /16777216/],
  [`network create -d overlay -o ${VNIS}=-1 x`, /-1/],
  [`network create -d overlay -o ${VNIS}=abc x`, /abc/],
  [`network create -d overlay --subnet 10.93.0.0/24 -o ${VNIS}=1,1 x`, /1/],
  [`network create -d bridge -o ${VNIS}=77 x`, /vxlanid_list/],
  // what is in use
  ["network rm taken", /network taken (id [0-9a-f]+ )?has active endpoints \(name:"?box"? id:"?[0-9a-f]+"?\)/],
  ["network rm nosuch", /network nosuch not found/],
  ["network inspect nosuch", /network nosuch not found/],
  // sandboxes
  ["sandbox create box", /box/],
  ["sandbox create --network nosuch x", /network nosuch not found/],
  ["sandbox create --network taken,ip=10.90.0.10 x", /10\.90\.0\.10/],
  ["sandbox create --network taken,ip=10.90.0.1 x", /10\.90\.0\.1/],
  ["sandbox create --network taken,ip=10.90.0.0 x", /10\.90\.0\.0/],
  ["sandbox create --network taken,ip=10.90.0.255 x", /10\.90\.0\.255/],
  ["sandbox create --network taken,ip=10.90.0.200 x", /10\.90\.0\.200/],
  ["sandbox create --network taken,ip=10.99.0.1 x", /10\.99\.0\.1/],
  ["sandbox create --network taken,ip=ten x", /ten/],
  ["sandbox create --network taken,ip6=fd90::1 x", /fd90::1/],
  ["sandbox create --network far,ip6=fd91:1::1 x", /fd91:1::1/],
  ["sandbox create --network taken,mac=02:00 x", /02:00/],
  ["sandbox create --network taken,mac=01:00:5e:00:00:01 x", /01:00:5e:00:00:01/],
  ["sandbox create --network taken,mac=00:00:00:00:00:00 x", /00:00:00:00:00:00/],
  ["sandbox create --network taken --network taken x", /taken/],
  ["sandbox create --network tiny x", /10\.92\.0\.0\/30|no available|exhausted|full/i],
  ["sandbox create --network far --network taken,ip=10.99.0.1 x", /10\.99\.0\.1/], // the first one is taken back
  ["sandbox create --netns /nonexistent x", /\/nonexistent/],
  ["sandbox create --netns /etc/passwd x", /\/etc\/passwd/],
  ["sandbox create --netns /proc/self/ns/mnt x", /\/proc\/self\/ns\/mnt/],
  ["sandbox create --netns /tmp x", /\/tmp/],
  ["sandbox create bad/name", /bad\/name/],
  ["sandbox rm nosuch", /nosuch/],
  ["sandbox inspect nosuch", /nosuch/],
  ["sandbox exec nosuch -- true", /nosuch/],
  ["network connect taken box", /box|already/],
  ["network connect nosuch box", /nosuch/],
  ["network connect taken nosuch", /nosuch/],
  ["network disconnect far box", /box|far/],
  // peers
  ["peer add 10.82.0.2", /10\.82\.0\.2/],
  ["peer add nonsense", /nonsense/],
  ["peer add 10.82.0.1", /10\.82\.0\.1/],
  ["peer add 224.0.0.1", /224\.0\.0\.1/],
  ["peer add 0.0.0.0", /0\.0\.0\.0/],
  ["peer add fd82::2", /fd82::2/],
  ["peer add --network nosuch 10.82.0.3", /nosuch/],
  ["peer add --network taken 10.82.0.3", /taken|overlay/],
  ["peer rm 10.82.0.9", /10\.82\.0\.9/],
  // diagnostics
  ["fdb nosuch", /nosuch/],
  ["trace nosuch 10.0.0.1", /nosuch/],
  ["capture nosuch", /nosuch/],
];

/** Wrong as command lines, whatever the daemon says; exit code 2. */
const USAGE: readonly (readonly [string, RegExp])[] = [
  ["nosuch", /nosuch/],
  ["network nosuch", /nosuch/],
  ["network create", /NAME|name|argument/i],
  ["network create --nosuch x", /--nosuch/],
  ["network create x y", /argument/i],
  ["network create --label x=1 --subnet", /--subnet/],
  ["sandbox rm", /argument|SANDBOX/i],
  ["sandbox create --network taken,colour=red x", /colour/],
  ["peer add --port 70000 10.82.0.3", /70000/],
  ["status --wait soon", /soon/],
];

describe("refused by the daemon", () => {
  test.each(REFUSED)("weft %s", async (command, reason) => {
    const outcome = await daemon.cli(command.split(" "));
    expect(outcome.stderr).toMatch(reason);
    expect(outcome.stderr).not.toMatch(/^\s+at /m); // a reason, not a stack
    expect(outcome.code).toBe(1);
    expect(await everything()).toBe(state);
  });
});

describe("wrong usage", () => {
  test.each(USAGE)("weft %s", async (command, reason) => {
    const outcome = await daemon.cli(command.split(" "));
    expect(outcome.stderr).toMatch(reason);
    expect(outcome.code).toBe(2);
    expect(await everything()).toBe(state);
  });
});

describe("a daemon that can't start says why", () => {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a daemon with its own state; it is expected to end by itself. */
  async function start(args: readonly string[], wrapper: readonly string[] = [], prepare?: (folder: string) => void): Promise<Outcome> {
    const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-bad-`));
    folders.push(folder);
    prepare?.(folder);
    const weft = daemon.argv()[0]!;
    const outcome = await host.execute([...wrapper, weft, "daemon", "--state-dir", folder, "--socket", join(folder, "s"), ...args]);
    expect(outcome.stderr).not.toMatch(/^\s+at /m);
    expect(readdirSync(folder)).not.toContain("s");
    return outcome;
  }

  const OTHER_PORT = ["--vxlan-port", "4799"];
  const STARTS: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ["underlay address of nobody here", ["--underlay-address", "10.82.0.77", ...OTHER_PORT], 1, /10\.82\.0\.77/],
    ["underlay address that is none", ["--underlay-address", "nonsense"], 2, /nonsense/],
    ["VXLAN port in use", ["--underlay-address", "10.82.0.1"], 1, /4789/],
    ["VXLAN port out of range", ["--vxlan-port", "70000"], 2, /70000/],
    ["unknown option", ["--nosuch"], 2, /--nosuch/],
    ["configuration that is not there", ["--config", "/nonexistent.json"], 1, /\/nonexistent\.json/],
  ];
  test.each(STARTS)("%s", async (_, args, code, reason) => {
    const outcome = await start(args);
    expect(outcome.stderr).toMatch(reason);
    expect(outcome.code).toBe(code);
  });

  test("socket in use", async () => {
    const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-bad-`));
    folders.push(folder);
    const argv = [daemon.argv()[0]!, "daemon", "--state-dir", folder, "--socket", daemon.socket, ...OTHER_PORT];
    const outcome = await host.execute(argv);
    expect(outcome.stderr).toContain(daemon.socket);
    expect(outcome.code).toBe(1);
    expect(await everything()).toBe(state); // still the first one that answers
  });

  test("state directory that is a file", async () => {
    const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-bad-`));
    folders.push(folder);
    writeFileSync(join(folder, "file"), "");
    const outcome = await host.execute([daemon.argv()[0]!, "daemon", "--state-dir", join(folder, "file"), "--socket", join(folder, "s")]);
    expect(outcome.stderr).toContain(join(folder, "file"));
    expect(outcome.code).toBe(1);
  });

  test("no /dev/net/tun", async () => {
    const hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"];
    const outcome = await start(OTHER_PORT, hidden);
    expect(outcome.stderr).toMatch(/\/dev\/net\/tun/);
    expect(outcome.stderr).toMatch(/modprobe tun|mknod/);
    expect(outcome.code).toBe(1);
  });

  test("not root", async () => {
    // Some other user; the one privilege left lets it read the checkout, wherever that is.
    const nobody = [
      "setpriv",
      "--reuid",
      "65534",
      "--regid",
      "65534",
      "--clear-groups",
      "--inh-caps=+dac_read_search,+dac_override",
      "--ambient-caps=+dac_read_search,+dac_override",
    ];
    const outcome = await start(OTHER_PORT, nobody);
    expect(outcome.stderr).toMatch(/root/);
    expect(outcome.code).toBe(1);
  });

  test("root without privileges, as in a container", async () => {
    const outcome = await start(OTHER_PORT, ["setpriv", "--bounding-set", "-all", "--inh-caps=-all"]);
    expect(outcome.stderr).toMatch(/CAP_NET_ADMIN|root/);
    expect(outcome.code).toBe(1);
  });

  test("no daemon at all", async () => {
    const outcome = await daemon.cli(["--socket", "/nonexistent/weft.sock", "network", "ls"]);
    expect(outcome.stderr).toMatch(/\/nonexistent\/weft\.sock/);
    expect(outcome.code).toBe(1);
  });
});

test("a corrupt store is named and left as it is", async () => {
  const other = await lab.host("c");
  const victim = await Daemon.start(lab, other);
  await victim.must("network", "create", "--subnet", "10.93.0.0/24", "kept");
  expect(await victim.sigterm()).toBe(0);
  const whole = await victim.corruptStore();
  const { code, stderr } = await other.execute(victim.argv());
  expect(stderr).toMatch(/corrupt|damaged|not a store/i);
  expect(stderr).toContain(victim.stateDir);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
  await whole(); // put back what it was: nothing else was touched
  await victim.start();
  expect(await victim.must("network", "ls")).toContain("kept");
});

test("after all this the daemon's networks work", async () => {
  const box = await daemon.enter("box");
  expect(await box.ping("10.90.0.1")).toBe(3);
  await daemon.law();
});
