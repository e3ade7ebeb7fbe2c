// Keys change under load: two hosts, a stream of numbered datagrams each way, bulk TCP beside it, and a new association ten
// times a second, made before the former one is broken. No datagram is lost, none comes twice, nothing is taken for a replay.
//
// WEFT_ROTATION_S sets how long (`npm run nightly`: a minute), once a second then.
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AssociationDeclaration } from "../../src/datapath/declarations.ts";
import { declared, drops, type EspEnd, espEnd, testAssociation } from "../support/esp-hosts.ts";
import { type Background, type Host, Lab } from "../support/hosts.ts";
import { servers, transfer } from "../support/traffic.ts";

const SECONDS = Number(process.env.WEFT_ROTATION_S ?? 5);
const TURN_MS = SECONDS > 10 ? 1000 : 100;
const OUTER = ["10.9.0.1", "10.9.0.2"] as const;
const INNER = ["10.46.0.2", "10.46.0.3"] as const;
const PROGRAM = ["/usr/bin/python3", fileURLToPath(new URL("../support/numbered.py", import.meta.url))];

const lab = new Lab();
let ends: [EspEnd, EspEnd];

beforeAll(async () => {
  const hosts = [await lab.host("a"), await lab.host("b")] as [Host, Host];
  await lab.wire([hosts[0], "up0", `${OUTER[0]}/24`], [hosts[1], "up0", `${OUTER[1]}/24`]);
  const end = (i: 0 | 1): Promise<EspEnd> =>
    espEnd(lab, {
      host: hosts[i],
      name: `${"ab"[i]}`,
      addresses: [OUTER[i]],
      peers: [OUTER[1 - i]!],
      inner: [`${INNER[i]}/24`],
      mac: `02:42:0a:2e:00:0${i + 2}`,
      mtuBytes: 1400,
    });
  ends = [await end(0), await end(1)];
  await servers(lab, ends[1].sandbox);
});
afterAll(() => lab.dispose());

/** The association of a turn by which host `from` sends. */
const at = (turn: number, from: 0 | 1) => testAssociation(0xe0000000 + 2 * turn + from, { algorithm: "aes-256-gcm" });

/** What a host has in a turn: it may receive by the turn before, this one and the next; it sends by `sends`. */
function associations(host: 0 | 1, turn: number, sends: number): AssociationDeclaration[] {
  const other = (1 - host) as 0 | 1;
  const turns = [turn - 1, turn, turn + 1].filter((one) => one >= 0);
  return [
    ...turns.map((one) => declared(at(one, other), "in", OUTER[other], { notify: false })),
    declared(at(sends, host), "out", OUTER[other]),
  ];
}

async function turnTo(turn: number): Promise<void> {
  // Both can receive by the new keys before either sends by them.
  for (const sends of [Math.max(0, turn - 1), turn])
    await Promise.all(
      ([0, 1] as const).map((host) => ends[host].datapath.declare("keys", { associations: associations(host, turn, sends) })),
    );
}

/** Waits for the stream's own account: numbers sent, lost and doubled. */
async function account(receiver: Background): Promise<{ received: number; lost: number; doubled: number }> {
  const [, received, lost, doubled] = await receiver.until(/received (\d+) lost (\d+) doubled (\d+)/, 20_000);
  return { received: Number(received), lost: Number(lost), doubled: Number(doubled) };
}

test(`for ${SECONDS} s, every ${TURN_MS} ms`, { timeout: 60_000 + SECONDS * 3000 }, async () => {
  await turnTo(0);
  expect(await ends[0].sandbox.ping(INNER[1])).toBe(3);
  const receivers = ends.map(({ sandbox }) => lab.background(sandbox, [...PROGRAM, "receive", "7000"]));
  await Promise.all(receivers.map((receiver) => receiver.until(/listening/)));
  const senders = ends.map(({ sandbox }, i) => lab.background(sandbox, [...PROGRAM, "send", INNER[1 - i]!, "7000", String(SECONDS)]));
  let over = false;
  const bulk = (async () => {
    let moved = 0;
    for (; !over; moved += 20) await transfer(ends[0].sandbox, INNER[1], 20);
    return moved;
  })();
  let turn = 0;
  const rotation = (async () => {
    for (const until = Date.now() + SECONDS * 1000; Date.now() < until; ) {
      const next = Date.now() + TURN_MS;
      await turnTo(++turn);
      await new Promise((resolve) => setTimeout(resolve, next - Date.now()));
    }
  })();
  const sent = (await Promise.all(senders.map((sender) => sender.until(/sent (\d+)/, SECONDS * 3000 + 20_000)))).map(([, n]) => Number(n));
  await rotation;
  over = true;
  expect(await bulk).toBeGreaterThan(0);
  expect(turn).toBeGreaterThan((SECONDS * 1000) / TURN_MS / 4);
  const accounts = await Promise.all(receivers.map(account));
  expect(accounts).toEqual([1, 0].map((from) => ({ received: sent[from], lost: 0, doubled: 0 })));
  for (const { datapath } of ends) {
    expect((await datapath.stats()).lawDifference).toBe(0n);
    expect(Object.keys(await drops(datapath)).filter((name) => name.startsWith("esp-") && name !== "esp-no-sa")).toEqual([]);
    for (const entry of await datapath.dumpAssociations()) expect(entry).toMatchObject({ replayed: 0n, late: 0n, forged: 0n });
  }
});
