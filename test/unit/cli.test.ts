// The command line against a served API over in-memory twins: what arrives, what is printed, what it exits with.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { forbidden } from "../../src/errors.ts";
import { type ServedApi, serveApi } from "../support/api.ts";
import { type CliSetting, cli } from "../support/cli.ts";

let api: ServedApi;
const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));

beforeEach(async () => {
  api = await serveApi();
});
afterEach(() => api.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const weft = (argv: readonly string[], setting: CliSetting = {}) => cli(argv, { socketPath: api.socketPath, ...setting });

/** Runs commands that have to succeed. */
async function given(...lines: string[]): Promise<void> {
  for (const line of lines) expect(await weft(line.split(" "))).toMatchObject({ code: 0, stderr: "" });
}

describe("network create", () => {
  const CASES: { what: string; argv: string[]; request: object }[] = [
    { what: "nothing but a name", argv: ["n"], request: { name: "n", internal: false, options: {}, labels: {} } },
    { what: "a driver, short", argv: ["-d", "overlay", "n"], request: { driver: "overlay" } },
    { what: "options behind the name", argv: ["n", "--driver=overlay", "--attachable"], request: { driver: "overlay", attachable: true } },
    {
      what: "one subnet with all that belongs to it",
      argv: ["--subnet", "10.1.0.0/24", "--ip-range", "10.1.0.128/25", "--gateway", "10.1.0.9", "--aux-address", "a=10.1.0.5", "n"],
      request: { ipam: [{ subnet: "10.1.0.0/24", ipRange: "10.1.0.128/25", gateway: "10.1.0.9", auxAddresses: { a: "10.1.0.5" } }] },
    },
    {
      what: "each gateway with its subnet, whatever the order",
      argv: ["--subnet", "10.1.0.0/24", "--subnet", "fd00:1::/64", "--gateway", "fd00:1::9", "--gateway", "10.1.0.9", "--ipv6", "n"],
      request: {
        ipam: [
          { subnet: "10.1.0.0/24", gateway: "10.1.0.9" },
          { subnet: "fd00:1::/64", gateway: "fd00:1::9" },
        ],
        enableIpv6: true,
      },
    },
    {
      what: "a range with host bits, for the daemon to refuse",
      argv: ["--subnet", "10.1.0.0/24", "--ip-range", "10.1.0.77/26", "n"],
      request: { ipam: [{ subnet: "10.1.0.0/24", ipRange: "10.1.0.77/26" }] },
    },
    {
      what: "driver options and labels, with and without values",
      argv: ["-o", "com.docker.network.driver.mtu=1400", "--opt", "encrypted", "--label", "team=a=b", "--label", "x", "n"],
      request: { options: { "com.docker.network.driver.mtu": "1400", encrypted: "" }, labels: { team: "a=b", x: "" } },
    },
    { what: "families", argv: ["--ipv4=false", "--ipv6", "n"], request: { enableIpv4: false, enableIpv6: true } },
    { what: "families, long", argv: ["--ipv4=true", "--ipv6=false", "n"], request: { enableIpv4: true, enableIpv6: false } },
    {
      what: "switches with values, as Go reads them",
      argv: ["--internal=1", "--attachable=F", "--ingress=false", "--ipv6=T", "n"],
      request: { internal: true, attachable: false, ingress: false, enableIpv6: true },
    },
    {
      what: "IPAM and scope",
      argv: ["--ipam-driver", "default", "--ipam-opt", "serial=true", "--scope", "global", "--internal", "n"],
      request: { ipamDriver: "default", ipamOptions: { serial: "true" }, scope: "global", internal: true },
    },
  ];

  it.each(CASES)("passes $what on", async ({ argv, request }) => {
    const result = await weft(["network", "create", ...argv]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(api.controller.requests).toMatchObject([request]);
  });

  it("takes no option's value for a switch", async () => {
    const argv = ["network", "create", "--label", "--internal=true", "--label=a=--internal=1", "n"];
    expect(await weft(argv)).toMatchObject({ code: 0, stderr: "" });
    expect(api.controller.requests).toMatchObject([{ labels: { "--internal": "true", a: "--internal=1" }, internal: false }]);
  });

  it.each(["--ipv6=maybe", "--internal=", "--config-only=2"])("refuses %s, which is no truth", async (word) => {
    const [flag, value] = word.split("=");
    const stderr = `weft: invalid argument "${value}" for "${flag}": give true or false\n`;
    expect(await weft(["network", "create", word, "n"])).toMatchObject({ code: 2, stderr });
  });

  it("leaves families open that were not asked for", async () => {
    await given("network create n");
    expect(api.controller.requests[0]).not.toHaveProperty("enableIpv4");
    expect(api.controller.requests[0]).not.toHaveProperty("enableIpv6");
    expect(api.controller.requests[0]).not.toHaveProperty("ipam");
  });

  it.each([
    {
      argv: ["--gateway", "10.1.0.1", "n"],
      code: 1,
      message: "every ip-range or gateway must have a corresponding subnet: give --subnet for 10.1.0.1",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "--gateway", "10.3.0.1", "n"],
      code: 1,
      message: "no matching subnet for gateway 10.3.0.1",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--gateway", "10.1.0.1", "--gateway", "10.1.0.2", "n"],
      code: 1,
      message: "every ip-range or gateway must have a corresponding subnet: give --subnet for 10.1.0.2",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "--gateway", "10.1.0.1", "--gateway", "10.1.0.2", "n"],
      code: 1,
      message: "cannot configure multiple gateways (10.1.0.2, 10.1.0.1) for the same subnet (10.1.0.0/24)",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--gateway", "foo", "n"],
      code: 1,
      message: "no matching subnet for gateway foo: that is no address, give one",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--ip-range", "foo", "n"],
      code: 1,
      message: "invalid CIDR address: foo: give an address and a length",
    },
    { argv: ["--subnet", "10.1.0.0/24", "--ip-range", "10.2.0.0/25", "n"], code: 1, message: "no matching subnet for range 10.2.0.0/25" },
    { argv: ["--aux-address", "a=10.1.0.5", "n"], code: 1, message: "no matching subnet for aux-address 10.1.0.5" },
    {
      argv: ["--subnet", "10.1.0.0/24", "--subnet", "10.1.0.128/25", "n"],
      code: 1,
      message: "multiple overlapping subnet configuration is not supported: 10.1.0.128/25 and 10.1.0.0/24",
    },
    {
      argv: ["--subnet", "10.1.0.0/24", "--aux-address", "10.1.0.1", "n"],
      code: 2,
      message: 'invalid --aux-address "10.1.0.1": write name=value',
    },
    { argv: [], code: 2, message: "missing required argument 'name'" },
    { argv: ["--colour", "n"], code: 2, message: "unknown option '--colour'" },
    { argv: ["a", "b"], code: 2, message: "too many arguments" },
  ])("$argv ends with $code", async ({ argv, code, message }) => {
    const result = await weft(["network", "create", ...argv]);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toContain(`weft: ${message}`);
    expect(api.controller.requests).toEqual([]);
  });
});

