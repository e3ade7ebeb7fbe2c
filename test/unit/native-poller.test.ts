// The poller against the kernel: frames and datagrams through a memory, in both directions; limits, refusals, failures.

import { readdirSync, readlinkSync } from "node:fs";
import { constants } from "node:os";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { ADDON_PATH } from "../../src/paths.ts";
import type { UdpOptions } from "../../src/ports/native.ts";
import { native } from "../../src/ports/native.ts";
import * as abi from "../../wasm/shared/abi.ts";
import { testNamespaces } from "../support/namespaces.ts";
import type { Received } from "../support/poller-rig.ts";
import { PollerRig, RIG_LAYOUT } from "../support/poller-rig.ts";

const { EAGAIN, EAFNOSUPPORT, EFAULT, EINVAL, EIO, EMSGSIZE, ENODEV, ENXIO } = constants.errno;

const namespaces = testNamespaces();
const rigs: { rig: PollerRig; ports: number[] }[] = [];
afterEach(async () => {
  await Promise.all(rigs.splice(0).flatMap(({ rig, ports }) => ports.map((port) => rig.poller.remove(port))));
  await Promise.all(opened.splice(0).map((fd) => native().closeFd(fd)));
  await namespaces.removeAll();
});

/** "socket:[4711]"; null: it was closed meanwhile. */
function targetOf(fd: number | string): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

function newRig(ports: number[], rig = new PollerRig()): PollerRig {
  rigs.push({ rig, ports });
  return rig;
}

/** Descriptors of ours, whatever pollers have of them. */
const opened: number[] = [];

async function udp(namespace: string | null, address: string, change: Partial<UdpOptions> = {}): Promise<number> {
  const fd = await native().openUdp({
    namespace,
    address,
    port: 4789,
    gro: true,
    packetInfo: true,
    reusePort: false,
    receiveBufferBytes: 4194304,
    sendBufferBytes: 4194304,
    ...change,
  });
  opened.push(fd);
  return fd;
}

const MAC = "02:42:0a:09:00:02";

/** A TAP that is up, with 10.9.0.2/24 and fd00:9::2/64. */
async function tapIn(namespace: string, name = "eth0"): Promise<number> {
  const fd = await native().openTap({ namespace, name, persist: false, offloads: true });
  opened.push(fd);
  await native().writeSysctls(namespace, { [`net/ipv6/conf/${name}/accept_dad`]: "0" });
  await native().configureInterface(namespace, { name, mac: MAC, addresses: ["10.9.0.2/24", "fd00:9::2/64"], up: true });
  return fd;
}

const mapped = (text: string): string =>
  `00000000000000000000ffff${text
    .split(".")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join("")}`;
const LOOPBACK_6 = "00000000000000000000000000000001";

/** vnet_hdr, Ethernet, IPv4, UDP (checksum 0) from 10.9.0.1:9 to 10.9.0.2:4789. */
function udpFrame(payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(abi.VNET_HEADER_LENGTH + 14 + 20 + 8 + payload.length);
  let at = abi.VNET_HEADER_LENGTH;
  Buffer.from("02420a09000202420a0900010800", "hex").copy(frame, at);
  at += 14;
  const ip = Buffer.from("4500000000004000401100000a0900010a090002", "hex");
  ip.writeUInt16BE(28 + payload.length, 2);
  let sum = 0;
  for (let index = 0; index < 20; index += 2) sum += ip.readUInt16BE(index);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  ip.writeUInt16BE(~sum & 0xffff, 10);
  ip.copy(frame, at);
  at += 20;
  frame.writeUInt16BE(9, at);
  frame.writeUInt16BE(4789, at + 2);
  frame.writeUInt16BE(8 + payload.length, at + 4);
  Buffer.from(payload).copy(frame, at + 8);
  return frame;
}

const bytes = (length: number, start = 0): Buffer => Buffer.from(Array.from({ length }, (_, index) => (index * 7 + start) & 0xff));

