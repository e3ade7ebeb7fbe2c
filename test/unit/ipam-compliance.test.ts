import { afterAll, beforeAll } from "vitest";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { NullIpam } from "../../src/ipam/null.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { PluginIpams } from "../../src/ipam/remote/plugins.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { ipamCompliance } from "../compliance/ipam.ts";
import { startController } from "../support/controller.ts";
import { IpamPluginFolder, type TestIpamPlugin } from "../support/ipam-plugin.ts";

const plugins = new IpamPluginFolder();
let plugin: TestIpamPlugin;
beforeAll(async () => {
  plugin = await plugins.start("books", "--mac");
});
afterAll(() => plugins.close());

ipamCompliance({ driver: "default", gives: true, start: () => startController() });
ipamCompliance({ driver: "null", gives: false, start: () => startController() });
ipamCompliance({
  driver: "books",
  gives: true,
  async start() {
    const store = new MemoryStore();
    const ipams = new PluginIpams({ store, host: plugins.host(), log: () => {} });
    return startController({ store, options: { ipam: new IpamRegistry([new EmbeddedIpam(), new NullIpam()], ipams) } });
  },
  books: () => plugin.books(),
});
