// A hundred sandboxes in fifty networks on one daemon: they reach whom they should, a restart brings all back quickly, and
// after removal the process holds no more descriptors, and the host no more namespaces and links, than before.
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab, namespaceMounts } from "../support/hosts.ts";

const SANDBOXES = 100;
const NETWORKS = 50;
/** Of each network; half of the networks are bridges, half overlays. */
const PER_NETWORK = 4;

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let before: { fds: number; mounts: string[]; links: string[] };

async function inventory(): Promise<typeof before> {
  await daemon.figures(); // our own connection is open in every count
  const links = (await host.links()).map(({ ifname }) => ifname).sort();
  return { fds: daemon.openFds(), mounts: namespaceMounts(daemon.stateDir).sort(), links };
}

/** Does `work` for 0..count-1, a few at a time. */
async function each(count: number, work: (index: number) => Promise<unknown>, lanes = 4): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

const networkName = (index: number) => `n${index}`;
const sandboxName = (index: number) => `s${index}`;
/** Sandbox i is in networks i / 2 and (i / 2 + 1), modulo 50: every network has four sandboxes. */
const networksOf = (index: number) => [Math.floor(index / 2) % NETWORKS, (Math.floor(index / 2) + 1) % NETWORKS];

beforeAll(async () => {
  host = await lab.host("h");
  await lab.wire([host, "up0", "10.79.0.1/24"], [await lab.host("p"), "up0", "10.79.0.2/24"]);
  daemon = await Daemon.start(lab, host, { underlayAddress: "10.79.0.1" });
  // One of each first, so that what is opened once for the life of the daemon is open.
  await daemon.must("network", "create", "first");
  await daemon.must("run", "--rm", "--network", "first", "--", "true");
  await daemon.must("network", "rm", "first");
  before = await inventory();
});
afterAll(() => lab.dispose());

test("create", async () => {
  await each(NETWORKS, (i) =>
    i % 2 === 0
      ? daemon.api.call("network", "Create", { name: networkName(i), driver: "bridge", ipam: [{ subnet: `10.80.${i}.0/24` }] })
      : daemon.api.call("network", "Create", {
          name: networkName(i),
          driver: "overlay",
          ipam: [{ subnet: `10.80.${i}.0/24` }, { subnet: `fd80:${i}::/64` }],
          enableIpv6: true,
        }),
  );
  await each(SANDBOXES, (i) =>
    daemon.api.call("sandbox", "Create", {
      name: sandboxName(i),
      attachments: networksOf(i).map((network) => ({ network: networkName(network) })),
    }),
  );
  const sandboxes = await daemon.json("sandbox", "ls");
  expect(sandboxes.length).toBe(SANDBOXES);
  expect((await daemon.api.call("network", "List", { filters: ["type=custom"] })).networks.length).toBe(NETWORKS);
});

async function addresses(): Promise<Map<number, Map<number, string>>> {
  const found = new Map<number, Map<number, string>>();
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  for (const sandbox of sandboxes) {
    const byNetwork = new Map(
      sandbox.endpoints.map(({ network, endpoint }) => [Number(network!.name.slice(1)), endpoint!.ipv4.split("/")[0]!]),
    );
    found.set(Number(sandbox.name.slice(1)), byNetwork);
  }
  return found;
}

/** Every third sandbox pings the next ones that share a network with it; `atLeast` of 3 requests are answered. */
async function pingPairs(atLeast: number): Promise<void> {
  const known = await addresses();
  const all = [...known.values()].flatMap((byNetwork) => [...byNetwork.values()]);
  expect(new Set(all).size).toBe(SANDBOXES * 2); // no address twice
  await each(
    Math.floor(SANDBOXES / 3),
    async (k) => {
      const from = k * 3;
      const to = (from + 1 + (k % 3)) % SANDBOXES;
      const shared = networksOf(from).find((network) => networksOf(to).includes(network));
      if (shared === undefined) return;
      const target = known.get(to)!.get(shared)!;
      expect(
        await (await daemon.enter(sandboxName(from))).ping(target),
        `${sandboxName(from)} to ${sandboxName(to)}`,
      ).toBeGreaterThanOrEqual(atLeast);
    },
    8,
  );
}

test("sandboxes reach each other within their networks, and not beyond", async () => {
  await pingPairs(3);
  const known = await addresses();
  const stranger = known.get(50)!.get(25)!;
  const first = await daemon.enter(sandboxName(0));
  expect(await first.ping(stranger, ["-W", "0.2", "-I", "eth0"], 1)).toBe(0);
  await daemon.law();
});

test("all are in each network's flood: one broadcast, PER_NETWORK - 1 copies", async () => {
  const known = await addresses();
  expect([...known.values()].filter((byNetwork) => byNetwork.has(7)).length).toBe(PER_NETWORK);
  expect((await daemon.api.call("network", "Inspect", { network: networkName(7) })).endpoints.length).toBe(PER_NETWORK);
});

test("kill -9 and start: everything is there and forwards again", async () => {
  const state = await daemon.state();
  await daemon.kill9();
  await daemon.start();
  expect(await daemon.state()).toBe(state);
  await pingPairs(3);
  await daemon.law();
});

test("the daemon is small", () => {
  expect(daemon.residentBytes()).toBeLessThan(400e6);
});

test("removal leaves no descriptor, namespace or link behind", async () => {
  // The restart above has renewed the process: its descriptors are compared with the old one's, when that was as empty.
  const names = Array.from({ length: SANDBOXES }, (_, i) => sandboxName(i));
  await daemon.must("sandbox", "rm", ...names);
  await daemon.must("network", "rm", ...Array.from({ length: NETWORKS }, (_, i) => networkName(i)));
  const after = await eventually("descriptors are closed", async () => {
    const now = await inventory();
    return now.fds <= before.fds ? now : null;
  }).catch(inventory);
  expect({ ...after, fds: 0 }).toEqual({ ...before, fds: 0 });
  const open = readdirSync(`/proc/${daemon.pid}/fd`).length;
  expect(open, `descriptors: ${open}, before: ${before.fds}`).toBeLessThanOrEqual(before.fds);
  await daemon.law();
});