describe("a TAP", () => {
  it("takes a frame in pieces, which reaches a socket of its namespace, whose answer comes out again", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0")]);

    const frame = udpFrame(bytes(1000));
    const parts = [frame.subarray(0, 10), frame.subarray(10, 52), frame.subarray(52)];
    expect(rig.send([{ port: 3, parts }])).toEqual([0]);
    const inside = rig.receiveUntil((received) => received.port === 4);
    expect(inside).toMatchObject({ segment: 0, flags: 0, sender: mapped("10.9.0.1"), senderPort: 9, local: mapped("10.9.0.2") });
    expect(inside.bytes).toEqual(bytes(1000));

    // The socket's answer needs 10.9.0.1's MAC first: the TAP asks for it.
    expect(rig.send([{ port: 4, parts: [bytes(100)], destination: mapped("10.9.0.1"), destinationPort: 9 }])).toEqual([0]);
    const question = rig.receiveUntil((received) => received.port === 3 && received.bytes.readUInt16BE(22) === 0x0806);
    expect(question.bytes.subarray(10, 16).toString("hex")).toBe("ffffffffffff");
    const answer = Buffer.alloc(52);
    Buffer.from("02420a09000202420a0900010806000108000604000202420a0900010a09000102420a0900020a090002", "hex").copy(answer, 10);
    expect(rig.send([{ port: 3, parts: [answer] }])).toEqual([0]);
    const out = rig.receiveUntil((received) => received.port === 3 && received.bytes.readUInt16BE(22) === 0x0800);
    expect(out.bytes.subarray(-100)).toEqual(bytes(100));
    expect(out.bytes.length).toBe(10 + 14 + 28 + 100);
  });

  it("passes a burst in order, several polls long", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0", { gro: false })]);
    const sent = Array.from({ length: 200 }, (_, index) => bytes(20, index));
    expect(rig.send(sent.map((payload) => ({ port: 3, parts: [udpFrame(payload)] })))).toEqual(sent.map(() => 0));
    const received: Buffer[] = [];
    while (received.length < 200) {
      const batch = rig.receive(1000).filter((found) => found.port === 4);
      expect(batch.length).toBeLessThanOrEqual(RIG_LAYOUT.perUnderlay);
      received.push(...batch.map((found) => found.bytes));
    }
    expect(received).toEqual(sent);
  });

  it("refuses frames while it is down, and is as good as new when it is up again", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0")]);
    await native().configureInterface(namespace, { name: "eth0", up: false });
    expect(rig.send([{ port: 3, parts: [udpFrame(bytes(10))] }])).toEqual([EIO]);
    for (let turn = 0; turn < 50; turn++) rig.receive(0);
    const before = rig.poller.stats();
    rig.receive(50);
    expect(rig.poller.stats().sleeps).toBe(before.sleeps + 1);
    expect(rig.poller.failed()).toEqual([]);
    await native().configureInterface(namespace, { name: "eth0", up: true });
    expect(rig.send([{ port: 3, parts: [udpFrame(bytes(10))] }])).toEqual([0]);
    expect(rig.receiveUntil((received) => received.port === 4).bytes).toEqual(bytes(10));
    expect(rig.poller.stats().sendErrors).toEqual({ EIO: 1 });
  });

  it("keeps its namespace alive when the namespace's path is deleted", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0")]);
    await native().deleteNamespace(namespace);
    expect(rig.send([{ port: 3, parts: [udpFrame(bytes(10))] }])).toEqual([0]);
    expect(rig.receiveFrom(4, 1)[0]?.bytes).toEqual(bytes(10));
    expect(rig.poller.failed()).toEqual([]);
  });

  it("is muted and told once when its interface is deleted, and the others go on", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 5, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addTap(5, await native().openTap({ namespace, name: "eth1", persist: true, offloads: false }));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0")]);
    await native().deleteLink(namespace, "eth1");
    rig.receive(1000);
    rig.receive(0);
    expect(rig.poller.failed()).toEqual([{ port: 5, error: "EBADFD" }]);
    expect(rig.poller.failed()).toEqual([]);
    expect(rig.send([{ port: 5, parts: [udpFrame(bytes(10))] }])).toEqual([ENODEV]);
    expect(rig.send([{ port: 3, parts: [udpFrame(bytes(10))] }])).toEqual([0]);
    expect(rig.receiveUntil((received) => received.port === 4).bytes).toEqual(bytes(10));
    const sleeps = rig.poller.stats().sleeps;
    while (rig.receive(20).length > 0);
    expect(rig.poller.stats().sleeps - sleeps).toBeLessThan(10);
  });
});