describe("sandbox create", () => {
  it.each([
    { flag: "web", attachment: { network: "web" } },
    { flag: "web,ip=10.1.0.9", attachment: { network: "web", ipv4: "10.1.0.9" } },
    {
      flag: "web,ip6=fd00::9,mac=02:00:00:00:00:01,alias=a,alias=b",
      attachment: { network: "web", ipv6: "fd00::9", mac: "02:00:00:00:00:01", aliases: ["a", "b"] },
    },
    {
      flag: "ip=10.1.0.9,name=web,mac-address=02:00:00:00:00:01",
      attachment: { network: "web", ipv4: "10.1.0.9", mac: "02:00:00:00:00:01" },
    },
  ])("reads --network $flag", async ({ flag, attachment }) => {
    await given("network create web");
    expect(await weft(["sandbox", "create", "--network", flag, "s"])).toMatchObject({ code: 0 });
    expect(api.controller.requests.at(-1)).toEqual({ name: "s", networks: [attachment], labels: {}, removeOnExit: false });
  });

  it.each([
    { flag: "web,colour=red", message: 'unknown key "colour"' },
    { flag: "web,constructor=red", message: 'unknown key "constructor"' },
    { flag: "web,ip=", message: "ip needs a value" },
    { flag: "web,ip=1.2.3.4,ip=1.2.3.5", message: "ip is given twice" },
    { flag: "web,10.1.0.9", message: 'unknown key "10.1.0.9"' },
    { flag: ",ip=1.2.3.4", message: "name a network" },
    { flag: "ip=1.2.3.4", message: "name a network" },
  ])("refuses --network $flag", async ({ flag, message }) => {
    const result = await weft(["sandbox", "create", "--network", flag, "s"]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`weft: invalid --network "${flag}": `);
    expect(result.stderr).toContain(message);
  });

  it("reads what a resolver is told, and aliases of the first network", async () => {
    await given("network create web", "network create back");
    const flags = "--dns 10.0.0.53 --dns fd00::53 --dns-search a.example --dns-opt ndots:2 --network-alias db --network-alias cache";
    await given(`sandbox create --network web --network back ${flags} s`);
    expect(api.controller.requests.at(-1)).toEqual({
      name: "s",
      networks: [{ network: "web", aliases: ["db", "cache"] }, { network: "back" }],
      labels: {},
      removeOnExit: false,
      dns: { servers: ["10.0.0.53", "fd00::53"], search: ["a.example"], options: ["ndots:2"] },
    });
    const [sandbox] = JSON.parse((await weft(["sandbox", "inspect", "s"])).stdout);
    expect(sandbox).toMatchObject({ Dns: ["10.0.0.53", "fd00::53"], DnsSearch: ["a.example"], DnsOptions: ["ndots:2"] });
    expect(sandbox.HostsPath).toMatch(new RegExp(`/sandboxes/${sandbox.Id}/hosts$`));
  });

  it.each([
    { flags: ["--network-alias", "db"], message: "--network-alias is a name on a network: name one by --network" },
    {
      flags: ["--network", "web,alias=a", "--network-alias", "db"],
      message: "conflicting options: cannot specify both --network-alias and per-network alias",
    },
  ])("refuses $flags", async ({ flags, message }) => {
    await given("network create web");
    const result = await weft(["sandbox", "create", ...flags, "s"]);
    expect(result).toMatchObject({ code: 2 });
    expect(result.stderr).toContain(message);
  });

  it("update publishes more and less", async () => {
    await given("network create web", "sandbox create --network web -p 8080:80 s");
    expect(await weft(["sandbox", "update", "--publish-rm", "80", "--publish-add", "9000-9001:90-91/udp", "s"])).toMatchObject({
      code: 0,
      stdout: "s\n",
    });
    expect((await weft(["port", "s"])).stdout).toBe(
      "90/udp -> 0.0.0.0:9000\n90/udp -> [::]:9000\n91/udp -> 0.0.0.0:9001\n91/udp -> [::]:9001\n",
    );
    expect(await weft(["sandbox", "update", "--publish-add", "x", "s"])).toMatchObject({ code: 2 });
  });

  it("publishes ports and shows them", async () => {
    await given("network create web", "sandbox create --network web -p 127.0.0.1:8080:80 -p 9000-9001:90-91/udp --expose 70 -P s");
    const range = (first: number, last = first) => ({ first, last });
    expect(api.controller.requests.at(-1)).toMatchObject({
      publish: [
        { protocol: "tcp", hostAddress: "127.0.0.1", hostPorts: range(8080), ports: range(80) },
        { protocol: "udp", hostAddress: null, hostPorts: range(9000, 9001), ports: range(90, 91) },
      ],
      expose: [{ protocol: "tcp", ports: range(70) }],
      publishAll: true,
    });
    expect((await weft(["port", "s"])).stdout).toBe(
      "80/tcp -> 127.0.0.1:8080\n90/udp -> 0.0.0.0:9000\n90/udp -> [::]:9000\n91/udp -> 0.0.0.0:9001\n91/udp -> [::]:9001\n",
    );
    expect((await weft(["port", "s", "91/udp"])).stdout).toBe("0.0.0.0:9001\n[::]:9001\n");
    const rows = [
      { Port: "91/udp", HostIp: "0.0.0.0", HostPort: "9001" },
      { Port: "91/udp", HostIp: "::", HostPort: "9001" },
    ];
    expect(JSON.parse((await weft(["port", "--format", "json", "s", "91/udp"])).stdout)).toEqual(rows);
    expect((await weft(["port", "--format", "{{.HostPort}}", "s"])).stdout).toBe("8080\n9000\n9000\n9001\n9001\n");
    expect(await weft(["port", "s", "web"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("invalid port (web): give a number"),
    });
    expect(await weft(["port", "s", "91"])).toMatchObject({ code: 1, stderr: "weft: No public port '91' published for s\n" });
    expect((await weft(["sandbox", "ls", "--format", "{{.Ports}}"])).stdout).toBe(
      "127.0.0.1:8080->80/tcp, 0.0.0.0:9000-9001->90-91/udp, [::]:9000-9001->90-91/udp\n",
    );
    const [sandbox] = JSON.parse((await weft(["sandbox", "inspect", "s"])).stdout);
    expect(sandbox.NetworkSettings.Ports).toMatchObject({ "70/tcp": null, "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }] });
    expect(await weft(["sandbox", "create", "-p", "1-2:3-5", "t"])).toMatchObject({ code: 2 });
  });

  it("passes all else on; without a name the daemon makes one up", async () => {
    await given("sandbox create --netns /run/netns/x --hostname h --label a=b");
    expect(api.controller.requests).toEqual([{ namespacePath: "/run/netns/x", hostname: "h", labels: { a: "b" }, removeOnExit: false }]);
  });

  it.each([
    ["max-size=1k", 'invalid max-size "1k": at least 4k'],
    ["max-size=3g", 'invalid max-size "3g": at most 2g'],
    ["max-file=2", "unknown log opt 'max-file': there is max-size"],
  ])("has no log of %s", async (option, message) => {
    expect(await weft(["run", "-d", "--log-opt", option, "--", "true"])).toMatchObject({ code: 125, stderr: `weft: ${message}\n` });
    expect(api.controller.requests).toEqual([]);
  });

  it("has Docker's short and other forms; help is --help", async () => {
    await given("sandbox create -h h -l a=b -l=c=d -e=X=1 --dns-opt ndots:1 --dns-option rotate s");
    expect(api.controller.requests).toMatchObject([
      { hostname: "h", labels: { a: "b", c: "d" }, environment: ["X=1"], dns: { options: ["ndots:1", "rotate"] } },
    ]);
    for (const argv of [
      ["run", "--help"],
      ["sandbox", "create", "--help"],
    ]) {
      expect(await weft(argv)).toMatchObject({ code: 0, stdout: expect.stringContaining("-h, --hostname <name>") });
    }
  });
});

describe("inspect", () => {
  beforeEach(() =>
    given(
      "network create -d overlay --subnet 10.1.0.0/24 --aux-address r=10.1.0.5 -o k=v --label team=a prod",
      "peer add 192.0.2.2",
      "sandbox create --network prod,ip=10.1.0.7,alias=db s",
    ),
  );

  it("prints Docker's fields of a network", async () => {
    const { stdout } = await weft(["network", "inspect", "prod"]);
    const [network] = JSON.parse(stdout);
    const sandboxId = api.controller.listSandboxes()[0]!.sandbox.id;
    expect(stdout).toMatch(/^\[\n {4}\{\n {8}"Name": "prod",\n/);
    expect(network).toEqual({
      Name: "prod",
      Id: expect.stringMatching(/^[0-9a-f]{64}$/),
      Created: "2026-01-02T03:04:05.000Z",
      Scope: "local",
      Driver: "overlay",
      EnableIPv4: true,
      EnableIPv6: false,
      IPAM: {
        Driver: "default",
        Options: {},
        Config: [{ Subnet: "10.1.0.0/24", Gateway: "10.1.0.1", AuxiliaryAddresses: { r: "10.1.0.5" } }],
      },
      Internal: false,
      Attachable: false,
      Ingress: false,
      ConfigFrom: { Network: "" },
      ConfigOnly: false,
      Containers: {
        [sandboxId]: {
          Name: "s",
          EndpointID: expect.stringMatching(/^[0-9a-f]{64}$/),
          MacAddress: "02:42:0a:00:00:02",
          IPv4Address: "10.1.0.7/24",
          IPv6Address: "",
        },
      },
      Options: { k: "v" },
      Labels: { team: "a" },
      Peers: [{ Name: "192.0.2.2", IP: "192.0.2.2", Port: 4789 }],
      Status: { IPAM: { Subnets: { "10.1.0.0/24": { IPsInUse: 4, DynamicIPsAvailable: 250 } } } },
    });
  });

  it("leaves out of JSON what Docker leaves out, and has it for templates", async () => {
    const { stdout } = await weft(["network", "inspect", "-f", "{{range .IPAM.Config}}[{{.IPRange}}]{{end}}", "prod"]);
    expect(stdout).toBe("[]\n");
    await weft(["network", "create", "lone"]);
    const [lone] = JSON.parse((await weft(["network", "inspect", "lone"])).stdout);
    expect(Object.keys(lone)).not.toContain("Peers");
    expect((await weft(["network", "inspect", "-f", "{{len .Peers}}", "lone"])).stdout).toBe("0\n");
  });

  it("prints Docker's EndpointSettings of a sandbox", async () => {
    const [sandbox] = JSON.parse((await weft(["sandbox", "inspect", "s"])).stdout);
    expect(sandbox).toMatchObject({ Name: "s", AutoRemove: false, NetworkSettings: { SandboxKey: "/run/netns/s" } });
    expect(sandbox.NetworkSettings.Networks.prod).toMatchObject({
      Aliases: ["db"],
      IPAddress: "10.1.0.7",
      IPPrefixLen: 24,
      Gateway: "10.1.0.1",
      MacAddress: "02:42:0a:00:00:02",
      GlobalIPv6Address: "",
      GlobalIPv6PrefixLen: 0,
      DNSNames: ["s", "db", sandbox.Id.slice(0, 12)],
      InterfaceName: "eth0",
    });
  });

  it.each([
    { format: "{{.Name}}", text: "prod\n" },
    { format: "{{range .IPAM.Config}}{{.Subnet}}{{end}}", text: "10.1.0.0/24\n" },
    { format: "{{json .Options}}", text: '{"k":"v"}\n' },
    { format: '{{index .Labels "team"}} {{.Labels.none}}', text: "a <no value>\n" },
  ])("renders $format, by --format and by -f", async ({ format, text }) => {
    expect((await weft(["network", "inspect", "--format", format, "prod"])).stdout).toBe(text);
    expect((await weft(["network", "inspect", "-f", format, "prod"])).stdout).toBe(text);
  });

  it("refuses a field that is not there", async () => {
    const result = await weft(["network", "inspect", "--format", "{{.Nmae}}", "prod"]);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("weft: template: can't evaluate field Nmae in object with fields Name, Id,");
  });

  it("prints what it found and says what it didn't", async () => {
    const result = await weft(["network", "inspect", "none", "prod", "--format", "{{.Name}}"]);
    expect(result).toEqual({ code: 1, stdout: "prod\n", stderr: "weft: network none not found\n", daemon: undefined });
  });
});

describe("ls", () => {
  beforeEach(() =>
    given(
      "network create -d overlay --subnet 10.1.0.0/24 --label team=a --label tier=web prod",
      "network create --label team=b back",
      "sandbox create --network prod s",
    ),
  );

  it("is a table, by name", async () => {
    const { stdout } = await weft(["network", "ls"]);
    expect(stdout.replace(/[0-9a-f]{12}/g, "ID..........")).toBe(
      [
        "NETWORK ID    NAME  DRIVER   SCOPE  SUBNETS",
        "ID..........  back  bridge   local  172.17.0.0/16",
        "ID..........  prod  overlay  local  10.1.0.0/24",
        "",
      ].join("\n"),
    );
  });

  it("is ids with -q, JSON with --format json, anything with a template", async () => {
    const ids = api.controller
      .listNetworks()
      .map(({ id }) => id.slice(0, 12))
      .reverse();
    expect((await weft(["network", "ls", "-q"])).stdout).toBe(`${ids.join("\n")}\n`);
    expect((await weft(["-q", "network", "ls"])).stdout).toBe(`${ids.join("\n")}\n`);
    expect(JSON.parse((await weft(["network", "ls", "--format", "json"])).stdout)).toMatchObject([{ Name: "back" }, { Name: "prod" }]);
    expect((await weft(["--format", "{{.Name}}={{.Driver}}", "network", "ls"])).stdout).toBe("back=bridge\nprod=overlay\n");
    expect((await weft(["network", "ls", "--format", "table {{.Name}}\\t{{.CreatedAt}}"])).stdout).toMatch(
      /^NAME {2}CREATED AT\nback {2}2026/,
    );
  });

  it.each([
    { filters: ["driver=overlay"], names: ["prod"] },
    { filters: ["label=constructor"], names: [] },
    { filters: ["driver=overlay", "driver=bridge"], names: ["back", "prod"] },
    { filters: ["name=ac"], names: ["back"] },
    { filters: ["label=team"], names: ["back", "prod"] },
    { filters: ["label=team=a"], names: ["prod"] },
    { filters: ["label=team=a", "label=tier=web"], names: ["prod"] },
    { filters: ["label=team=a", "label=tier=db"], names: [] },
    { filters: ["driver=bridge", "label=team=a"], names: [] },
    { filters: ["dangling=true"], names: ["back"] },
    { filters: ["dangling=false"], names: ["prod"] },
    { filters: ["type=builtin"], names: [] },
    { filters: ["scope=local"], names: ["back", "prod"] },
  ])("filters networks by $filters", async ({ filters, names }) => {
    const argv = filters.flatMap((filter) => ["--filter", filter]);
    const { stdout } = await weft(["network", "ls", ...argv, "--format", "{{.Name}}"]);
    expect(stdout.split("\n").slice(0, -1)).toEqual(names);
  });

  it.each([
    { filter: "colour=red", message: "invalid filter 'colour': the keys are name, id, driver" },
    { filter: "name", message: "bad format of filter (expected name=value): name" },
    { filter: "type=odd", message: "invalid value for filter 'type': must be 'builtin' or 'custom'" },
    { filter: "dangling=maybe", message: 'invalid value for filter \'dangling\': must be "true" (or "1"), or "false" (or "0")' },
  ])("refuses --filter $filter", async ({ filter, message }) => {
    const result = await weft(["network", "ls", "--filter", filter]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`weft: ${message}`);
  });

  it.each([
    { value: "^prod$", names: "prod" },
    { value: "^pro", names: "prod" },
    { value: "od$", names: "prod" },
    { value: "^rod", names: "" },
    { value: "a", names: "back" },
  ])("filters networks by name $value", async ({ value, names }) => {
    const { stdout } = await weft(["network", "ls", "--filter", `name=${value}`, "--format", "{{.Name}}"]);
    expect(stdout.trim()).toBe(names);
  });

  it("prints ids whole with --no-trunc", async () => {
    const { stdout } = await weft(["network", "ls", "--no-trunc", "--filter", "name=prod", "-q"]);
    expect(stdout).toMatch(/^[0-9a-f]{64}\n$/);
  });

  it("removes by force what isn't there", async () => {
    expect(await weft(["network", "rm", "-f", "nosuch"])).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(await weft(["network", "rm", "nosuch"])).toMatchObject({ code: 1 });
  });

  it("filters sandboxes by network", async () => {
    await given("sandbox create t");
    expect((await weft(["sandbox", "ls", "--filter", "network=prod", "--format", "{{.Name}} {{.Addresses}}"])).stdout).toBe("s 10.1.0.2\n");
  });

  it("fits the terminal", async () => {
    const { stdout } = await weft(["network", "ls"], { columns: 44, terminal: true });
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(44);
    expect(stdout).toContain("…");
  });
});

describe("rm", () => {
  it("goes on after a failure, prints what it removed and exits with 1", async () => {
    await given("network create a", "network create b", "network create c", "sandbox create --network b s");
    const endpoint = api.controller.inspectSandbox("s").endpoints[0]!.endpoint.id;
    expect(await weft(["network", "rm", "a", "b", "none", "c"])).toMatchObject({
      code: 1,
      stdout: "a\nc\n",
      stderr: `weft: network b has active endpoints (name:"s" id:"${endpoint}")\nweft: network none not found\n`,
    });
    expect(api.controller.listNetworks().map(({ name }) => name)).toEqual(["b"]);
  });

  it("passes force on for sandboxes", async () => {
    await given("sandbox create s", "sandbox rm -f s");
    expect(api.controller.requests.at(-1)).toEqual({ removeSandbox: "s", force: true });
  });
});

describe("other commands", () => {
  it("connect and disconnect", async () => {
    await given("network create web", "sandbox create s", "network connect --ip 172.17.0.9 --ip6 fd00::9 --alias db web s");
    expect(api.controller.requests.at(-1)).toEqual({ network: "web", ipv4: "172.17.0.9", ipv6: "fd00::9", aliases: ["db"] });
    await given("network disconnect -f web s");
    expect(api.controller.requests.at(-1)).toEqual({ disconnect: "web", force: true });
  });

  it("peer add, ls, rm", async () => {
    await given("network create -d overlay prod", "peer add --network prod --port 8472 192.0.2.3");
    expect((await weft(["peer", "ls"])).stdout).toMatch(
      /^ADDRESS {4}PORT {2}NETWORK {2}ENCRYPTION {2}CREATED\n192.0.2.3 {2}8472 {2}prod {5}none {8}2026/,
    );
    expect(await weft(["peer", "rm", "192.0.2.3"])).toMatchObject({ code: 1, stderr: "weft: no static peer 192.0.2.3\n" });
    expect(await weft(["peer", "rm", "--network", "prod", "192.0.2.3"])).toMatchObject({ code: 0, stdout: "192.0.2.3\n" });
    expect(await weft(["peer", "add", "--port", "0", "192.0.2.3"])).toMatchObject({ code: 2 });
  });

  it("status, version, info", async () => {
    expect((await weft(["status"])).stdout).toMatch(/^state {9}serving, process \d+, up /);
    expect((await weft(["status", "--format", "{{.State}} {{.NodeName}}"])).stdout).toBe("serving node-a\n");
    expect(JSON.parse((await weft(["version", "--format", "json"])).stdout)).toMatchObject({
      Daemon: { Version: "0.0.0-test", EngineAbi: 1 },
    });
    expect((await weft(["info"])).stdout).toContain("underlay      192.0.2.1 port 4789\n");
    expect(JSON.parse((await weft(["info", "--format", "json"])).stdout)).toMatchObject({ FdbSlots: 131072, EngineBytes: 100663296 });
  });

  it("drops: those that happened, or all", async () => {
    expect((await weft(["drops"])).stdout).toMatch(/^REASON {7}PACKETS {2}MEANING\nvni-unknown {8}5 {2}VXLAN for a VNI/);
    expect((await weft(["drops", "--all", "--format", "{{.Reason}}"])).stdout).toBe("runt\nvni-unknown\n");
  });

  it("stats: ports by name, figures exact", async () => {
    await given("network create web", "sandbox create --network web s");
    const endpoint = api.controller.inspectSandbox("s").endpoints[0]!;
    const figures = { rxPackets: 2n ** 60n, rxBytes: 2n, txPackets: 3n, txBytes: 4n, drops: 5n };
    const network = endpoint.network.id;
    api.datapath.figures = {
      ...api.datapath.figures,
      ports: [
        { port: endpoint.endpoint.id, kind: "tap", domain: network, interfaceName: "eth0", ...figures },
        { port: `${network}/gateway`, kind: "tap", domain: network, interfaceName: "br-web", ...figures },
        { port: "underlay/192.0.2.1", kind: "underlay", domain: "", interfaceName: "", ...figures },
      ],
    };
    const { stdout } = await weft(["stats"]);
    expect(stdout).toMatch(/\ns\/eth0 +web +1152921504606846976 +2 +3 +4 +5\n/);
    expect(stdout).toMatch(/\nweb gateway br-web +web +/);
    expect(stdout).toMatch(/\nunderlay 192.0.2.1 +1152921504606846976/);
    expect(stdout).toMatch(/\nrx +1152921504606846976\n/);
    const document = JSON.parse((await weft(["stats", "--format", "json"])).stdout);
    expect(document).toMatchObject({ LawDifference: 0, Ports: [{ Sandbox: "s", RxPackets: "1152921504606846976", TxBytes: 4 }, {}, {}] });
  });

  it("stats --watch goes on until it is interrupted", async () => {
    const interrupt = new AbortController();
    const running = weft(["stats", "--watch", "--format", "{{.At}}"], { interrupted: interrupt.signal });
    await new Promise((done) => setTimeout(done, 1200));
    interrupt.abort();
    const { code, stdout } = await running;
    expect(code).toBe(0);
    expect(stdout.split("\n").length).toBeGreaterThanOrEqual(3);
  });

  it("fdb, neigh, vtep, audit", async () => {
    await given("network create web", "network create other", "sandbox create --network web s");
    const { endpoint, network } = api.controller.inspectSandbox("s").endpoints[0]!;
    const other = api.controller.inspectNetwork("other").network.id;
    api.datapath.fdb = [
      { domain: network.id, mac: "02:00:00:00:00:02", to: { vtep: "192.0.2.2" }, static: false, ageS: 61.4 },
      { domain: network.id, mac: "02:00:00:00:00:01", to: { port: endpoint.id }, static: true, ageS: 0 },
      { domain: other, mac: "02:00:00:00:00:03", to: { vtep: "192.0.2.2" }, static: false, ageS: 1 },
    ];
    api.datapath.neighbors = [{ domain: `${network.id}/1`, address: "10.0.0.2", mac: "02:00:00:00:00:01" }];
    api.datapath.vteps = [{ domain: network.id, vni: 4096, address: "192.0.2.2", port: 4789 }];
    expect((await weft(["fdb", "web"])).stdout).toBe(
      [
        "MAC                TO              KIND     AGE",
        "02:00:00:00:00:01  s/eth0          static",
        "02:00:00:00:00:02  vtep 192.0.2.2  learned  1m 1s",
        "",
      ].join("\n"),
    );
    expect((await weft(["neigh", "web"])).stdout).toBe("ADDRESS   MAC\n10.0.0.2  02:00:00:00:00:01\n");
    expect((await weft(["vtep", "web"])).stdout).toBe("ADDRESS    PORT  VNI\n192.0.2.2  4789  4096\n");
    expect(await weft(["vtep", "none"])).toMatchObject({ code: 1, stderr: "weft: network none not found\n" });
    expect((await weft(["audit"])).stdout).toBe("42 entries checked, 1 mended\n");
  });

  it("fdb of a large table comes whole", async () => {
    await given("network create web");
    const domain = api.controller.inspectNetwork("web").network.id;
    api.datapath.fdb = Array.from({ length: 2500 }, (_, at) => {
      const tail = at.toString(16).padStart(4, "0");
      return { domain, mac: `02:00:00:00:${tail.slice(0, 2)}:${tail.slice(2)}`, to: { vtep: "192.0.2.2" }, static: false, ageS: 1 };
    });
    const lines = (await weft(["fdb", "web", "-q"])).stdout.split("\n");
    expect(lines).toHaveLength(2501);
    expect(new Set(lines).size).toBe(2501);
  });
});

describe("trace", () => {
  beforeEach(() =>
    given("network create -d overlay --subnet 10.1.0.0/24 prod", "sandbox create --network prod a", "sandbox create --network prod b"),
  );

  it.each([
    { what: "an address of a sandbox here", argv: ["10.1.0.3"], probe: { destination: "10.1.0.3", destinationMac: "02:42:0a:00:00:03" } },
    { what: "a sandbox by name", argv: ["b"], probe: { destination: "10.1.0.3", destinationMac: "02:42:0a:00:00:03" } },
    {
      what: "an address elsewhere in the overlay",
      argv: ["10.1.0.77"],
      probe: { destination: "10.1.0.77", destinationMac: "02:42:0a:01:00:4d" },
    },
    {
      what: "an address outside, by the gateway",
      argv: ["198.51.100.1"],
      probe: { destination: "198.51.100.1", destinationMac: "02:42:0a:01:00:01" },
    },
    {
      what: "a MAC that is given",
      argv: ["10.1.0.77", "--mac", "02-AA-00-00-00-01"],
      probe: { destination: "10.1.0.77", destinationMac: "02:aa:00:00:00:01" },
    },
  ])("composes an echo request to $what", async ({ argv, probe }) => {
    const result = await weft(["trace", "a", ...argv]);
    expect(result).toMatchObject({ code: 0, stdout: "  1  l2-forward        next        to port-output\n" });
    const port = api.controller.inspectSandbox("a").endpoints[0]!.endpoint.id;
    const source = { kind: "echo", sourceMac: "02:42:0a:00:00:02", source: "10.1.0.2" };
    expect(api.datapath.traced).toMatchObject([{ port, probe: { ...source, ...probe } }]);
  });

  it("takes the neighbour table's word on a bridge", async () => {
    await given("network create --subnet 10.2.0.0/24 web", "sandbox create --network web c");
    expect(await weft(["trace", "c", "10.2.0.9"])).toMatchObject({
      code: 1,
      stderr: "weft: the MAC of 10.2.0.9 on network web is not known here: give --mac\n",
    });
    const domain = api.controller.inspectNetwork("web").network.id;
    api.datapath.neighbors = [{ domain, address: "10.2.0.9", mac: "02:00:00:00:00:09" }];
    expect(await weft(["trace", "c", "10.2.0.9"])).toMatchObject({ code: 0 });
  });

  it("waits for real traffic without a destination", async () => {
    expect(await weft(["trace", "a", "--packets", "3", "--address", "10.1.0.3", "--timeout", "2s"])).toMatchObject({ code: 0 });
    const port = api.controller.inspectSandbox("a").endpoints[0]!.endpoint.id;
    expect(api.datapath.traced).toMatchObject([{ port, packets: 3, address: "10.1.0.3", timeoutMs: 2000 }]);
  });

  it.each([
    { argv: ["a", "nobody"], code: 1, message: "sandbox nobody not found" },
    { argv: ["a", "fd00::1"], code: 1, message: "sandbox a has no route to fd00::1" },
    { argv: ["nobody", "10.1.0.3"], code: 1, message: "sandbox nobody not found" },
    { argv: ["a", "--packets", "65"], code: 2, message: "--packets must be a whole number from 1 to 64" },
    {
      argv: ["a", "10.1.0.3", "--mac", "01:00:00:00:00:01"],
      code: 1,
      message: "invalid MAC address 01:00:00:00:00:01: it is a group address",
    },
  ])("refuses $argv", async ({ argv, code, message }) => {
    const result = await weft(["trace", ...argv]);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(`weft: ${message}`);
  });
});

describe("capture", () => {
  const BYTES = Buffer.from([10, 13, 13, 10, 1, 2, 3]);
  beforeEach(() => given("network create web", "sandbox create --network web s"));

  it("writes a file", async () => {
    const file = join(folder, "s.pcapng");
    expect(await weft(["capture", "-w", file, "s"], { terminal: true })).toMatchObject({ code: 0, stdout: "" });
    expect(readFileSync(file)).toEqual(BYTES);
    const port = api.controller.inspectSandbox("s").endpoints[0]!.endpoint.id;
    expect(api.datapath.captured).toMatchObject([{ ports: [port] }]);
  });

  it("writes into a pipe", async () => {
    const { code, stdout } = await weft(["capture", "underlay", "--snaplen", "96"]);
    expect({ code, bytes: Buffer.from(stdout) }).toEqual({ code: 0, bytes: BYTES });
    expect(api.datapath.captured).toMatchObject([{ underlay: true, snapLengthBytes: 96 }]);
  });

  it("captures a network by its domains", async () => {
    const { endpoint, network } = api.controller.inspectSandbox("s").endpoints[0]!;
    const figures = { rxPackets: 0n, rxBytes: 0n, txPackets: 0n, txBytes: 0n, drops: 0n };
    const port = { port: endpoint.id, kind: "tap" as const, interfaceName: "eth0", ...figures };
    api.datapath.figures = {
      ...api.datapath.figures,
      ports: [
        { ...port, domain: `${network.id}/1` },
        { ...port, domain: "else" },
      ],
    };
    expect(await weft(["capture", "web"])).toMatchObject({ code: 0 });
    expect(api.datapath.captured).toMatchObject([{ domains: [`${network.id}/1`] }]);
  });

  it("never writes onto a terminal", async () => {
    const result = await weft(["capture", "s"], { terminal: true });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain("weft: a capture is binary and stdout is a terminal: give -w FILE");
  });

  it("ends by an interrupt, with the file complete and the daemon's side ended", async () => {
    api.datapath.captureEndless = true;
    const interrupt = new AbortController();
    const file = join(folder, "endless.pcapng");
    const running = weft(["capture", "-w", file, "s"], { interrupted: interrupt.signal });
    await expect.poll(() => api.datapath.captured.length).toBe(1);
    await expect.poll(() => readFileSync(file, { flag: "a+" }).length).toBe(BYTES.length);
    interrupt.abort();
    expect(await running).toMatchObject({ code: 0 });
    expect(readFileSync(file)).toEqual(BYTES);
    await expect.poll(() => api.datapath.capturesEnded).toBe(1);
  });

  it("ends by --duration", async () => {
    api.datapath.captureEndless = true;
    expect(await weft(["capture", "--duration", "50ms", "s"])).toMatchObject({ code: 0 });
  });

  it.each([
    { argv: ["none"], message: "no sandbox or network none" },
    { argv: ["-w", "/nowhere/x.pcapng", "s"], message: "cannot write /nowhere/x.pcapng: ENOENT" },
    { argv: ["-w", "/dev/full", "s"], message: "capturing s to /dev/full, ctrl-c ends\nweft: cannot write /dev/full: ENOSPC" },
  ])("refuses $argv", async ({ argv, message }) => {
    const result = await weft(["capture", ...argv]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`weft: ${message}`);
  });
});

describe("the daemon that is not there", () => {
  const socketPath = join(folder, "none.sock");

  it("is explained", async () => {
    expect(await weft(["network", "ls"], { socketPath })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: `weft: cannot reach the weft daemon at unix://${socketPath}: is it running? start it with \`weft daemon\`\n`,
    });
  });

  it("is complained about once, not for each object", async () => {
    const { stderr } = await weft(["network", "rm", "a", "b", "c"], { socketPath });
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it("is waited for by status --wait", async () => {
    const started = performance.now();
    expect(await weft(["status", "--wait", "300ms"], { socketPath })).toMatchObject({ code: 1 });
    expect(performance.now() - started).toBeGreaterThan(290);
    expect(await weft(["status", "--wait", "10s"])).toMatchObject({ code: 0 });
  });

  it("does not keep `version` from answering", async () => {
    const { code, stdout } = await weft(["version"], { socketPath });
    expect(code).toBe(0);
    expect(stdout).toContain("not reachable");
  });
});

describe("usage", () => {
  it.each([
    { argv: [], code: 2, says: "Usage: weft" },
    { argv: ["--help"], code: 0, says: "network" },
    { argv: ["help"], code: 0, says: "capture" },
    { argv: ["--version"], code: 0, says: "." },
    { argv: ["network"], code: 2, says: "connect" },
    { argv: ["network", "--help"], code: 0, says: "disconnect" },
    { argv: ["help", "network"], code: 0, says: "disconnect" },
    { argv: ["netwrok"], code: 2, says: "unknown command 'netwrok'" },
    { argv: ["network", "lst"], code: 2, says: "unknown command 'lst'" },
    { argv: ["status", "--wait", "soon"], code: 2, says: 'invalid duration "soon"' },
    { argv: ["run", "--rm"], code: 125, says: "missing required argument 'command'" },
    { argv: ["run", "--nosuch", "true"], code: 125, says: "unknown option '--nosuch'" },
    { argv: ["run", "-p", "x", "true"], code: 125, says: "invalid containerPort: x" },
    { argv: ["run", "--log-opt", "x=1", "true"], code: 125, says: "unknown log opt 'x'" },
    { argv: ["run", "--help"], code: 0, says: "Examples" },
    { argv: ["help", "run"], code: 0, says: "Examples" },
    { argv: ["help", "nosuch"], code: 2, says: "unknown command 'nosuch'" },
    { argv: ["daemon", "-y"], code: 2, says: "-y answers the question of --purge" },
    { argv: ["sandbox", "rm", "nosuch"], code: 1, says: "sandbox nosuch not found" },
    { argv: ["sandbox", "rm", "-f", "nosuch"], code: 0, says: "sandbox nosuch not found" },
    { argv: ["sandbox", "ls", "-a"], code: 0, says: "SANDBOX ID" },
    { argv: ["--socket", "", "status", "--format", ""], code: 0, says: "serving" },
    { argv: ["sandbox", "exec", "s"], code: 2, says: "missing required argument 'command'" },
  ])("weft $argv ends with $code", async ({ argv, code, says }) => {
    const result = await weft(argv);
    expect(result.stdout + result.stderr).toContain(says);
    expect(result.code).toBe(code);
  });

  it.each([
    ...["daemon", "status", "version", "info", "run", "stats", "drops", "fdb", "neigh", "vtep", "trace", "capture", "audit"].map((one) => [
      one,
    ]),
    ...["create", "ls", "inspect", "rm", "connect", "disconnect"].map((one) => ["network", one]),
    ...["create", "ls", "inspect", "rm", "exec"].map((one) => ["sandbox", one]),
    ...["add", "rm", "ls"].map((one) => ["peer", one]),
  ])("weft %s %s --help has examples", async (...words) => {
    const argv = words.filter((word) => typeof word === "string");
    const { code, stdout } = await weft([...argv, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Examples:\n  weft ");
    expect(stdout).toContain("--socket");
  });

  it.each(["network", "sandbox", "peer"])("names each command of %s where it lists all", async (name) => {
    const { stdout: all } = await weft(["--help"]);
    const { stdout } = await weft([name, "--help"]);
    const commands = [...stdout.slice(stdout.indexOf("Commands:")).matchAll(/^ {2}(\w+)/gm)]
      .map(([, one]) => one)
      .filter((one) => one !== "help");
    const summary = new RegExp(`^ +${name} .*: (.*)$`, "m").exec(all)?.[1] ?? "";
    expect(summary.split(", ").sort()).toEqual(commands.sort());
  });

  it("takes the socket from the flag before the environment", async () => {
    const nowhere = join(folder, "none.sock");
    expect(await weft(["--socket", api.socketPath, "status"], { socketPath: nowhere })).toMatchObject({ code: 0 });
    expect(await weft(["status", "--socket", `unix://${api.socketPath}`], { socketPath: nowhere })).toMatchObject({ code: 0 });
  });

  it("hands the daemon its flags as they were given", async () => {
    const argv = [
      "daemon",
      "--config",
      "f.json",
      "--state-dir",
      "/s",
      "--socket",
      "/x",
      "--underlay-address",
      "192.0.2.1",
      "--set",
      "datapath.spinUs=0",
    ];
    expect((await weft(argv)).daemon).toEqual({
      config: "f.json",
      settings: { stateDir: "/s", socket: "/x", underlayAddress: ["192.0.2.1"], set: ["datapath.spinUs=0"] },
    });
  });

  it("reports a refusal in the daemon's words", async () => {
    api.controller.failNext = forbidden("operation is not permitted on predefined bridge network");
    expect(await weft(["network", "rm", "bridge"])).toMatchObject({
      code: 1,
      stderr: "weft: operation is not permitted on predefined bridge network\n",
    });
  });
});
