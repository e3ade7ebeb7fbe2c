// What is set of a sandbox's stack beside its networks, as programs in it see it; services by name; and names where the kernel
// takes no packet filter rules.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { EmbeddedDns } from "../../src/dns/dns.ts";
import { native } from "../../src/ports/native.ts";
import { Daemon } from "../support/daemon.ts";
import { endpoint, membersOf, network, sandbox } from "../support/dns-world.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host);
  await daemon.must("network", "create", "--subnet", "10.88.0.0/24", "--ipv6", "--subnet", "fd88::/64", "web");
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

const exec = (name: string, ...argv: readonly string[]): Promise<string> => daemon.must("sandbox", "exec", name, "--", ...argv);

test("lines of /etc/hosts in Docker's order, a domain name, a MAC address, and sysctls that a namespace made anew has too", async () => {
  const hosts = ["--add-host", "db:192.0.2.7", "--add-host", "six=[2001:db8::7]", "--add-host", "outside:host-gateway"];
  const names = ["--hostname", "app", "--domainname", "example.org"];
  const option = 'web,"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.arp_notify=1"';
  const sysctls = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=512", "--sysctl", "net.ipv4.conf.eth0.log_martians=1"];
  await daemon.must(
    ...["sandbox", "create", ...hosts, ...names, ...sysctls, "--mac-address", "02:42:0a:58:00:63"],
    ...["--network", option, "--ip", "10.88.0.9", "--ip6", "fd88::9", "a"],
  );
  const [{ IPAM }] = await daemon.json("network", "inspect", "bridge");
  const hostGateway = IPAM.Config[0].Gateway;
  expect((await exec("a", "cat", "/etc/hosts")).split("\n").slice(6)).toEqual([
    "192.0.2.7\tdb",
    "2001:db8::7\tsix",
    `${hostGateway}\toutside`,
    "10.88.0.9\tapp.example.org app",
    "fd88::9\tapp.example.org app",
  ]);
  // It is the host, reached from a network of another kind too.
  await exec("a", "ping", "-c1", "-W2", hostGateway);
  expect(await exec("a", "cat", "/proc/sys/kernel/domainname")).toBe("example.org");
  const eth0 = "/proc/sys/net/ipv4/conf/eth0";
  const read = () => exec("a", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", `${eth0}/log_martians`, `${eth0}/arp_notify`);
  expect(await read()).toBe("512\n1\n1");
  expect(await exec("a", "cat", "/sys/class/net/eth0/address")).not.toBe("");
  expect(await exec("a", "ip", "-o", "link", "show", "eth0")).toContain("02:42:0a:58:00:63");
  // No address is tentative: it can be used at once.
  expect(await exec("a", "ip", "-6", "-o", "address", "show", "dev", "eth0")).not.toContain("tentative");
  const { namespacePath } = await daemon.sandbox("a");
  await daemon.kill9();
  await lab.umount(namespacePath);
  await daemon.start();
  expect(await read()).toBe("512\n1\n1");
  const [shown] = await daemon.json("sandbox", "inspect", "a");
  expect(shown).toMatchObject({ Domainname: "example.org", ExtraHosts: ["db:192.0.2.7", "six:2001:db8::7", "outside:host-gateway"] });
  await daemon.must("sandbox", "rm", "a");
});

test("on the host's stack: files of a sandbox's own where options change them, and the host's as they were", async () => {
  const files = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"];
  const hosts = files.map((file) => readFileSync(file, "utf8"));
  const seen = async (name: string) =>
    (await exec(name, "sh", "-c", 'for file; do cat "$file"; echo @@; done', "sh", ...files)).split(/@@\n?/);
  const tables = await host.must(["nft", "list", "tables"]);
  const create = (...flags: string[]) => daemon.must("sandbox", "create", "--network", ...flags);
  const gate = ["--add-host", "gate:host-gateway"];
  await create("host", "--add-host", "db:192.0.2.7", ...gate, "--hostname", "box", "--domainname", "example.org", "adds");
  await create("host", "--dns", "192.0.2.53", "--dns-search", "a.example", "--dns-opt", "rotate", "asks");
  await create("sandbox:adds", "beside");
  const [{ IPAM }] = await daemon.json("network", "inspect", "bridge");
  const check = async (): Promise<void> => {
    const [resolvConf, lines, name] = await seen("beside");
    expect([resolvConf, name]).toEqual([hosts[0], "box\n"]);
    expect(lines!.split("\n")[0]).toBe("127.0.0.1\tlocalhost");
    expect(lines!.split("\n").slice(6)).toEqual(["192.0.2.7\tdb", `${IPAM.Config[0].Gateway}\tgate`, ""]);
    expect((await seen("asks")).slice(0, 3)).toEqual([
      "nameserver 192.0.2.53\nsearch a.example\noptions rotate\n",
      hosts[1],
      `${hostname()}\n`,
    ]);
  };
  await check();
  expect(await exec("adds", "cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname")).toBe("box\nexample.org");
  const folder = join(daemon.stateDir, "sandboxes", (await daemon.sandbox("adds")).id);
  await daemon.kill9();
  rmSync(folder, { recursive: true });
  await daemon.start();
  await check();
  await exec("beside", "sh", "-c", "echo 192.0.2.8 mine >> /etc/hosts");
  expect(await exec("adds", "getent", "hosts", "mine", "db")).toBe("192.0.2.8       mine\n192.0.2.7       db");
  expect(files.map((file) => readFileSync(file, "utf8"))).toEqual(hosts);
  await daemon.must("sandbox", "rm", "beside", "adds", "asks");
  expect(existsSync(folder)).toBe(false);
  expect(await host.must(["nft", "list", "tables"])).toBe(tables);
});

test.each([
  [["--sysctl", "kernel.msgmax=1"], 1, "sysctl 'kernel.msgmax=1' is not allowed"],
  [["--sysctl", "net.ipv4.ip_forward"], 2, "sysctl 'net.ipv4.ip_forward' is not allowed"],
  [["--sysctl", "net.no.such=1"], 1, "has no such setting, `sysctl -a` in a sandbox lists those that it has"],
  [["--sysctl", "net.ipv4.ip_forward=abc"], 1, "the kernel does not take this value"],
  [["--sysctl", "net.core.somaxconn=1", "--network", "host"], 1, "sysctl 'net.core.somaxconn' not allowed in host network namespace"],
  [["--add-host", "db"], 2, 'bad format for add-host: "db": write NAME:ADDRESS'],
  [["--add-host", "db:192.0.2"], 1, 'invalid IP address in add-host: "192.0.2": give an IPv4 or IPv6 address, or host-gateway'],
  [["--hostname", `${"a".repeat(40)}.${"b".repeat(40)}`], 1, "81 characters, the kernel takes at most 64"],
  [["--domainname", "a b"], 1, 'invalid domainname "a b"'],
  [["--network", "sandbox:"], 2, "name a sandbox behind the colon"],
  [["--ip", "10.88.0.9", "--network", "web,ip=10.88.0.9"], 2, "conflicting options: cannot specify both --ip and per-network IPv4 address"],
  [["--ip6", "fd88::9", "--network", "web,ip6=fd88::9"], 2, "conflicting options: cannot specify both --ip6 and per-network IPv6 address"],
  [["--ip", "10.88.0.9"], 1, "user specified IP address is supported on user defined networks only"],
  [["--mac-address", "02:00:00:00:00:01", "--network", "web,mac=02:00:00:00:00:02"], 2, "conflicting options: cannot specify both"],
])("refused: %j", async (flags, code, says) => {
  const outcome = await daemon.cli(["sandbox", "create", ...flags, "refused"]);
  expect([outcome.code, outcome.stderr]).toEqual([code, expect.stringContaining(says)]);
  expect(await daemon.must("sandbox", "ls", "-q")).toBe("");
});

test("low ports and pings are a sandbox's own, whoever its programs run as", async () => {
  await daemon.must("sandbox", "create", "plain");
  const read = exec("plain", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ping_group_range");
  expect(await read).toBe("0\n0\t2147483647");
  await daemon.must("sandbox", "rm", "plain");
});

test("services by name: of those who publish or expose their port", async () => {
  await daemon.must("sandbox", "create", "--network", "web,ip=10.88.0.11,alias=pool", "--expose", "80", "s1");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.88.0.12,alias=pool", "--expose", "80/udp", "s2");
  const s1 = await daemon.enter("s1");
  const srv = async (name: string): Promise<string> => (await s1.must(["dig", "@127.0.0.11", "+short", "+tries=1", name, "SRV"])).trim();
  expect(await srv("_http._tcp.pool")).toBe("0 0 80 s1.web.");
  expect(await srv("_http._tcp.s2")).toBe("");
  expect(await srv("_https._tcp.s1")).toBe("");
  expect((await srv("_8080._tcp.pool")).split("\n").sort()).toEqual(["0 0 8080 s1.web.", "0 0 8080 s2.web."]);
  const script = `require("dns").promises.resolveSrv("_http._tcp.s1").then((all) => console.log(JSON.stringify(all)))`;
  const resolver = `require("dns").setServers(["127.0.0.11"]);`;
  expect(JSON.parse(await s1.must([process.execPath, "-e", resolver + script]))).toEqual([
    { name: "s1.web", port: 80, priority: 0, weight: 0 },
  ]);
  await daemon.must("sandbox", "rm", "s1", "s2");
});

test("without nf_tables names are answered at the port itself; where that is taken a warning says that they are not", async () => {
  const stateDir = mkdtempSync(join(tmpdir(), `${lab.prefix}-rules-`));
  lab.defer(() => rmSync(stateDir, { recursive: true }));
  const resolvConfPath = join(stateDir, "resolv.conf");
  writeFileSync(resolvConfPath, "nameserver 192.0.2.53\n");
  const place = await lab.host("rules");
  const on = network("web");
  const of = sandbox("one", { namespacePath: place.path });
  const world = { networks: [on], sandboxes: [of], endpoints: [{ ...endpoint(on, of, { ipv4: "10.9.0.2/24" }), links: [] }] };
  const warnings: string[] = [];
  const dns = new EmbeddedDns({
    native: {
      ...native(),
      openLoopbackService: (options) =>
        options.direct
          ? native().openLoopbackService(options)
          : Promise.reject(new Error("socket NETLINK_NETFILTER: EPROTONOSUPPORT (Protocol not supported)")),
    },
    stateDir,
    resolvConfPath,
    clock: { monotonicMs: () => 0 },
    warn: (message) => warnings.push(message),
  });
  dns.follow({
    generation: 1,
    sandbox: () => of,
    attachments: () => [{ endpoint: world.endpoints[0]!, network: on, named: true }],
    members: () => membersOf(world, on),
    links: () => [],
  } as never);
  await dns.open(of);
  expect((await place.must(["dig", "@127.0.0.11", "+short", "one"])).trim()).toBe("10.9.0.2");
  expect((await place.must(["dig", "@127.0.0.11", "+tcp", "+short", "one"])).trim()).toBe("10.9.0.2");
  expect(dns.warning(of.id)).toContain("no program in the sandbox can bind port 53 of all addresses");
  await dns.open(of);
  expect((await place.must(["dig", "@127.0.0.11", "+tcp", "+short", "one"])).trim()).toBe("10.9.0.2");
  expect(warnings).toHaveLength(1);
  dns.stop();
  const taker = lab.background(place, [
    ...["python3", "-uc", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53)); print('up'); s.recv(1)"],
  ]);
  await taker.until(/up/);
  await dns.open(of);
  expect(dns.warning(of.id)).toContain("names are not answered here");
  await place.must(["grep", "-q", "nameserver 192.0.2.53", join(stateDir, "sandboxes", of.id, "resolv.conf")]);
  await taker.end("SIGKILL");
  dns.stop();
});