describe("an underlay port", () => {
  it.each([
    ["127.0.0.1", mapped("127.0.0.1")],
    ["::1", LOOPBACK_6],
  ])("sends a train of datagrams as one, and receives it as one: %s", async (address, peer) => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 2]);
    rig.poller.addUdp(1, [await udp(namespace, address)]);
    rig.poller.addUdp(2, [await udp(namespace, address, { port: 4790 })]);
    const payload = bytes(10_000);
    const parts = [payload.subarray(0, 50), payload.subarray(50, 1450), payload.subarray(1450)];
    expect(rig.send([{ port: 1, parts, segment: 1450, destination: peer, destinationPort: 4790 }])).toEqual([0]);
    const train = rig.receiveUntil((received) => received.port === 2);
    expect(train).toMatchObject({ segment: 1450, sender: peer, senderPort: 4789, local: peer, flags: 0 });
    expect(train.bytes).toEqual(payload);
    expect(rig.poller.stats().sendCalls).toBe(1);
  });

  it("sends many descriptors by one call, others' in between or not, and by the socket chosen", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 2, 3]);
    const sources = [4789, 5001, 5002];
    rig.poller.addUdp(1, await Promise.all(sources.map((port) => udp(namespace, "127.0.0.1", { port }))));
    rig.poller.addUdp(2, [await udp(namespace, "127.0.0.1", { port: 4790 })]);
    rig.poller.addTap(3, await tapIn(namespace));
    const to = { port: 1, destination: mapped("127.0.0.1"), destinationPort: 4790 };
    rig.send([
      { ...to, parts: [bytes(9, 0)] },
      { port: 3, parts: [udpFrame(bytes(5))] },
      { ...to, parts: [] },
      { ...to, parts: [bytes(9, 1)] },
    ]);
    expect(rig.poller.stats().sendCalls).toBe(2);
    const seen = rig.receiveFrom(2, 2).map((received) => received.bytes[0]);
    expect(seen).toEqual([0, 1]);

    expect(rig.send([0, 1, 2, 3, 4].map((socket) => ({ ...to, socket, parts: [bytes(4)] })))).toEqual([0, 0, 0, 0, 0]);
    const ports = rig.receiveFrom(2, 5).map((received) => received.senderPort);
    expect(ports.sort()).toEqual([5001, 5001, 5001, 5002, 5002]);
  });

  it("marks what the kernel refuses and goes on", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 2]);
    rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1")]);
    rig.poller.addUdp(2, [await udp(namespace, "127.0.0.1", { port: 4790 })]);
    const good = { port: 1, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort: 4790 };
    const errnos = rig.send([
      good,
      { ...good, destination: LOOPBACK_6 },
      { ...good, parts: [bytes(2000)], segment: 10 }, // 200 segments, more than any kernel takes
      { ...good, parts: [new Uint8Array(65_536)] },
      { ...good, parts: [bytes(10)], segment: 70_000 },
      { ...good, destination: mapped("203.0.113.1") },
      good,
    ]);
    expect(errnos[0]).toBe(0);
    expect(errnos[1]).toBe(EAFNOSUPPORT);
    expect([EINVAL, EMSGSIZE]).toContain(errnos[2]);
    expect(errnos[3]).toBe(EMSGSIZE);
    expect(errnos[4]).toBe(EMSGSIZE);
    expect(errnos[5]).not.toBe(0);
    expect(errnos[6]).toBe(0);
    expect(rig.receiveFrom(2, 2).map((received) => received.bytes.length)).toEqual([10, 10]);
    expect(Object.values(rig.poller.stats().sendErrors).reduce((sum, count) => sum + count)).toBe(5);
  });

  it("accepts datagrams over IPv6 that have no checksum", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([3, 4]);
    rig.poller.addTap(3, await tapIn(namespace));
    rig.poller.addUdp(4, [await udp(namespace, "::")]);
    const headers =
      "02420a09000202420a09000186dd" + "60000000000c1140" + "fd000009000000000000000000000001fd000009000000000000000000000002";
    const frame = Buffer.concat([Buffer.alloc(10), Buffer.from(`${headers}000912b5000c0000`, "hex"), bytes(4)]);
    // The kernel begins to deliver to a new IPv6 address a little later, by a work queue of its own.
    let received: Received | undefined;
    for (let attempt = 0; attempt < 100 && received === undefined; attempt++) {
      expect(rig.send([{ port: 3, parts: [frame] }])).toEqual([0]);
      received = rig.receive(20).find(({ port }) => port === 4);
    }
    expect(received).toMatchObject({
      sender: "fd000009000000000000000000000001",
      local: "fd000009000000000000000000000002",
      senderPort: 9,
    });
    expect(received?.bytes).toEqual(bytes(4));
  });

  it("lets IPv4 and IPv6 listen on one port side by side", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 2]);
    rig.poller.addUdp(1, [await udp(namespace, "0.0.0.0")]);
    rig.poller.addUdp(2, [await udp(namespace, "::")]);
    rig.send([
      { port: 1, parts: [bytes(4)], destination: mapped("127.0.0.1"), destinationPort: 4789 },
      { port: 2, parts: [bytes(6)], destination: LOOPBACK_6, destinationPort: 4789 },
    ]);
    const found = [1, 2]
      .flatMap((port) => rig.receiveFrom(port, 1))
      .map((received) => [received.port, received.bytes.length, received.local]);
    expect(found).toEqual([
      [1, 4, mapped("127.0.0.1")],
      [2, 6, LOOPBACK_6],
    ]);
  });
});

