// Names inside sandboxes, asked for with dig, with the resolvers of Python and Node, and by an application that is itself a
// DNS server. The upstream is a double that says what it was asked: what must not leak is seen not to.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let one: Host;

beforeAll(async () => {
  host = await lab.host("h");
  const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-dns-`));
  lab.defer(() => rmSync(folder, { recursive: true }));
  const resolvConf = join(folder, "resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nsearch host.example\noptions timeout:1\n");
  daemon = await Daemon.start(lab, host, { args: ["--set", `resolvConf=${resolvConf}`] });
  await daemon.must("network", "create", "--subnet", "10.71.0.0/24", "--ipv6", "--subnet", "fd71::/64", "web");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.10,ip6=fd71::10", "one");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.20,ip6=fd71::20,alias=db", "two");
  one = await daemon.enter("one");
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

const dig = async (from: Host, ...args: readonly string[]): Promise<string> =>
  (await from.must(["dig", "@127.0.0.11", "+tries=1", "+time=5", ...args])).trim();
const short = async (from: Host, ...args: readonly string[]): Promise<string[]> =>
  (await dig(from, "+short", ...args)).split("\n").filter((line) => line !== "").sort();

test("a neighbour's name, by UDP and TCP", async () => {
  expect(await short(one, "two", "A")).toEqual(["10.71.0.20"]);
  expect(await short(one, "two", "AAAA")).toEqual(["fd71::20"]);
  expect(await short(one, "+tcp", "two", "A")).toEqual(["10.71.0.20"]);
});
