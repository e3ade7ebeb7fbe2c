// Links: lines in /etc/hosts and variables on the network `bridge`, a private alias elsewhere, and what is refused.
import { describe, expect, it } from "vitest";
import { schema } from "../../src/config/schema.ts";
import type { CreateSandboxRequest } from "../../src/controller/types.ts";
import { networkNames, withLinks } from "../../src/dns/zone.ts";
import { parseExposed } from "../../src/net/port-spec.ts";
import { type Bench, startController } from "../support/controller.ts";

async function start(before?: Bench, defaultBridge = schema.parse({}).bridge): Promise<Bench> {
  const options = { defaultBridge, egress: true };
  const bench = await startController({ ...(before && { store: before.store, namespaces: before.namespaces }), options });
  await bench.controller.restore();
  await bench.controller.ensurePredefined();
  return bench;
}

const linked = (sandbox: string, alias?: string): CreateSandboxRequest => ({
  networks: [{ network: "bridge", links: [{ sandbox, ...(alias === undefined ? {} : { alias }) }] }],
});
const environment = ({ controller }: Bench, name: string) => controller.inspectSandbox(name).linkEnvironment;
const hosts = ({ controller, names }: Bench, name: string) => names.records!.links(controller.inspectSandbox(name).sandbox.id);

describe("on the network bridge", () => {
  it("gives programs Docker's variables, by exposed ports", async () => {
    const bench = await start();
    const expose = ["6380/udp", "6379", "6380", "6381", "53/udp", "53"].map((text) => parseExposed(text));
    await bench.controller.createSandbox({ name: "redis", expose });
    await bench.controller.createSandbox({ name: "web", ...linked("redis", "my-db") });
    const at = (url: string, port: number, protocol: string) => ({ [url]: `${protocol}://172.17.0.2:${port}` });
    const port = (number: number, protocol: string) => {
      const key = `MY_DB_PORT_${number}_${protocol.toUpperCase()}`;
      return { ...at(key, number, protocol), [`${key}_ADDR`]: "172.17.0.2", [`${key}_PORT`]: String(number), [`${key}_PROTO`]: protocol };
    };
    expect(environment(bench, "web")).toEqual({
      MY_DB_NAME: "/web/my-db",
      MY_DB_PORT: "tcp://172.17.0.2:53",
      ...port(53, "tcp"),
      ...port(53, "udp"),
      ...port(6379, "tcp"),
      ...port(6380, "tcp"),
      ...port(6380, "udp"),
      ...port(6381, "tcp"),
      MY_DB_PORT_6379_TCP_START: "tcp://172.17.0.2:6379",
      MY_DB_PORT_6379_TCP_PORT_START: "6379",
      MY_DB_PORT_6379_TCP_END: "tcp://172.17.0.2:6381",
      MY_DB_PORT_6379_TCP_PORT_END: "6381",
    });
    expect(environment(bench, "redis")).toEqual({});
  });

  it("tells programs the other's variables, but for those of every image", async () => {
    const bench = await start();
    const variables = ["USER=app", "USER=db", "URL=a=b", "EMPTY=", "lower-case=x", "PATH=/bin", "HOME=/root", "GONE"];
    await bench.controller.createSandbox({ name: "redis", environment: variables });
    await bench.controller.createSandbox({ name: "web", environment: ["SECRET=1"], ...linked("redis", "my-db") });
    const told = { MY_DB_ENV_USER: "db", MY_DB_ENV_URL: "a=b", MY_DB_ENV_EMPTY: "", "MY_DB_ENV_lower-case": "x" };
    expect(environment(bench, "web")).toEqual({ MY_DB_NAME: "/web/my-db", ...told });
    expect(environment(await start(bench), "web")).toEqual({ MY_DB_NAME: "/web/my-db", ...told });
  });

  it("follows the other's new name at once; a sandbox's way out of the host keeps its own", async () => {
    const bench = await start();
    await bench.controller.createSandbox({ name: "redis" });
    await bench.controller.createSandbox({ name: "web", ...linked("redis", "db") });
    const written: string[] = [];
    bench.namespaces.onChange = (what) => void written.push(what);
    await bench.controller.renameSandbox("redis", "valkey");
    expect(written).toEqual(["write files web"]);
    expect(hosts(bench, "web")[0]!.names.at(-1)).toBe("valkey");
    await bench.controller.createNetwork({ name: "over", driver: "overlay" });
    const { sandbox } = await bench.controller.createSandbox({ name: "far", networks: [{ network: "over" }] });
    await bench.controller.renameSandbox("far", "farther");
    const names = bench.controller.inspectSandbox("farther").endpoints.map(({ endpoint }) => endpoint.name);
    expect(names).toEqual(["farther", `gateway_${sandbox.id.slice(0, 12)}`]);
  });

  it("gives a line in hosts: alias, hostname, name", async () => {
    const bench = await start();
    const { sandbox } = await bench.controller.createSandbox({ name: "redis" });
    await bench.controller.createSandbox({ name: "sql", hostname: "db1" });
    await bench.controller.createSandbox({
      name: "web",
      networks: [{ network: "default", links: [{ sandbox: sandbox.id.slice(0, 12), alias: "db" }, { sandbox: "sql" }] }],
    });
    expect(hosts(bench, "web")).toEqual([
      { names: ["db", sandbox.id.slice(0, 12), "redis"], ipv4: "172.17.0.2/16", ipv6: null },
      { names: ["sql", "db1"], ipv4: "172.17.0.3/16", ipv6: null },
    ]);
  });

  it("follows the other's address, is kept over a restart, and ends with the other", async () => {
    const bench = await start();
    await bench.controller.createSandbox({ name: "redis" });
    await bench.controller.createSandbox({ name: "web", ...linked("redis", "db") });
    await bench.controller.disconnect("redis", "bridge", false);
    expect([hosts(bench, "web"), environment(bench, "web")]).toEqual([[], {}]);
    const written: string[] = [];
    bench.namespaces.onChange = (what) => void (what.startsWith("write files") && written.push(what));
    await bench.controller.connect("redis", { network: "bridge" });
    expect(written).toEqual(["write files redis", "write files web"]);
    const [line] = hosts(bench, "web");
    expect(line?.ipv4).toBe(bench.controller.inspectSandbox("redis").endpoints[0]?.endpoint.ipv4);
    const next = await start(bench);
    expect(hosts(next, "web")).toEqual([line]);
    await next.controller.removeSandbox("redis", false);
    expect(hosts(next, "web")).toEqual([]);
    await next.controller.createSandbox({ name: "redis" });
    expect(hosts(next, "web")).toEqual([]);
  });

  const REFUSED: readonly [CreateSandboxRequest, string][] = [
    [linked("nosuch"), "could not get container for nosuch"],
    [linked("elsewhere"), "Cannot link to /elsewhere, as it does not belong to the default network"],
    [linked("redis", "a b"), "invalid link alias"],
    [{ networks: [{ network: "bridge", links: [{ sandbox: "redis" }, { sandbox: "redis" }] }] }, "two links have the alias redis"],
    [{ networks: [{ network: "host", links: [{ sandbox: "redis" }] }] }, "host type networking can't be used with links"],
    [{ networks: [{ network: "sandbox:redis", links: [{ sandbox: "redis" }] }] }, "container type networking can't be used with links"],
    [{ networks: [{ network: "none", links: [{ sandbox: "redis" }] }] }, "conflicting options: links and the network mode"],
  ];
  it.each(REFUSED)("is refused: %j", async (request, message) => {
    const bench = await start();
    await bench.controller.createNetwork({ name: "web" });
    await bench.controller.createSandbox({ name: "redis" });
    await bench.controller.createSandbox({ name: "elsewhere", networks: [{ network: "web" }] });
    const before = JSON.stringify(await bench.store.list(""));
    await expect(bench.controller.createSandbox(request)).rejects.toThrow(message);
    expect(JSON.stringify(await bench.store.list(""))).toBe(before);
  });
});

