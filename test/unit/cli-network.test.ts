// The command line of predefined, configuration-only and ingress networks, gateway priorities and prune, against twins.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ServedApi, serveApi } from "../support/api.ts";
import { type CliSetting, cli } from "../support/cli.ts";

let api: ServedApi;
beforeEach(async () => {
  api = await serveApi();
});
afterEach(() => api.close());

const weft = (argv: readonly string[], setting: CliSetting = {}) => cli(argv, { socketPath: api.socketPath, ...setting });

async function given(...lines: string[]): Promise<void> {
  for (const line of lines) expect(await weft(line.split(" "))).toMatchObject({ code: 0, stderr: "" });
}

describe("network create", () => {
  it("passes the flags of configuration and ingress networks on", async () => {
    await given(
      "network create --config-only settings",
      "network create --config-from settings web",
      "network create -d overlay --ingress in",
    );
    expect(api.controller.requests).toMatchObject([
      { name: "settings", configOnly: true, ingress: false },
      { name: "web", configFrom: "settings", configOnly: false },
      { name: "in", driver: "overlay", ingress: true },
    ]);
    const inspect = async (name: string) => JSON.parse((await weft(["network", "inspect", name])).stdout)[0];
    expect(await inspect("settings")).toMatchObject({ ConfigOnly: true, ConfigFrom: { Network: "" }, Ingress: false });
    expect(await inspect("web")).toMatchObject({ ConfigOnly: false, ConfigFrom: { Network: "settings" } });
    expect(await inspect("in")).toMatchObject({ Ingress: true });
  });
});

describe("addresses and names on the first network", () => {
  it("by options of their own, as Docker's scripts old and new write them", async () => {
    const address = ["--ip", "10.1.0.9", "--ip6", "fd01::9", "--mac-address", "02:42:0a:01:00:09"];
    for (const words of [
      ["--network", "web", "--network-alias", "db"],
      ["--net", "web", "--net-alias", "db"],
    ]) {
      await given("network create web");
      expect(await weft(["sandbox", "create", ...words, ...address, "a"])).toMatchObject({ code: 0, stderr: "" });
      const wish = { network: "web", ipv4: "10.1.0.9", ipv6: "fd01::9", mac: "02:42:0a:01:00:09", aliases: ["db"] };
      expect(api.controller.requests.at(-1)).toMatchObject({ networks: [wish] });
      await weft(["sandbox", "rm", "a"]);
      await weft(["network", "rm", "web"]);
    }
  });
});

