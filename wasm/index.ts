// The engine's face to the host: functions over numbers, nothing else (src/datapath/engine.ts describes each; shared/abi.ts
// the layouts in memory). What a call may touch is checked here, so that tables and nodes can rely on it.
//
// Tables refer to each other (a port to its domain, an entry to its port): setters refuse references to what is not set, and
// deleters take along what would be left without meaning.
//
import {
  ABI_VERSION, DOMAIN_FLAG_HAS_VNI, FDB_ENTRY_LENGTH, MEMBER_ENTRY_LENGTH, NEIGHBOR_ENTRY_LENGTH, PERMIT_ENTRY_LENGTH, PORT_MEMORY, PORT_PACKET, PORT_TAP, PORT_UPLINK,
  RX_DESCRIPTOR_LENGTH, SA_FLAG_CHECKSUM, SA_FLAG_ESN, SA_FLAG_NOTIFY, SA_FLAG_OUTBOUND, VNI_NONE,
} from "./shared/abi";
import { ARGUMENTS, ARGUMENTS_LENGTH, RX_RING_LENGTH } from "./shared/layout";
import { DOMAIN_MAX, MTU_MAX, MTU_MIN, PORT_MAX, SA_MAX, VTEP_MAX } from "./shared/limits";
import { SPI_MIN, VID_MAX, VNI_MAX } from "./shared/protocol";
import * as aggregates from "./core/aggregates";
import * as arena from "./core/arena";
import * as capture from "./core/capture";
import * as checksum from "./core/checksum";
import * as clock from "./core/clock";
import * as counters from "./core/counters";
import * as espEvent from "./core/esp-event";
import * as runs from "./core/runs";
import * as seal from "./core/seal";
import * as trace from "./core/trace";
import * as transmit from "./core/transmit";
import * as transport from "./core/transport";
import * as domains from "./tables/bridge-domain";
import * as fdb from "./tables/fdb";
import * as members from "./tables/member";
import * as neighbors from "./tables/neighbor";
import * as permits from "./tables/permit";
import * as ports from "./tables/port";
import * as sad from "./tables/sad";
import * as spd from "./tables/spd";
import * as uplinks from "./tables/uplink";
import * as vteps from "./tables/vtep";
import { espPrepare as prepare } from "./nodes/esp-decrypt";
import * as aead from "./crypto/aead";
import * as graph from "./graph";

// As src/datapath/engine.ts has them.
const DONE: u32 = 0;
const REFUSED_RANGE: u32 = 1;
const REFUSED_FULL: u32 = 2;
const REFUSED_UNKNOWN: u32 = 3;
const REFUSED_TAKEN: u32 = 4;

/** Ages are kept modulo 2^16 seconds, and the sweep needs some of them. */
const FDB_AGE_S_MAX: u32 = 65000;

export function abiVersion(): u32 {
  return ABI_VERSION;
}

export function reset(fdbSlots: u32): void {
  aead.reset();
  clock.reset();
  counters.reset();
  trace.reset();
  capture.reset();
  arena.reset();
  transmit.rewind();
  runs.reset();
  aggregates.reset();
  checksum.initialise();
  ports.reset();
  uplinks.reset();
  domains.reset();
  vteps.reset();
  sad.reset();
  spd.reset();
  espEvent.clear();
  members.reset();
  neighbors.reset();
  permits.reset();
  fdb.reset(fdbSlots);
  graph.reset();
}

// ── the batch ────────────────────────────────────────────────────────────────────────────────────────────────────────

export function run(count: u32): u32 {
  return graph.run(min<u32>(count, RX_RING_LENGTH / RX_DESCRIPTOR_LENGTH));
}

export function espPrepare(count: u32): u32 {
  return prepare(min<u32>(count, RX_RING_LENGTH / RX_DESCRIPTOR_LENGTH));
}

export function sealCount(): u32 {
  return seal.filled();
}

export function sealed(): void {
  graph.sealed();
}

export function espProbe(vtep: u32, kind: u32): u32 {
  return vteps.isSet(vtep) ? graph.probe(vtep, kind) : 0;
}

export function espEventsClear(): void {
  espEvent.clear();
}

export function pending(): u32 {
  return graph.pending();
}

export function resume(): u32 {
  return graph.resume();
}

export function settle(count: u32): void {
  counters.settle(min(count, transmit.filled()));
}

export function tick(nowMs: u32): void {
  const elapsedS = clock.advance(nowMs);
  if (elapsedS == 0) return;
  fdb.sweep(elapsedS);
  vteps.sweep(clock.seconds());
}

// ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export function portSet(port: u32, kind: u32, domain: u32, flags: u32, mtuBytes: u32): u32 {
  if (port >= <u32>PORT_MAX || flags > 0xff || mtuBytes > 0xffff) return REFUSED_RANGE;
  if (kind != PORT_TAP && !ports.isUnderlay(kind) && kind != PORT_MEMORY && kind != PORT_PACKET && kind != PORT_UPLINK) return REFUSED_RANGE;
  if (ports.isBridged(kind) && !domains.isSet(domain)) return REFUSED_UNKNOWN;
  const entry = ports.at(port);
  const moves = ports.isSet(port) && (<u32>entry.domain != domain || ports.isBridged(entry.kind) != ports.isBridged(kind));
  if (moves) fdb.forgetPort(port);
  // An uplink keeps its VLAN where it goes.
  const bound = moves && uplinks.isBound(port);
  if (moves || <u32>entry.kind != kind) uplinks.forget(port);
  ports.set(port, kind, domain, flags, mtuBytes);
  if (bound && kind == PORT_UPLINK) return uplinkSet(port, entry.parent, entry.vid);
  return DONE;
}

export function portDelete(port: u32): void {
  if (!ports.isSet(port)) return;
  fdb.forgetPort(port);
  permits.forgetPort(port);
  uplinks.forget(port);
  ports.remove(port);
}

/** Binds an uplink to a VLAN of a packet port; `vid` 0: to what is untagged there. */
export function uplinkSet(port: u32, parent: u32, vid: u32): u32 {
  if (vid > <u32>VID_MAX) return REFUSED_RANGE;
  if (!ports.isSet(port) || ports.at(port).kind != PORT_UPLINK) return REFUSED_UNKNOWN;
  if (!ports.isSet(parent) || ports.at(parent).kind != PORT_PACKET) return REFUSED_UNKNOWN;
  const bound = uplinks.find(parent, vid);
  const other = domains.at(ports.at(port).domain).uplink;
  if ((bound >= 0 && <u32>bound != port) || (other != 0 && other != port + 1)) return REFUSED_TAKEN;
  uplinks.set(port, parent, vid);
  return DONE;
}

export function underlaySet(port: u32, udpPort: u32, socketCount: u32): u32 {
  if (udpPort == 0 || udpPort > 0xffff || socketCount == 0 || socketCount > 0xffff) return REFUSED_RANGE;
  if (!ports.isSet(port) || !ports.isUnderlay(ports.at(port).kind)) return REFUSED_UNKNOWN;
  ports.at(port).udpPort = <u16>udpPort;
  ports.at(port).sockets = <u16>socketCount;
  return DONE;
}

export function domainSet(domain: u32, vni: u32, flags: u32, mtuBytes: u32, fdbLimit: u32, fdbAgeS: u32): u32 {
  if (domain >= <u32>DOMAIN_MAX || (vni > <u32>VNI_MAX && vni != <u32>VNI_NONE)) return REFUSED_RANGE;
  if (mtuBytes < <u32>MTU_MIN || mtuBytes > <u32>MTU_MAX || fdbAgeS > FDB_AGE_S_MAX) return REFUSED_RANGE;
  if (vni != <u32>VNI_NONE) {
    const other = domains.byVni(vni);
    if (other >= 0 && <u32>other != domain) return REFUSED_TAKEN;
    flags |= DOMAIN_FLAG_HAS_VNI;
  } else {
    flags &= ~DOMAIN_FLAG_HAS_VNI;
  }
  domains.set(domain, vni, flags, mtuBytes, fdbLimit, fdbAgeS);
  return DONE;
}

/** Its ports, members, entries and neighbours go with it. */
export function domainDelete(domain: u32): void {
  if (!domains.isSet(domain)) return;
  fdb.forgetDomain(domain);
  neighbors.forgetDomain(domain);
  members.removeDomain(domain);
  while (domains.at(domain).firstPort != 0) {
    const port = <u32>domains.at(domain).firstPort - 1;
    permits.forgetPort(port);
    uplinks.forget(port);
    ports.remove(port);
  }
  domains.remove(domain);
}

export function vtepSet(vtep: u32, udpPort: u32, underlayPort: u32): u32 {
  if (vtep == 0 || vtep >= <u32>VTEP_MAX || udpPort == 0 || udpPort > 0xffff || underlayPort >= <u32>PORT_MAX) return REFUSED_RANGE;
  const other = vteps.find(ARGUMENTS);
  if (other != 0 && other != vtep) return REFUSED_TAKEN;
  vteps.set(vtep, ARGUMENTS, udpPort, underlayPort);
  return DONE;
}

