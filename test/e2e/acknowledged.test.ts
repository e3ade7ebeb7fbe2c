// Many clients change sandboxes at the same time, and the daemon is killed at a moment that nobody chose. Each client notes in a
// plain model what was acknowledged to it and what it has just asked for. After the next start every sandbox is as one of the two
// says, kernel and store agree on it, and nothing is there that belongs to none.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import type { Sandbox__Output } from "../../src/api/generated/weft/v1/Sandbox.ts";
import { Host, namespaceMounts } from "../support/hosts.ts";
import { type Random, random } from "../support/random.ts";
import { dual, type RoutedHost, routedHost } from "../support/routed-host.ts";

/** `npm run nightly` kills it more often. */
const KILLS = Number(process.env.WEFT_KILLS ?? 3);
const CLIENTS = 8;
const EACH = 3;
const SEED = Number(process.env.WEFT_SEED ?? Date.now() % 2 ** 31);

interface Box {
  readonly name: string;
  readonly networks: readonly string[];
  readonly ports: readonly number[];
}

/** Of one sandbox, or of none yet. */
interface Slot {
  readonly base: string;
  readonly port: number;
  acknowledged: Box | null;
  /** What was asked for and not answered; undefined: nothing. */
  asked?: Box | null;
}

let world: RoutedHost;
const slots: Slot[][] = Array.from({ length: CLIENTS }, (_, i) =>
  Array.from({ length: EACH }, (_, n) => ({ base: `c${i}-${n}`, port: 20_000 + i * EACH + n, acknowledged: null })),
);

beforeAll(async () => {
  world = await routedHost();
  for (const n of [1, 2]) await world.daemon.must("network", "create", ...dual(n), `n${n}`);
});
afterAll(() => world.lab.dispose());

const tcp = (port: number) => ({ protocol: "tcp", portFirst: 80, portLast: 80, hostPortFirst: port, hostPortLast: port });

/** Another state of the slot, and the call that leads there. */
function change(api: ApiClient, { base, port, acknowledged: box }: Slot, chance: Random): [Box | null, () => Promise<unknown>] {
  if (box === null) {
    const ports = chance.chance(0.3) ? [port] : [];
    const request = { name: base, attachments: [{ network: "n1" }], publish: ports.map(tcp) };
    return [{ name: base, networks: ["n1"], ports }, () => api.call("sandbox", "Create", request)];
  }
  const sandbox = box.name;
  switch (chance.below(4)) {
    case 0:
      return [null, () => api.call("sandbox", "Remove", { sandbox })];
    case 1: {
      const network = "n2";
      return box.networks.includes(network)
        ? [{ ...box, networks: ["n1"] }, () => api.call("endpoint", "Disconnect", { sandbox, network })]
        : [{ ...box, networks: ["n1", "n2"] }, () => api.call("endpoint", "Connect", { sandbox, attachment: { network } })];
    }
    case 2: {
      const name = sandbox === base ? `${base}r` : base;
      return [{ ...box, name }, () => api.call("sandbox", "Rename", { sandbox, name })];
    }
    default:
      return box.ports.length > 0
        ? [
            { ...box, ports: [] },
            () => api.call("sandbox", "Update", { sandbox, publishRemove: [{ protocol: "tcp", portFirst: 80, portLast: 80 }] }),
          ]
        : [{ ...box, ports: [port] }, () => api.call("sandbox", "Update", { sandbox, publishAdd: [tcp(port)] })];
  }
}

/** Until the daemon is gone. */
async function work(own: readonly Slot[], chance: Random): Promise<void> {
  const api = new ApiClient(world.daemon.socket);
  try {
    for (;;) {
      const slot = chance.pick(own);
      const [after, call] = change(api, slot, chance);
      slot.asked = after;
      await call();
      slot.acknowledged = after;
      delete slot.asked;
    }
  } catch (error) {
    expect(error).toMatchObject({ code: "UNAVAILABLE" });
  } finally {
    api.close();
  }
}

const boxOf = ({ name, endpoints, ports }: Sandbox__Output): Box => ({
  name,
  networks: endpoints.map(({ network }) => network!.name).sort(),
  ports: ports.map(({ hostPort }) => hostPort),
});

/** What the host has, all sandboxes aside. */
async function host(): Promise<unknown> {
  const { daemon, host, rules } = world;
  const stored = (name: string): string[] => readdirSync(join(daemon.stateDir, name));
  return {
    links: (await host.links()).map(({ ifname }) => ifname).sort(),
    rules: await rules(),
    listening: await host.must(["ss", "-Hlntu"]),
    files: [stored("netns"), stored("sandboxes")],
    mounts: namespaceMounts(daemon.stateDir),
  };
}

async function check(): Promise<void> {
  const { daemon } = world;
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  for (const slot of slots.flat()) {
    const found = sandboxes.filter(({ name }) => name === slot.base || name === `${slot.base}r`).map(boxOf);
    expect(found.length).toBeLessThan(2);
    const either = slot.asked === undefined ? [slot.acknowledged] : [slot.acknowledged, slot.asked];
    expect(either, slot.base).toContainEqual(found[0] ?? null);
    slot.acknowledged = found[0] ?? null;
    delete slot.asked;
  }
  const addresses = sandboxes.flatMap(({ endpoints }) => endpoints.flatMap(({ endpoint }) => [endpoint!.ipv4, endpoint!.ipv6]));
  expect(new Set(addresses).size).toBe(addresses.length);
  expect(namespaceMounts(daemon.stateDir).sort()).toEqual(sandboxes.map(({ namespacePath }) => namespacePath).sort());
  for (const { name, namespacePath, endpoints } of sandboxes) {
    const text = await new Host(namespacePath).must(["ip", "-json", "address", "show", "scope", "global"]);
    const inside = (JSON.parse(text) as { addr_info: { local?: string; prefixlen: number }[] }[])
      .flatMap(({ addr_info }) => addr_info)
      .flatMap(({ local, prefixlen }) => (local === undefined ? [] : [`${local}/${prefixlen}`]));
    expect(inside.sort(), name).toEqual(endpoints.flatMap(({ endpoint }) => [endpoint!.ipv4, endpoint!.ipv6]).sort());
  }
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
  await daemon.law();
}

test("killed while many change things: what was acknowledged is so, what was asked for is or is not", async () => {
  const { daemon } = world;
  // One of each first, for what is there from then on.
  await daemon.must("sandbox", "create", "--network", "n1", "-p", "19999:80", "first");
  await daemon.must("sandbox", "rm", "first");
  const before = await host();
  const chance = random(SEED);
  for (let kill = 0; kill < KILLS; kill++) {
    const clients = slots.map((own) => work(own, random(chance.below(2 ** 31))));
    await pause(200 + chance.below(800)); // a moment within, whichever it is
    await daemon.kill9();
    await Promise.all(clients);
    await daemon.start();
    await check().catch((error: Error) => {
      throw new Error(`after kill ${kill + 1} of seed ${SEED}: ${error.message}`, { cause: error });
    });
  }
  expect(slots.flat().filter(({ acknowledged }) => acknowledged !== null).length).toBeGreaterThan(0);
  for (const { id } of (await daemon.api.call("sandbox", "List", {})).sandboxes)
    await daemon.api.call("sandbox", "Remove", { sandbox: id });
  expect(await host()).toEqual(before);
});