describe("the memory", () => {
  it("is left alone outside the offsets that are right", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 3]);
    rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1")]);
    rig.poller.addTap(3, await tapIn(namespace));
    const end = rig.memory.length;
    rig.setIovec(0, end - 10, 11);
    rig.setIovec(1, 0xffffffff, 0xffffffff);
    rig.setIovec(2, 0xfffffff0, 0x20);
    rig.setIovec(3, end, 1);
    rig.setIovec(4, 0x20000, 10);
    const attempts = [
      ...[0, 1, 2, 3].flatMap((iovec) => [1, 3].map((port) => ({ port, iovec, iovecs: 1, destinationOffset: 0x1000, errno: EFAULT }))),
      { port: 1, iovec: 4, iovecs: 1, destinationOffset: end - 15, errno: EFAULT },
      { port: 1, iovec: 4, iovecs: 1, destinationOffset: 0xffffffff, errno: EFAULT },
      { port: 3, iovec: RIG_LAYOUT.iovecCount, iovecs: 1, errno: EINVAL },
      { port: 3, iovec: 0xffffffff, iovecs: 0xffffffff, errno: EINVAL },
      { port: 3, iovec: 4, iovecs: RIG_LAYOUT.iovecCount, errno: EINVAL },
      { port: 3, iovec: 0, iovecs: 1025, errno: EMSGSIZE },
      { port: 9, iovec: 4, iovecs: 1, errno: ENXIO },
      { port: 0xffff, iovec: 4, iovecs: 1, errno: ENXIO },
    ];
    attempts.forEach((attempt, index) => {
      rig.setDescriptor(index, attempt);
    });
    expect(rig.poller.flush(attempts.length)).toBe(attempts.length);
    expect(attempts.map((_, index) => rig.errno(index))).toEqual(attempts.map((attempt) => attempt.errno));
    // More than the ring holds is the ring.
    for (let index = 0; index < RIG_LAYOUT.txRingCount; index++) rig.setDescriptor(index, { port: 9, iovec: 0, iovecs: 1 });
    expect(rig.poller.flush(0xffffffff)).toBe(RIG_LAYOUT.txRingCount);
  });

  it("is never written past the arena, however little of it there is", async () => {
    const namespace = await namespaces.create("a");
    const tail = 4096;
    const layout = { ...RIG_LAYOUT, arena: 0x100010, arenaBytes: 2 * 65_800, tailroomBytes: 64, rxRingCount: 3 };
    const buffer = new ArrayBuffer(layout.arena + layout.arenaBytes + tail);
    const rig = newRig([1, 2], new PollerRig(buffer, layout));
    rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1", { gro: false })]);
    rig.poller.addUdp(2, [await udp(namespace, "127.0.0.1", { port: 4790, gro: false })]);
    rig.memory.fill(0xaa, layout.arena + layout.arenaBytes - layout.tailroomBytes);
    const to = { port: 1, destination: mapped("127.0.0.1"), destinationPort: 4790 };
    expect(rig.send(Array.from({ length: 6 }, () => ({ ...to, parts: [new Uint8Array(60_000)] })))).toEqual([0, 0, 0, 0, 0, 0]);
    let received = 0;
    while (received < 6) {
      const batch = rig.receive(1000);
      expect(batch.length).toBeGreaterThan(0);
      expect(batch.length).toBeLessThanOrEqual(2);
      received += batch.length;
    }
    expect(rig.memory.subarray(layout.arena + layout.arenaBytes - layout.tailroomBytes).every((byte) => byte === 0xaa)).toBe(true);
  });

  it.each([
    ["a ring outside", { rxRing: 0x400000 - 16 }, /rxRing/],
    ["a ring that wraps", { txRingCount: 0xffffffff }, /txRing/],
    ["iovecs outside", { iovecs: 0xffffffff }, /iovecs/],
    ["an arena outside", { arenaBytes: 0x400000 }, /arena/],
    ["an arena too small for a frame", { arenaBytes: 65_600 }, /arenaBytes 65600/],
    ["no room for the sender", { headroomBytes: 32 }, /headroomBytes 32 is less than 64/],
    ["an empty ring", { rxRingCount: 0 }, /rxRing/],
    ["no share for a TAP", { perTap: 0 }, /perTap/],
  ])("is refused with %s", (_, change, message) => {
    expect(() => new PollerRig(undefined, { ...RIG_LAYOUT, ...change })).toThrow(message);
  });

  it("must be attached, and stay", () => {
    const poller = new (native().Poller)();
    expect(() => poller.poll(0)).toThrow(/^poll before attach: EINVAL/);
    expect(() => poller.flush(1)).toThrow(/^flush before attach: EINVAL/);
    const buffer = new ArrayBuffer(0x400000);
    const rig = new PollerRig(buffer);
    expect(rig.poller.poll(0)).toBe(0);
    structuredClone(buffer, { transfer: [buffer] });
    expect(() => rig.poller.poll(0)).toThrow(/EFAULT/);
    expect(() => rig.poller.flush(1)).toThrow(/EFAULT/);
    rig.poller.attach(new Uint8Array(new SharedArrayBuffer(0x400000)), RIG_LAYOUT);
    expect(rig.poller.poll(0)).toBe(0);
  });

  it("may be WebAssembly's, shared or not", async () => {
    const namespace = await namespaces.create("a");
    for (const shared of [false, true]) {
      const rig = newRig([1], new PollerRig(new WebAssembly.Memory({ initial: 64, maximum: 64, shared }).buffer));
      rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1", { reusePort: true })]);
      rig.send([{ port: 1, parts: [bytes(100)], destination: mapped("127.0.0.1"), destinationPort: 4789 }]);
      expect(rig.receive(1000)[0]?.bytes).toEqual(bytes(100));
      await rig.poller.remove(1);
      await native().closeFd(opened.pop()!);
    }
  });
});