/** Its memberships, learned entries and security associations go with it. */
export function vtepDelete(vtep: u32): void {
  if (!vteps.isSet(vtep)) return;
  spd.set(vtep, 0);
  sad.removeVtep(vtep);
  fdb.forgetVtep(vtep);
  members.removeVtep(vtep);
  vteps.remove(vtep);
}

export function memberSet(domain: u32, vtep: u32): u32 {
  if (!domains.isSet(domain) || !vteps.isSet(vtep)) return REFUSED_UNKNOWN;
  return members.add(domain, vtep) ? DONE : REFUSED_FULL;
}

/** What was learned from it in the domain goes with it. */
export function memberDelete(domain: u32, vtep: u32): void {
  if (!domains.isSet(domain) || !vteps.isSet(vtep)) return;
  members.remove(domain, vtep);
  fdb.forgetMember(domain, vtep);
}

export function saSet(sa: u32, spi: u32, flagsAndIcv: u32, peer: u32, udp: u32, firstLow: u32, firstHigh: u32): u32 {
  const flags = flagsAndIcv & 0xffff;
  const icvBytes = flagsAndIcv >> 16;
  const vtep = peer & 0xffff;
  const packetLimit = bswap<u64>(load<u64>(ARGUMENTS));
  const known = SA_FLAG_OUTBOUND | SA_FLAG_ESN | SA_FLAG_CHECKSUM | SA_FLAG_NOTIFY;
  if (sa == 0 || sa >= <u32>SA_MAX || spi < <u32>SPI_MIN || (flags & ~known) != 0) return REFUSED_RANGE;
  if (icvBytes != 8 && icvBytes != 12 && icvBytes != 16) return REFUSED_RANGE;
  if ((flags & SA_FLAG_ESN) == 0 && (packetLimit > 0xffffffff || firstHigh != 0)) return REFUSED_RANGE;
  if (!vteps.isSet(vtep)) return REFUSED_UNKNOWN;
  const first = (<u64>firstHigh << 32) | <u64>firstLow;
  const outbound = (flags & SA_FLAG_OUTBOUND) != 0;
  const other = outbound ? 0 : sad.bySpi(spi);
  if (other != 0 && other != sa) return REFUSED_TAKEN;
  let entry = sad.at(sa);
  if (entry.used == 0) {
    entry = sad.claim(sa, spi, flags, first);
  } else if (entry.spi != spi || ((entry.flags ^ flags) & (SA_FLAG_OUTBOUND | SA_FLAG_ESN)) != 0) {
    return REFUSED_TAKEN; // what was counted under another key would be carried over to this one
  }
  entry.flags = flags;
  entry.icvBytes = <u8>icvBytes;
  entry.vtep = <u16>vtep;
  entry.port = <u16>(peer >> 16);
  entry.udpPort = <u16>udp;
  entry.pseudo = udp >> 16;
  entry.first = first;
  entry.packetLimit = packetLimit;
  entry.byteLimit = bswap<u64>(load<u64>(ARGUMENTS, 8));
  return DONE;
}

/** Nothing is sent by it any more; how far it was used is forgotten: its key must never come again. */
export function saDelete(sa: u32): void {
  if (!sad.isSet(sa)) return;
  spd.forget(sa);
  sad.remove(sa);
}

export function spdSet(vtep: u32, sa: u32): u32 {
  if (!vteps.isSet(vtep) || !sad.isSet(sa)) return REFUSED_UNKNOWN;
  if (<u32>sad.at(sa).vtep != vtep || (sad.at(sa).flags & SA_FLAG_OUTBOUND) == 0) return REFUSED_RANGE;
  const entry = sad.at(sa);
  const before = sad.at(spd.outbound(vtep));
  const low = load<u64>(ARGUMENTS);
  const high = load<u64>(ARGUMENTS, 8);
  if (before.remoteLow != low || before.remoteHigh != high) vteps.at(vtep).pathMtu = 0; // another path of ESP
  entry.remoteLow = low;
  entry.remoteHigh = high;
  spd.set(vtep, sa);
  return DONE;
}

export function spdDelete(vtep: u32): void {
  if (vteps.isSet(vtep)) spd.set(vtep, 0);
}

