// A daemon whose addresses come from a plugin, in Python, over its socket: traffic, a crash of the daemon, and a plugin that is away.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { Lab } from "../support/hosts.ts";
import { IpamPluginFolder, type TestIpamPlugin } from "../support/ipam-plugin.ts";

const lab = new Lab();
const plugins = new IpamPluginFolder();
let daemon: Daemon;
let plugin: TestIpamPlugin;

beforeAll(async () => {
  lab.defer(() => plugins.close());
  plugin = await plugins.start("books", "--mac", "--state", join(plugins.folder, "books.json"));
  const config = join(plugins.folder, "weft.json");
  writeFileSync(config, JSON.stringify({ plugins: { sockets: [plugins.folder], specs: [], retryS: 0.5 } }));
  daemon = await Daemon.start(lab, await lab.host("h"), { args: ["--config", config] });
});
afterAll(() => lab.dispose());

test("gives what the plugin gives, and gives back what it was away for", async () => {
  await daemon.must("network", "create", "--ipam-driver", "books", "--ipam-opt", "color=red", "net");
  for (const name of ["a", "b"]) await daemon.must("sandbox", "create", "--network", "net", name);
  const [document] = await daemon.json("network", "inspect", "net");
  expect(document.IPAM).toEqual({
    Driver: "books",
    Options: { color: "red" },
    Config: [expect.objectContaining({ Subnet: "10.77.0.0/24", Gateway: "10.77.0.1" })],
  });
  expect(await (await daemon.enter("a")).ping("10.77.0.3", [], 1)).toBe(1);

  await daemon.kill9();
  await daemon.start();
  await daemon.must("sandbox", "create", "--network", "net", "c");
  expect((await plugin.books())["plocal/10.77.0.0/24"]!.addresses).toEqual(["10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.4"]);

  await plugin.stop();
  const refused = await daemon.cli(["sandbox", "create", "--network", "net", "d"]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/plugin books does not answer .*; start it/)]);
  await daemon.must("sandbox", "rm", "-f", "a", "b", "c");
  await daemon.must("network", "rm", "net");
  await daemon.kill9();
  await plugin.start();
  await daemon.start();
  await eventually("the plugin has all of it back", async () => Object.keys(await plugin.books()).length === 0);
  await eventually("weft status says so", async () => (await daemon.json("status")).AddressesReclaimed === 5);
  expect(await daemon.must("status")).toContain("5 were leaked and are free again");
});
