// `--driver-opt` of endpoints: what is read, what is refused in Docker's words, and that a namespace made anew has it too.
import { describe, expect, it } from "vitest";
import { attachment } from "../../src/cli/values.ts";
import { interfaceSysctls, readEndpointOptions } from "../../src/controller/endpoints/options.ts";
import { startController } from "../support/controller.ts";

const SYSCTLS = "com.docker.network.endpoint.sysctls";
const NAME = "com.docker.network.endpoint.ifname";

describe("options of an endpoint", () => {
  it("are settings of its interface, whatever that is called, and its name", () => {
    const options = { [SYSCTLS]: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.ifname.app_solicit=", [NAME]: "lan.7" };
    expect(readEndpointOptions(options)).toEqual({ interfaceName: "lan.7" });
    // Slashes: the interface's name has a dot.
    expect(interfaceSysctls(options, "lan.7")).toEqual({ "net/ipv4/conf/lan.7/log_martians": "1", "net/ipv6/neigh/lan.7/app_solicit": "" });
  });

  it.each([
    "net.ipv4.conf.eth0.log_martians=1",
    "net.ipv4.conf.log_martians=1",
    "net.ipv7.conf.IFNAME.log_martians=1",
    "kernel.ipv4.conf.IFNAME.x=1",
    "net.ipv4.conf.IFNAME.a.b=1",
    "net.ipv4.conf/../all.IFNAME.x=1",
    "net.ipv4.conf.IFNAME.log_martians=1,",
  ])("refuse the sysctl %s", (text) => {
    expect(() => readEndpointOptions({ [SYSCTLS]: text })).toThrow(/invalid endpoint settings:\nunrecognised network interface sysctl '/);
  });

  it.each([
    [{ [SYSCTLS]: "net.ipv4.conf.IFNAME.log_martians" }, "expected sysctl 'net.ipv4.conf.IFNAME.log_martians' to have format name=value"],
    [{ [NAME]: "a name" }, 'invalid interface name "a name"'],
    [{ [NAME]: ".." }, 'invalid interface name ".."'],
    [{ [NAME]: "sixteen-letters-" }, 'invalid interface name "sixteen-letters-"'],
    [{ foo: "1" }, `unknown option "foo" of an endpoint; known options: ${NAME}, ${SYSCTLS}`],
  ])("refuse %j", (options, message) => {
    expect(() => readEndpointOptions(options)).toThrow(message);
  });

  it("come in quotes where they have commas, as in Docker", () => {
    expect(attachment(`name=web,"driver-opt=${SYSCTLS}=a=1,b=2",driver-opt=${NAME}=lan,alias=db`)).toMatchObject({
      network: "web",
      aliases: ["db"],
      driverOptions: { [SYSCTLS]: "a=1,b=2", [NAME]: "lan" },
    });
    for (const wrong of ['web,"driver-opt=a=b', 'web,driver-opt="a=b"', "web,driver-opt=a"]) {
      expect(() => attachment(wrong)).toThrow(/invalid/);
    }
    for (const wrong of ["web,", ",web", "web,,alias=a"]) expect(() => attachment(wrong)).toThrow(/invalid --network/);
  });
});

describe("the controller", () => {
  const driverOptions = { [SYSCTLS]: "net.ipv4.conf.IFNAME.log_martians=1", [NAME]: "lan" };
  const setting = `{"net/ipv4/conf/lan/log_martians":"1"}`;

  it("sets them before the interface is up, and again where its namespace is made anew", async () => {
    const first = await startController();
    const seen: string[] = [];
    const watch = (what: string): void => void (/^(sysctl|configure)/.test(what) && seen.push(what.split(" ")[0]!));
    await first.controller.createNetwork({ name: "web" });
    first.namespaces.onChange = watch;
    const { sandbox, endpoints } = await first.controller.createSandbox({ name: "a", networks: [{ network: "web", driverOptions }] });
    expect([endpoints[0]!.endpoint.interfaceName, endpoints[0]!.endpoint.driverOptions]).toEqual(["lan", driverOptions]);
    expect(seen).toEqual(["sysctl", "configure"]);
    first.namespaces.byPath.delete(sandbox.namespacePath);
    const again: string[] = [];
    first.namespaces.onChange = (what) => void (what.startsWith("sysctl") && again.push(what));
    const second = await startController({ store: first.store, namespaces: first.namespaces });
    await second.controller.restore();
    expect(again).toEqual([`sysctl ${sandbox.namespacePath} ${setting}`]);
  });

  it("refuses a name that is taken, what the kernel doesn't know, and options where there is no interface; nothing stays", async () => {
    const { controller, namespaces } = await startController();
    await controller.ensurePredefined();
    for (const name of ["web", "back"]) await controller.createNetwork({ name });
    await controller.createSandbox({ name: "a", networks: [{ network: "web", driverOptions }] });
    await expect(controller.connect("a", { network: "back", driverOptions })).rejects.toThrow("interface name lan is already used");
    for (const network of ["none", "host"]) {
      await expect(controller.createSandbox({ name: "b", networks: [{ network, driverOptions }] })).rejects.toThrow("conflicting options");
    }
    namespaces.onChange = (what) => {
      if (what.startsWith("sysctl")) throw new Error("ENOENT");
    };
    await expect(controller.createSandbox({ name: "b", networks: [{ network: "back", driverOptions }] })).rejects.toThrow(
      "cannot set sysctls of interface lan in sandbox b: ENOENT",
    );
    expect(controller.listSandboxes().map(({ sandbox, endpoints }) => [sandbox.name, endpoints.length])).toEqual([["a", 1]]);
  });
});