describe("on other networks", () => {
  it("is a name for one endpoint alone, and leads to whoever is called so now", async () => {
    const bench = await start();
    const { controller, names } = bench;
    const { id } = await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
    await controller.createSandbox({ name: "db", networks: [{ network: "web" }] });
    const links = [
      { sandbox: "db", alias: "Store" },
      { sandbox: "later", alias: "soon" },
    ];
    await controller.createSandbox({ name: "app", networks: [{ network: "web", links }] });
    expect(environment(bench, "app")).toEqual({});
    const ask = (asker: string, name: string): string | undefined => {
      const { endpoint, network } = names.records!.attachments(controller.inspectSandbox(asker).sandbox.id)[0]!;
      return withLinks(networkNames(network, names.records!.members(id)), endpoint.links)
        .hosts.get(name)?.[0]
        ?.ipv4?.join(".");
    };
    expect([ask("app", "store"), ask("app", "db"), ask("db", "store"), ask("app", "soon")]).toEqual([
      "10.1.0.2",
      "10.1.0.2",
      undefined,
      undefined,
    ]);
    await controller.createSandbox({ name: "later", networks: [{ network: "web" }] });
    expect(ask("app", "soon")).toBe("10.1.0.4");
    await controller.removeSandbox("db", false);
    expect(ask("app", "store")).toBe(undefined);
  });
});