describe("gateway priorities", () => {
  it.each([
    ["5", 5],
    ["-5", -5],
    ["+0", 0],
    ["2147483647", 2147483647],
  ])("%s is passed on by both commands and shown", async (text, gwPriority) => {
    await given("network create web", `sandbox create --network web,gw-priority=${text} a`, "sandbox create b");
    expect(await weft(["network", "connect", "--gw-priority", text, "web", "b"])).toMatchObject({ code: 0, stderr: "" });
    const wish = gwPriority === 0 ? { network: "web" } : { network: "web", gwPriority };
    expect(api.controller.requests.slice(1)).toMatchObject([{ networks: [wish] }, {}, wish]);
    for (const name of ["a", "b"]) {
      const [sandbox] = JSON.parse((await weft(["sandbox", "inspect", name])).stdout);
      expect(sandbox.NetworkSettings.Networks.web.GwPriority).toBe(gwPriority);
    }
  });

  it.each(["", "1.5", "2147483648", "high"])("%j is refused", async (text) => {
    await given("network create web", "sandbox create a");
    const result = await weft(["network", "connect", `--gw-priority=${text}`, "web", "a"]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(`invalid --gw-priority "${text}": give a whole number`);
    if (text !== "") expect((await weft(["sandbox", "create", "--network", `web,gw-priority=${text}`, "x"])).code).toBe(2);
  });
});

describe("network inspect --verbose", () => {
  it("adds what Docker's fields have no place for", async () => {
    await given("network create web", "sandbox create --network web,alias=db,gw-priority=3 a");
    const containers = async (...flags: string[]) => {
      const [network] = JSON.parse((await weft(["network", "inspect", ...flags, "web"])).stdout);
      return Object.values(network.Containers)[0];
    };
    expect(await containers()).not.toHaveProperty("Aliases");
    for (const flag of ["-v", "--verbose"]) {
      expect(await containers(flag)).toMatchObject({ Name: "a", Aliases: ["db"], InterfaceName: "eth0", GwPriority: 3 });
    }
  });
});

describe("sandbox inspect", () => {
  it("names the network mode as Docker does", async () => {
    await given("network create web", "sandbox create --network web a", "sandbox create b");
    const mode = async (name: string) => (await weft(["sandbox", "inspect", "-f", "{{.HostConfig.NetworkMode}}", name])).stdout;
    expect(await mode("a")).toBe("web\n");
    expect(await mode("b")).toBe("none\n");
    const { id } = api.controller.inspectSandbox("a").sandbox;
    const joined = api.controller.inspectSandbox("b").sandbox;
    api.controller.sandboxes.set(joined.id, { ...joined, joinedTo: id });
    expect(await mode("b")).toBe(`container:${id}\n`);
    expect((await weft(["sandbox", "ls", "--format", "{{.Name}} {{.Networks}}"])).stdout).toBe(`a web\nb sandbox:${id.slice(0, 12)}\n`);
  });

  it("shows the host's stack by the daemon's process", async () => {
    await given("sandbox create a");
    const { sandbox } = api.controller.inspectSandbox("a");
    api.controller.sandboxes.set(sandbox.id, { ...sandbox, namespacePath: "/proc/self/ns/net" });
    const { stdout } = await weft(["sandbox", "inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "a"]);
    expect(stdout).toBe(`/proc/${process.pid}/ns/net\n`);
  });
});

describe("trace", () => {
  it("of a sandbox that shares a stack is of that stack's ports", async () => {
    await given("network create web", "sandbox create --network web a", "sandbox create side", "sandbox create --network web b");
    const owner = api.controller.inspectSandbox("a");
    const { sandbox } = api.controller.inspectSandbox("side");
    api.controller.sandboxes.set(sandbox.id, { ...sandbox, joinedTo: owner.sandbox.id });
    await weft(["trace", "side", "b"]);
    expect(api.datapath.traced).toMatchObject([{ port: owner.endpoints[0]!.endpoint.id, probe: { kind: "echo" } }]);
    await weft(["trace", "b", "side"]);
    expect(api.datapath.traced[1]).toMatchObject({ probe: { destination: owner.endpoints[0]!.endpoint.ipv4!.split("/")[0] } });
  });
});

describe("network ls", () => {
  it("takes Docker's word for the global scope", async () => {
    await given("network create -d overlay --scope global far", "network create web");
    for (const scope of ["global", "swarm"]) {
      expect((await weft(["network", "ls", "--filter", `scope=${scope}`, "--format", "{{.Name}}"])).stdout).toBe("far\n");
    }
  });
});

describe("network prune", () => {
  const WARNING = "WARNING! This will remove all custom networks not used by at least one sandbox.\n";
  const QUESTION = "Are you sure you want to continue? [y/N] ";
  beforeEach(() => given("network create used", "sandbox create --network used a", "network create --label keep=no b", "network create c"));

  const left = () => api.controller.listNetworks().map(({ name }) => name);

  it("asks, and removes what is unused", async () => {
    const result = await weft(["network", "prune"], { typed: "y" });
    expect(result).toMatchObject({ code: 0, stdout: `${WARNING}${QUESTION}Deleted Networks:\nb\nc\n\n`, stderr: "" });
    expect(left()).toEqual(["used"]);
  });

  it.each(["n", "", "yep", undefined])("removes nothing for %j", async (typed) => {
    const result = await weft(["network", "prune"], typed === undefined ? {} : { typed });
    expect(result).toMatchObject({ code: 1, stdout: `${WARNING}${QUESTION}`, stderr: "weft: network prune has been cancelled\n" });
    expect(left()).toEqual(["used", "b", "c"]);
  });

  it("doesn't ask with -f, and is silent when there is nothing", async () => {
    expect(await weft(["network", "prune", "-f", "--filter", "label=keep"])).toMatchObject({ code: 0, stdout: "Deleted Networks:\nb\n\n" });
    expect(await weft(["network", "prune", "--force", "--filter", "label=keep"])).toMatchObject({ code: 0, stdout: "" });
    expect(await weft(["network", "prune", "-f", "--format", "json"])).toMatchObject({ stdout: '{"NetworksDeleted":["c"]}\n' });
  });

  it("says by what it filters before it asks, and refuses a filter it doesn't know", async () => {
    const asked = await weft(["network", "prune", "--filter", "until=24h"], { typed: "n" });
    expect(asked.stdout).toContain("Items to be pruned will be filtered with:\n  - until=24h\n");
    expect(await weft(["network", "prune", "-f", "--filter", "name=b"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("invalid filter 'name'"),
    });
    expect(left()).toEqual(["used", "b", "c"]);
  });
});

describe("values with commas", () => {
  it("are lists where Docker's are", async () => {
    await given(
      "network create -d overlay --subnet 10.1.0.0/24,fd01::/64 --gateway 10.1.0.9,fd01::9 --ip-range 10.1.0.128/25,fd01::80/121 web",
      "sandbox create a",
      'network connect --alias db,store --driver-opt "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.x=1,net.ipv4.conf.IFNAME.y=2" web a',
    );
    const [create, , connect] = api.controller.requests;
    expect(create).toMatchObject({
      ipam: [
        { subnet: "10.1.0.0/24", gateway: "10.1.0.9", ipRange: "10.1.0.128/25" },
        { subnet: "fd01::/64", gateway: "fd01::9", ipRange: "fd01::80/121" },
      ],
    });
    const driverOptions = { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.x=1,net.ipv4.conf.IFNAME.y=2" };
    expect(connect).toMatchObject({ aliases: ["db", "store"], driverOptions });
  });

  it.each([
    ["=x", "weft: invalid label '=x': empty name\n"],
    ["a b=x", "weft: label 'a b' contains whitespaces\n"],
  ])("a label %j is refused", async (label, stderr) => {
    for (const words of [
      ["network", "create"],
      ["sandbox", "create"],
    ]) {
      const { code, stderr: said } = await weft([...words, "--label", label, "x"]);
      expect([code, said.split("(see")[0]]).toEqual([2, stderr]);
    }
  });
});

describe("labels in rows", () => {
  it("are one text, sorted, or asked for one by one, as Docker's templates do", async () => {
    await given("network create --label tier=web --label com.example.cost-centre=7 web", "network create bare");
    await given("sandbox create --network web --label team=a,b a");
    const ls = async (kind: string, format: string) => (await weft([kind, "ls", "--format", format])).stdout;
    const [tier, cost] = ['{{.Label "tier"}}', '{{.Label "com.example.cost-centre"}}'];
    expect(await ls("network", `{{.Name}}:{{.Labels}}:${tier}:${cost}`)).toBe("bare:::\nweb:com.example.cost-centre=7,tier=web:web:7\n");
    expect(await ls("network", `table {{.Name}}\\t${tier}\\t${cost}`)).toMatch(/^NAME +tier +cost centre *\n.*\nweb +web +7 *\n$/);
    expect(await ls("sandbox", '{{.Name}}:{{.Labels}}:{{.Label "team"}}:{{.Label "constructor"}}')).toBe("a:team=a,b:a,b:\n");
    expect(JSON.parse(await ls("network", "json"))[1].Label).toBeUndefined();
    expect(await weft(["network", "ls", "--format", "{{.Label}}"])).toMatchObject({ code: 2 });
  });
});
