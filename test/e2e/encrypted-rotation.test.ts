// Two daemons whose keys are rotated by hand, now by one, now by the other, while numbered datagrams cross both ways at a rate
// that is asked for and measured where they arrive. None is lost, none comes twice, none is taken for a replay.
//
// WEFT_ROTATION_S sets how long. `npm run nightly`: a minute of 1 Gbit/s, a rotation a second. `npm test`: some seconds of what a
// machine with other work carries as well, and faster rotations.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { type Daemon, eventually } from "../support/daemon.ts";
import { ADDRESSES, type EncryptedHosts, encryptedHosts } from "../support/encrypted-hosts.ts";
import { type Host, Lab, must } from "../support/hosts.ts";

const SECONDS = Number(process.env.WEFT_ROTATION_S ?? 5);
const isLong = SECONDS > 10;
const TURN_MS = isLong ? 1000 : 250;
const RATE_GBPS = isLong ? 1 : 0.3;
/** The other way: enough that every key seals something. */
const BACK_GBPS = RATE_GBPS / 10;
/** Whole packets of the network's MTU, 1408. */
const BYTES = 1380;
const SENDER = join(ROOT, "build/sender/release/weft-sender");
const PORT = "7801";
const PREFERRED = isLong ? ["chrt", "--rr", "1"] : [];

const lab = new Lab();
let all: EncryptedHosts;

/** Before other work of the machine, which is not what is measured: all threads that a program has. */
async function prefer(pid: number): Promise<void> {
  for (const thread of readdirSync(`/proc/${pid}/task`)) await must(["chrt", "--rr", "--pid", "1", thread]);
}

beforeAll(async () => {
  all = await encryptedHosts(lab, "ipv4");
  if (isLong) await Promise.all([all.a, all.b].map(({ pid }) => prefer(pid)));
});
afterAll(() => lab.dispose());

interface Account {
  readonly sent: number;
  readonly refused: number;
  readonly received: number;
  readonly doubled: number;
  /** Of payload, at the receiver. */
  readonly gbps: number;
}

/** Sends from one sandbox to the other; resolves when nothing more comes. */
async function stream(from: Host, to: Host, address: string, gbps: number): Promise<Account> {
  const sink = lab.background(to, [...PREFERRED, SENDER, "sink", address, PORT, String(BYTES)]);
  await sink.until(/ready/);
  const rate = String((gbps * 1e9) / 8 / BYTES);
  const train = await from.must([...PREFERRED, SENDER, "train", address, PORT, String(BYTES), String(SECONDS), rate], {
    timeoutMs: SECONDS * 2000 + 10_000,
  });
  const { sent, refused } = JSON.parse(train);
  sink.child.stdin!.end();
  await sink.ended;
  const { received, doubled, seconds } = JSON.parse(/\{.*\}/.exec(sink.stdout)![0]);
  return { sent, refused, received, doubled, gbps: (received * BYTES * 8) / seconds / 1e9 };
}

async function indexOf(daemon: Daemon): Promise<number> {
  return Number((await daemon.api.call("key", "List", {})).peers[0]!.index);
}

/** Where datagrams end: by reason of either engine, and for want of room in sockets. */
async function losses(daemon: Daemon): Promise<Record<string, number>> {
  const full = (await daemon.host.must(["awk", "/^Udp: [0-9]/ { print $6 }", "/proc/net/snmp"])).trim();
  return { ...(await daemon.drops()), "socket-full": Number(full) };
}

/** Those that have grown. */
const grown = (before: Record<string, number>, after: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(after).flatMap(([name, count]) => (count > before[name]! ? [[name, count - before[name]!]] : [])));

test(`${RATE_GBPS} Gbit/s for ${SECONDS} s, new keys every ${TURN_MS} ms`, { timeout: 60_000 + SECONDS * 3000 }, async () => {
  const { a, b, sandboxes } = all;
  await eventually("they talk", async () => (await sandboxes.sa.ping(ADDRESSES.sb[0], ["-W", "1"], 1)) === 1, 15_000);
  const first = await indexOf(a);
  const before = await Promise.all([a, b].map(losses));
  let over = false;
  const rotating = (async () => {
    let turns = 0;
    for (let next = Date.now(); !over; turns++) {
      const index = await indexOf(a);
      await [a, b][turns % 2]!.api.call("key", "Rotate", {});
      await eventually("both have new keys", async () => (await indexOf(a)) > index && (await indexOf(b)) === (await indexOf(a)));
      next = Math.max(next + TURN_MS, Date.now());
      await pause(next - Date.now());
    }
    return turns;
  })();
  const [there, back] = await Promise.all([
    stream(sandboxes.sa, sandboxes.sb, ADDRESSES.sb[0], RATE_GBPS),
    stream(sandboxes.sb, sandboxes.sa, ADDRESSES.sa[0], BACK_GBPS),
  ]);
  over = true;
  const turns = await rotating;
  const after = await Promise.all([a, b].map(losses));
  const lost = [0, 1].map((i) => grown(before[i]!, after[i]!));
  if (isLong) console.log(JSON.stringify({ turns, there, back, lost }));
  expect({ there, back, lost }).toMatchObject({
    there: { refused: 0, received: there.sent, doubled: 0 },
    back: { refused: 0, received: back.sent, doubled: 0 },
  });
  expect(there.gbps).toBeGreaterThan(0.95 * RATE_GBPS);
  expect(back.gbps).toBeGreaterThan(0.95 * BACK_GBPS);
  expect(turns).toBeGreaterThan((0.8 * SECONDS * 1000) / TURN_MS);
  expect((await indexOf(a)) - first).toBeGreaterThanOrEqual(turns);
  // Of associations that are gone, too: what they refused is counted by reason.
  for (const [i, daemon] of [a, b].entries()) {
    const refused = Object.keys(lost[i]!).filter((name) => name.startsWith("esp-") && name !== "esp-dummy"); // by which keys are told of
    expect(refused).toEqual([]);
    await daemon.law();
    for (const { replayed, late, forged } of (await daemon.api.call("key", "Associations", {})).associations)
      expect({ replayed, late, forged }).toEqual({ replayed: "0", late: "0", forged: "0" });
  }
});