describe("ports", () => {
  it("are added once, removed and released, and have duplicates of their descriptors", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1, 2]);
    const fds = await Promise.all([4789, 4790].map((port) => udp(namespace, "127.0.0.1", { port })));
    rig.poller.addUdp(1, fds);
    expect(() => rig.poller.addTap(1, fds[0] ?? -1)).toThrow(/^add port 1: EEXIST/);
    expect(() => rig.poller.addTap(2, 100_000)).toThrow(/descriptor 100000: EBADF/);
    expect(() => rig.poller.addTap(65_536, fds[0] ?? -1)).toThrow(/ERANGE/);
    expect(() => rig.poller.addUdp(2, [])).toThrow(/EINVAL/);
    expect(() => rig.poller.addUdp(2, [5, 6, 5])).toThrow(/EINVAL/);
    // Of these sockets alone: a poller of an earlier test that is collected meanwhile closes its own.
    const sockets = new Set(fds.map(targetOf));
    const descriptors = (): number => readdirSync("/proc/self/fd").filter((fd) => sockets.has(targetOf(fd))).length;
    const added = descriptors();
    rig.poller.release(1);
    expect(descriptors()).toBe(added - 2);
    expect(() => rig.poller.release(1)).toThrow(/^release port 1: ENXIO/);
    rig.poller.addUdp(2, fds);
    expect(descriptors()).toBe(added);
    await rig.poller.remove(2);
    await rig.poller.remove(2);
    expect(descriptors()).toBe(added - 2);
    rig.poller.addUdp(1, fds);
    await Promise.all(opened.splice(0).map((fd) => native().closeFd(fd)));
    rig.send([{ port: 1, parts: [bytes(100)], destination: mapped("127.0.0.1"), destinationPort: 4789 }]);
    expect(rig.receive(1000)[0]?.bytes).toEqual(bytes(100));
  });

  it("may not mix address families, and keep the caller's descriptors when refused", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([]);
    const fds = [await udp(namespace, "127.0.0.1"), await udp(namespace, "::1")];
    const sockets = new Set(fds.map(targetOf));
    expect(() => rig.poller.addUdp(1, fds)).toThrow(/two address families: EINVAL/);
    expect(readdirSync("/proc/self/fd").filter((fd) => sockets.has(targetOf(fd)))).toHaveLength(2);
  });

  it.each([2, 12])("are not starved by one of %i that fills every batch alone", async (count) => {
    const namespace = await namespaces.create("a");
    const ports = Array.from({ length: count }, (_, index) => index + 1);
    const rig = newRig([...ports], new PollerRig(undefined, { ...RIG_LAYOUT, rxRingCount: 4 }));
    for (const port of ports) rig.poller.addUdp(port, [await udp(namespace, "127.0.0.1", { port: 5000 + port, gro: false })]);
    const to = (port: number) => ({ port: 1, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort: 5000 + port });
    rig.send([...Array.from({ length: 100 }, () => to(1)), ...ports.slice(1).map(to)]);
    const batches = Array.from({ length: count + 4 }, () => rig.receive(1000).map((received) => received.port));
    expect(new Set(batches.flat()).size).toBe(count);
    expect(batches.flat().length).toBeGreaterThan(3 * count);
  });

  it("each get their share when there are many and one is flooded", async () => {
    const namespace = await namespaces.create("a");
    const ports = Array.from({ length: 20 }, (_, index) => index + 1);
    const layout = { ...RIG_LAYOUT, rxRingCount: 8, perUnderlay: 4 };
    const rig = newRig([...ports, 100], new PollerRig(undefined, layout));
    for (const port of ports) rig.poller.addUdp(port, [await udp(namespace, "127.0.0.1", { port: 5000 + port, gro: false })]);
    rig.poller.addUdp(100, [await udp(namespace, "127.0.0.1")]);
    const to = (port: number) => ({ port: 100, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort: 5000 + port });
    rig.send([...Array.from({ length: 100 }, () => to(1)), ...ports.map(to)]);
    const seen = new Map<number, number>();
    let polls = 0;
    while ([...seen.values()].reduce((sum, count) => sum + count, 0) < 120) {
      const batch = rig.receive(1000);
      expect(batch.length).toBeGreaterThan(0);
      for (const { port } of batch) seen.set(port, (seen.get(port) ?? 0) + 1);
      polls += 1;
      if (polls === 8) expect(seen.size).toBe(20);
    }
    expect(seen.get(1)).toBe(101);
  });

  it("that are quiet are heard while another fills each batch", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([4, 5, 6], new PollerRig(undefined, { ...RIG_LAYOUT, batchBytes: 1, perUnderlay: 1 }));
    const flood = 200;
    rig.poller.addUdp(4, [await udp(namespace, "127.0.0.1", { gro: false })]);
    rig.poller.addUdp(5, [await udp(namespace, "0.0.0.0", { port: 4790 })]);
    rig.poller.addQuiet(6, await udp(namespace, "127.0.0.1", { port: 4791, gro: false }));
    const to = (destinationPort: number) => ({ port: 5, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort });
    expect(rig.send(Array.from({ length: flood }, () => to(4789)))).toEqual(Array(flood).fill(0));
    expect(rig.send([to(4791)])).toEqual([0]);
    const ports = Array.from({ length: 40 }, () => rig.receive(0)).flat();
    expect(ports.filter(({ port }) => port === 6)).toHaveLength(1);
    expect(ports.filter(({ port }) => port === 4).length).toBeGreaterThan(30);
  });

  it("with TAPs by the dozen move frames too", async () => {
    const namespace = await namespaces.create("a");
    const ports = Array.from({ length: 12 }, (_, index) => index + 10);
    const rig = newRig([...ports, 4]);
    for (const port of ports) rig.poller.addTap(port, await tapIn(namespace, `eth${port}`));
    rig.poller.addUdp(4, [await udp(namespace, "0.0.0.0", { gro: false })]);
    expect(rig.send(ports.map((port) => ({ port, parts: [udpFrame(bytes(port))] })))).toEqual(ports.map(() => 0));
    const lengths = rig.receiveFrom(4, 12).map((received) => received.bytes.length);
    expect(lengths.sort((a, b) => a - b)).toEqual(ports);
  });
});