describe("where sandboxes don't reach each other", () => {
  const open = (bench: Bench) =>
    bench.datapath
      .all("permits")
      .map(({ client, server, protocol, first, last }) => {
        const [from, to] = [client, server].map((id) =>
          bench.controller.listSandboxes().find(({ endpoints }) => endpoints[0]?.endpoint.id === id),
        );
        return `${from?.sandbox.name} > ${to?.sandbox.name} ${protocol} ${first}-${last}`;
      })
      .sort();
  const isolated = (before?: Bench) => start(before, { ...schema.parse({}).bridge, icc: false });
  const expose = ["6380-6390", "6379", "6391", "53/udp"].map((text) => parseExposed(text));

  it("a link opens what the other serves, for whoever linked and as long as both are there", async () => {
    const bench = await isolated();
    const { controller } = bench;
    await controller.createSandbox({ name: "redis", expose });
    await controller.createSandbox({ name: "web", ...linked("redis", "db") });
    await controller.createSandbox({ name: "app", ...linked("redis") });
    await controller.createSandbox({ name: "alone" });
    const both = ["app > redis tcp 6379-6391", "app > redis udp 53-53", "web > redis tcp 6379-6391", "web > redis udp 53-53"];
    expect(open(bench)).toEqual(both);
    await controller.disconnect("redis", "bridge", false);
    expect(open(bench)).toEqual([]);
    await controller.connect("redis", { network: "bridge" });
    expect(open(bench)).toEqual(both);
    await controller.removeSandbox("web", false);
    expect(open(bench)).toEqual(both.slice(0, 2));
    const next = await isolated(bench);
    expect(open(next)).toEqual(both.slice(0, 2));
    await next.controller.removeSandbox("redis", false);
    expect(open(next)).toEqual([]);
    expect([...next.datapath.declared.keys()].filter((owner) => owner.startsWith("links/"))).toEqual([]);
  });

  it("keeps them where a removal fails, and opens nothing where the sandbox could not be made", async () => {
    const bench = await isolated();
    const { controller, datapath, namespaces } = bench;
    await controller.createSandbox({ name: "redis", expose });
    await controller.createSandbox({ name: "web", ...linked("redis") });
    const before = open(bench);
    namespaces.onChange = (what) => {
      if (what.startsWith("delete")) throw new Error("the kernel says no");
    };
    await expect(controller.removeSandbox("redis", false)).rejects.toThrow("the kernel says no");
    expect(open(bench)).toEqual(before);
    namespaces.onChange = () => {};
    datapath.onChange = (what) => {
      if (what.startsWith("declare links/")) throw new Error("the table is full");
    };
    await expect(controller.createSandbox({ name: "app", ...linked("redis") })).rejects.toThrow("the table is full");
    datapath.onChange = () => {};
    expect(open(bench)).toEqual(before);
    await controller.createSandbox({ name: "app", ...linked("redis") });
    expect(open(bench)).toHaveLength(2 * before.length);
  });

  it("opens nothing where they do", async () => {
    const bench = await start();
    await bench.controller.createSandbox({ name: "redis", expose });
    await bench.controller.createSandbox({ name: "web", ...linked("redis") });
    expect(open(bench)).toEqual([]);
  });
});
