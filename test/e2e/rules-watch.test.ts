// Rules of ours that somebody else takes away come back at once, by the kernel's own notice: the audit by the clock is off here.
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../support/daemon.ts";
import type { Host } from "../support/hosts.ts";
import {
  ask,
  askBriefly,
  dual,
  echo,
  HOST4,
  HOST6,
  OUTSIDE4,
  OUTSIDE6,
  PYTHON,
  type RoutedHost,
  routedHost,
} from "../support/routed-host.ts";

let routed: RoutedHost;
beforeEach(async () => {
  routed = await routedHost({ args: ["--set", "datapath.auditIntervalS=0"] });
  await routed.daemon.must("network", "create", ...dual(1), "web");
  await routed.daemon.must("sandbox", "create", "--network", "web", "-p", "8080:80", "-p", "9000-9999:9000-9999/udp", "a");
});
afterEach(() => routed.lab.dispose());

const nft = (...commands: string[]): Promise<string> => routed.host.must(["nft", "-a", commands.join("; ")]);
const putBack = (): number => routed.daemon.log.split("somebody changed the nftables table inet weft").length - 1;

/** The number of transactions that the namespace's tables have seen (NFT_MSG_GETGEN). */
async function generation(host: Host): Promise<number> {
  const program = `
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=LHHLLBBH", 20, 0xA10, 1, 1, 0, 0, 0, 0))
print(struct.unpack(">L", s.recv(4096)[24:28])[0])`;
  return Number(await host.must([...PYTHON, program]));
}

it("puts back what was flushed, deleted, changed or added, and is itself no cause to look again", async () => {
  const { lab, host, outside, daemon, rules } = routed;
  await echo(lab, await daemon.enter("a"), 80);
  const made = await rules();
  const ours = made.slice(made.indexOf("table inet weft"));
  const handle = async (): Promise<string> => /iifname @internal drop # handle (\d+)/.exec(await nft("list chain inet weft forward"))![1]!;
  const attacks: (() => Promise<unknown>)[] = [
    () => nft("delete table inet weft"),
    () => nft("delete element inet weft anywhere4 { tcp . 8080 }"),
    () => nft("delete element inet weft ranges6 { udp . ::/0 . 9000-9999 }"),
    async () => nft(`delete rule inet weft forward handle ${await handle()}`),
    () => nft("insert rule inet weft forward accept"),
    () => nft("table inet weft { flags dormant; }"),
  ];
  for (const [index, attack] of attacks.entries()) {
    await attack();
    await eventually(`attack ${index} is undone`, () => putBack() === index + 1);
    // Told when it is done, but the table may be read in the middle of a second look that changes nothing.
    const now = await rules();
    expect([index, now.slice(now.indexOf("table inet weft"))]).toEqual([index, ours]);
  }
  expect(await ask(outside, HOST4, 8080)).toBe(OUTSIDE4);
  expect(await ask(outside, HOST6, 8080)).toBe(OUTSIDE6);
  // Nobody's change but ours, and tables of others: not a reason.
  const before = await generation(host);
  await daemon.must("sandbox", "update", "--publish-add", "8081:80", "a");
  const own = (await generation(host)) - before;
  await nft("add table inet other; add set inet other s { type ipv4_addr; elements = { 192.0.2.7 } }");
  // What was heard before this one was not acted on.
  await nft("add element inet weft bridges { weft-t-other }");
  await eventually("the last change is undone", () => putBack() === attacks.length + 1);
  expect(own).toBe(1);
  expect(await generation(host)).toBeLessThanOrEqual(before + own + 4);
  await daemon.law();
});

it("on a busy table, and where notices are lost", async () => {
  const { lab, host, outside, daemon, rules } = routed;
  await echo(lab, await daemon.enter("a"), 80);
  const ours = async (): Promise<string> => ((await rules()).match(/^table inet weft \{\n[\s\S]*?^\}$/m) ?? [""])[0];
  const led = () => eventually("ports are led again", async () => (await askBriefly(outside, HOST4, 8080)) === OUTSIDE4);
  const attacker = `
import subprocess, time
for what in ("flush set inet weft bridges", "delete table inet weft", "flush ruleset") * 2:
    subprocess.run(["nft", what], stderr=subprocess.DEVNULL); time.sleep(0.2)`;
  const attack = lab.background(host, [...PYTHON, attacker]);
  for (let n = 0; !attack.over; n++) {
    await daemon.must("network", "create", "--subnet", `10.81.${n % 200}.0/24`, "come");
    await daemon.must("network", "rm", "come");
  }
  await led();
  const settled = await ours();
  // What comes while nobody listens is more than the socket holds, and the flush is last.
  const many = Array.from({ length: 16_000 }, (_, n) => `10.9.${n >> 8}.${n & 255}`).join(", ");
  const flood = [
    `table inet busy {\nset s { type ipv4_addr; }\n}`,
    ...Array(4).fill(`add element inet busy s { ${many} }\nflush set inet busy s`),
  ];
  process.kill(daemon.pid, "SIGSTOP");
  for (const input of [...flood, "flush ruleset"]) await host.must(["nft", "-f", "-"], { input: `${input}\n` });
  process.kill(daemon.pid, "SIGCONT");
  await led();
  expect(await ask(outside, HOST6, 8080)).toBe(OUTSIDE6);
  expect(await ours()).toBe(settled);
  // As the next daemon makes it, which knows nothing of all this.
  await daemon.kill9();
  await host.must(["nft", "flush", "ruleset"]);
  await daemon.start();
  expect(await ours()).toBe(settled);
  await daemon.law();
});