describe("sleeping", () => {
  it("ends by a wake from another thread, while the main thread uses the rest of the addon", async () => {
    const source = `
      const { parentPort } = require("node:worker_threads");
      const native = require(${JSON.stringify(process.env.WEFT_NATIVE ?? ADDON_PATH)});
      const poller = new native.Poller();
      poller.attach(new Uint8Array(0x400000), ${JSON.stringify(RIG_LAYOUT)});
      parentPort.postMessage(poller.wakeFd);
      for (let round = 0; round < 3; round++) {
        const count = poller.poll(-1);
        parentPort.postMessage([count, poller.woken(), poller.woken(), poller.stats().wakes]);
      }
    `;
    const worker = new Worker(source, { eval: true });
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    const next = () => new Promise((resolve) => worker.once("message", resolve));
    const wakeFd = (await next()) as number;
    for (let round = 1; round <= 3; round++) {
      const told = next();
      await native().links(null);
      native().wake(wakeFd);
      expect(await told).toEqual([0, true, false, round]);
    }
    await ended;
    expect(() => native().wake(100_000)).toThrow(/^write eventfd 100000: EBADF/);
  });

  it("does not happen after a wake that was not looked at, nor with a timeout of 0", () => {
    const rig = newRig([]);
    native().wake(rig.poller.wakeFd);
    expect(rig.receive(10_000)).toEqual([]);
    expect(rig.receive(10_000)).toEqual([]);
    expect(rig.poller.woken()).toBe(true);
    const { sleeps } = rig.poller.stats();
    expect(rig.receive(0)).toEqual([]);
    expect(rig.poller.stats().sleeps).toBe(sleeps);
    expect(rig.receive(1)).toEqual([]);
    expect(rig.poller.stats().sleeps).toBe(sleeps + 1);
  });

  it("hears a wake under constant traffic", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1]);
    rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1", { gro: false })]);
    native().wake(rig.poller.wakeFd);
    let turns = 0;
    while (!rig.poller.woken()) {
      rig.send([{ port: 1, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort: 4789 }]);
      expect(rig.receive(1000)).toHaveLength(1);
      turns += 1;
      expect(turns).toBeLessThan(20);
    }
  });

  it("is put off by spinning while traffic is recent only", async () => {
    const namespace = await namespaces.create("a");
    const rig = newRig([1]);
    rig.poller.addUdp(1, [await udp(namespace, "127.0.0.1")]);
    rig.poller.setSpinUs(200);
    rig.receive(1);
    expect(rig.poller.stats().spinUs).toBe(0);
    // More than once: on a busy machine we may come back from the first datagram when it is not recent any more.
    for (let attempt = 0; attempt < 50 && rig.poller.stats().spinUs === 0; attempt++) {
      rig.send([{ port: 1, parts: [bytes(10)], destination: mapped("127.0.0.1"), destinationPort: 4789 }]);
      rig.receiveUntil(() => true);
      rig.receive(20);
    }
    const { spinUs } = rig.poller.stats();
    expect(spinUs).toBeGreaterThanOrEqual(200);
    rig.receive(1);
    expect(rig.poller.stats().spinUs).toBe(spinUs);
  });
});

it("refuses the rest of a run when the socket's buffer is full", async () => {
  const namespace = await namespaces.create("a");
  const rig = newRig([1, 3]);
  rig.poller.addTap(3, await tapIn(namespace));
  rig.poller.addUdp(1, [await udp(namespace, "10.9.0.2", { sendBufferBytes: 4608 })]);
  // Nobody answers for 10.9.0.7: the kernel keeps the datagrams, at the sender's cost.
  const sending = { port: 1, parts: [bytes(1000)], destination: mapped("10.9.0.7"), destinationPort: 4789 };
  const errnos = rig.send(Array.from({ length: 30 }, () => sending));
  const first = errnos.indexOf(EAGAIN);
  expect(first).toBeGreaterThan(0);
  expect(errnos.slice(first).every((errno) => errno === EAGAIN)).toBe(true);
  expect(rig.poller.stats()).toMatchObject({ sendErrors: { EAGAIN: 30 - first }, sendCalls: 2 });
});
