// What the graph costs a packet, without system calls: node bench/micro/engine.mjs (after npm run build).
//
// Each row is a batch that the engine gets again and again; ns is per packet of it (for TSO and GRO also per segment). The
// time to put the batch's headers back between turns is measured alone and subtracted.
import { abi, counters, engine, time } from "./rig.mjs";

const rows = [];

function checksum(bytes, sum) {
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] << 8) | (i + 1 < bytes.length ? bytes[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

/** An Ethernet/IPv4 frame to 02:00:00:00:xx:xx (the last two bytes of `to`), checksums right unless `partial`. */
function frame({ to, protocol, payload, sequence = 1, identification = 1, flags = 0x10, sourcePort = 40000, from = 2, partial = false }) {
  const l4 = 34;
  const headers = protocol === 6 ? l4 + 32 : l4 + 8;
  const bytes = new Uint8Array(headers + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 0, 0, 0, to >> 8, to & 255, 2, 0, 0, 0, 0, from, 8, 0, 0x45, 0]);
  view.setUint16(16, bytes.length - 14);
  view.setUint16(18, identification);
  view.setUint16(20, 0x4000);
  bytes[22] = 64;
  bytes[23] = protocol;
  bytes.set([10, 0, 0, from, 10, 0, to >> 8, to & 255], 26);
  view.setUint16(24, ~checksum(bytes.subarray(14, 34), 0) & 0xffff);
  view.setUint16(34, sourcePort);
  view.setUint16(36, 5201);
  if (protocol === 6) {
    view.setUint32(38, sequence);
    view.setUint32(42, 7);
    bytes[46] = 0x80;
    bytes[47] = flags;
    view.setUint16(48, 500);
    bytes.set([1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8], 54);
  } else {
    view.setUint16(38, bytes.length - l4);
  }
  for (let i = headers; i < bytes.length; i++) bytes[i] = i * 7;
  const pseudo = checksum(bytes.subarray(26, 34), protocol + bytes.length - l4);
  const field = protocol === 6 ? l4 + 16 : l4 + 6;
  view.setUint16(field, partial ? pseudo : ~checksum(bytes.subarray(l4), pseudo) & 0xffff);
  return bytes;
}

function vnet(gsoType = 0, gsoSize = 0, protocol = 6) {
  const header = new Uint8Array(10);
  if (gsoType === -1) return header;
  const view = new DataView(header.buffer);
  header[0] = 1;
  header[1] = gsoType;
  view.setUint16(2, protocol === 6 ? 66 : 42, true);
  view.setUint16(4, gsoSize, true);
  view.setUint16(6, 34, true);
  view.setUint16(8, protocol === 6 ? 16 : 6, true);
  return header;
}

const plain = vnet(-1);

/** Times `rig`'s batch; `packets` in it, `segments` if it is about those. */
function measure(name, rig, packets, segments = 0) {
  const received = rig.counter(counters.COUNTER_RX);
  const descriptors = rig.run();
  const perBatch = rig.counter(counters.COUNTER_RX) - received;
  const restore = time(() => rig.restore());
  const whole = time(() => {
    rig.restore();
    rig.run();
  });
  if (rig.drops() !== 0) throw new Error(`${name}: the engine dropped ${rig.drops()} packets`);
  if (perBatch !== packets) throw new Error(`${name}: ${perBatch} packets received, not ${packets}`);
  const ns = whole - restore;
  rows.push({
    name,
    packets,
    "ns/packet": +(ns / packets).toFixed(1),
    "ns/segment": segments ? +(ns / segments).toFixed(1) : "",
    descriptors,
  });
}

const repeat = (count, make) => {
  for (let i = 0; i < count; i++) make(i);
};

{
  const rig = await engine();
  repeat(64, (i) => rig.fromTap(2, plain, frame({ to: 3, protocol: 17, payload: 22, sourcePort: 1000 + i })));
  measure("bridge 64 B, 64 flows", rig, 64);
}
{
  const rig = await engine();
  for (const port of [2, 3]) rig.exports.portSet(port, abi.PORT_TAP, 1, abi.PORT_FLAG_ISOLATED, 1450);
  rig.exports.permitSet(2, 3, 17, 5201, 5201);
  repeat(64, (i) => rig.fromTap(2, plain, frame({ to: 3, protocol: 17, payload: 22, sourcePort: 1000 + i })));
  measure("bridge 64 B, 64 flows, isolated, by a permit", rig, 64);
}
{
  const rig = await engine();
  repeat(64, (i) => rig.fromTap(2, vnet(0, 0, 17), frame({ to: 3, protocol: 17, payload: 22, identification: i, partial: true })));
  measure("bridge 64 B, 1 flow, merged", rig, 64);
}
{
  const rig = await engine();
  repeat(64, () => rig.fromTap(2, plain, frame({ to: 0x100, protocol: 17, payload: 22 })));
  measure("encap 64 B, 1 flow", rig, 64);
}
{
  const rig = await engine();
  repeat(64, (i) => rig.fromTap(2, plain, frame({ to: 0x100, protocol: 17, payload: 22, sourcePort: 1000 + i })));
  measure("encap 64 B, 64 flows", rig, 64);
}
{
  const rig = await engine();
  repeat(64, () => rig.fromTap(2, plain, frame({ to: 0x100, protocol: 17, payload: 1358 })));
  measure("encap 1400 B, checksum there", rig, 64);
}
{
  const rig = await engine();
  repeat(64, () => rig.fromTap(2, vnet(0, 0, 17), frame({ to: 0x100, protocol: 17, payload: 1358, partial: true })));
  measure("encap 1400 B, checksum to make", rig, 64);
}
{
  const rig = await engine();
  repeat(4, () => rig.fromTap(2, vnet(1, 1384), frame({ to: 0x100, protocol: 6, payload: 46 * 1384, partial: true })));
  measure("TSO 64 KB", rig, 4, 4 * 46);
}
{
  const rig = await engine();
  repeat(4, () => rig.fromTap(2, vnet(5, 22, 17), frame({ to: 0x100, protocol: 17, payload: 64 * 22, partial: true })));
  measure("USO 64 x 22 B", rig, 4, 4 * 64);
}
{
  const rig = await engine();
  repeat(4, (i) =>
    rig.fromVtep(
      Array.from({ length: 44 }, (_, j) =>
        frame({ to: 2, from: 9, protocol: 6, payload: 1384, sequence: 1 + (i * 44 + j) * 1384, identification: i * 44 + j }),
      ),
    ),
  );
  measure("decap + TCP GRO 44 x 1400 B", rig, 176, 176);
}
{
  const rig = await engine();
  repeat(4, (i) =>
    rig.fromVtep(Array.from({ length: 64 }, (_, j) => frame({ to: 2, from: 9, protocol: 17, payload: 22, identification: i * 64 + j }))),
  );
  measure("decap + UDP GRO 64 x 64 B", rig, 256, 256);
}
{
  const rig = await engine();
  repeat(4, (i) =>
    rig.fromVtep(
      Array.from({ length: 64 }, (_, j) => frame({ to: 2, from: 9, protocol: 17, payload: 22, sourcePort: i * 64 + j, identification: j })),
    ),
  );
  measure("decap 64 B, 256 flows", rig, 256);
}
for (const entries of [1e3, 1e5, 1e6]) {
  // The batches together touch every entry: 64 frames of random known sources and destinations each.
  const rig = await engine({ fdbSlots: 2097152 });
  const { exports } = rig;
  for (let i = 0; i < entries; i++) {
    if (exports.fdbSet(1, 0x0210, i, 2 + (i & 3), 0) !== 0) throw new Error(`the FDB refused entry ${i}`);
  }
  repeat(256, () => rig.fromTap(2, plain, frame({ to: 3, protocol: 17, payload: 22 })));
  let seed = 1;
  const turn = () => {
    for (const { at } of rig.frames) {
      // Destination on port 3, source on port 2: entries whose number is 1 and 0 modulo 4.
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const destination = ((seed >>> 8) % (entries >> 2)) * 4 + 1;
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const source = ((seed >>> 8) % (entries >> 2)) * 4;
      rig.view.setUint16(at + 10, 0x0210);
      rig.view.setUint32(at + 12, destination);
      rig.view.setUint16(at + 16, 0x0210);
      rig.view.setUint32(at + 18, source);
    }
  };
  const setting = time(turn);
  const whole = time(() => {
    turn();
    rig.run();
  });
  if (rig.drops() !== 0) throw new Error(`FDB: the engine dropped ${rig.drops()} packets`);
  rows.push({
    name: `bridge 64 B, FDB of ${entries} entries`,
    packets: 256,
    "ns/packet": +((whole - setting) / 256).toFixed(1),
    "ns/segment": "",
    descriptors: "",
  });
}

console.table(rows);