// @ts-ignore: decorator
@inline function macOf(high: u32, low: u32): u64 {
  return (<u64>(high & 0xffff) << 32) | <u64>low;
}

/** A MAC that an endpoint can have: not zero, no group. */
// @ts-ignore: decorator
@inline function isHostMac(mac: u64): bool {
  return mac != 0 && ((mac >> 40) & 1) == 0;
}

export function fdbSet(domain: u32, macHigh: u32, macLow: u32, port: u32, vtep: u32): u32 {
  const mac = macOf(macHigh, macLow);
  if (!isHostMac(mac)) return REFUSED_RANGE;
  if (!domains.isSet(domain)) return REFUSED_UNKNOWN;
  if (vtep != 0 ? !vteps.isSet(vtep) : !ports.isSet(port)) return REFUSED_UNKNOWN;
  return fdb.pin(fdb.keyOf(domain, mac), port, vtep) ? DONE : REFUSED_FULL;
}

export function fdbDelete(domain: u32, macHigh: u32, macLow: u32): void {
  const mac = macOf(macHigh, macLow);
  if (mac != 0 && domains.isSet(domain)) fdb.remove(fdb.keyOf(domain, mac));
}

export function neighborSet(domain: u32, macHigh: u32, macLow: u32): u32 {
  const mac = macOf(macHigh, macLow);
  if (!isHostMac(mac)) return REFUSED_RANGE;
  if (!domains.isSet(domain)) return REFUSED_UNKNOWN;
  return neighbors.set(domain, ARGUMENTS, mac) ? DONE : REFUSED_FULL;
}

export function neighborDelete(domain: u32): void {
  if (domains.isSet(domain)) neighbors.remove(domain, ARGUMENTS);
}

/** Lets the client reach ports `first` to `last` of the server, though both are isolated, and be answered from there. */
export function permitSet(client: u32, server: u32, protocol: u32, first: u32, last: u32): u32 {
  if (!transport.hasPorts(protocol) || first == 0 || last > 0xffff || first > last || client == server) return REFUSED_RANGE;
  if (!ports.isSet(client) || !ports.isSet(server)) return REFUSED_UNKNOWN;
  return permits.add(client, server, protocol, first, last) ? DONE : REFUSED_FULL;
}

export function permitDelete(client: u32, server: u32, protocol: u32, first: u32, last: u32): void {
  if (ports.isSet(client) && ports.isSet(server)) permits.remove(client, server, protocol, first, last);
}

// ── the engine's own ciphers, where native has none ─────────────────────────────────────────────────────────────────

export function aeadSetKey(slot: u32, algorithm: u32): u32 {
  return aead.setKey(slot, algorithm, ARGUMENTS) ? DONE : REFUSED_RANGE;
}

export function aeadRemoveKey(slot: u32): void {
  aead.removeKey(slot);
}

export function aeadRun(at: u32, count: u32): u32 {
  return aead.run(at, count);
}

// ── reading back ─────────────────────────────────────────────────────────────────────────────────────────────────────

let cursor: u32 = 0;

export function fdbDump(from: u32): u32 {
  cursor = fdb.dump(from, ARGUMENTS, ARGUMENTS_LENGTH / FDB_ENTRY_LENGTH);
  return fdb.copied();
}

export function neighborDump(from: u32): u32 {
  cursor = neighbors.dump(from, ARGUMENTS, ARGUMENTS_LENGTH / NEIGHBOR_ENTRY_LENGTH);
  return neighbors.copied();
}

export function memberDump(from: u32): u32 {
  cursor = members.dump(from, ARGUMENTS, ARGUMENTS_LENGTH / MEMBER_ENTRY_LENGTH);
  return members.copied();
}

export function permitDump(from: u32): u32 {
  cursor = permits.dump(from, ARGUMENTS, ARGUMENTS_LENGTH / PERMIT_ENTRY_LENGTH);
  return permits.copied();
}

export function nextCursor(): u32 {
  return cursor;
}

// ── trace and capture ────────────────────────────────────────────────────────────────────────────────────────────────

export function traceSet(port: u32, hasAddress: u32, budget: u32): void {
  trace.set(port, hasAddress != 0, budget);
}

export function traceCount(): u32 {
  return trace.count();
}

export function captureSet(all: u32, snapLength: u32): void {
  capture.set(all != 0, snapLength);
}

export function captureLength(): u32 {
  return capture.length();
}

export function captureClear(): void {
  capture.clear();
}

export function trap(): void {
  unreachable();
}
