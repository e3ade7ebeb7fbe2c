// Uplinks: which VLAN of which parent is which port. Written by the control plane; packet-input looks frames up, packet-output
// reads the entry of the port itself (tables/port: parent, vid).
//
//   0                      4      8
//   ┌──────────────────────┬──────┐
//   │ parent:16 │ VID + 1  │ port │   0 = free. VID 0: frames without a tag, and those with a priority tag
//   └──────────────────────┴──────┘
//
// Open addressing, made anew when an uplink goes: that is rare, and an index without deletion has no tombstones. The domain's
// entry names its uplink, so that what is for no station of the domain goes there without a flood.
//
import { PORT_UPLINK } from "../shared/abi";
import { UPLINK_INDEX, UPLINK_INDEX_LENGTH } from "../shared/layout";
import { PORT_MAX } from "../shared/limits";
import * as domains from "./bridge-domain";
import * as ports from "./port";

const SLOTS: u32 = UPLINK_INDEX_LENGTH / 8;
if (PORT_MAX * 2 > UPLINK_INDEX_LENGTH / 8) ERROR("UPLINK_INDEX would be more than half full");
if (UPLINK_INDEX_LENGTH / 8 != 8192) ERROR("home() is made for 8192 slots");

// @ts-ignore: decorator
@inline function slotAt(slot: u32): usize {
  return <usize>UPLINK_INDEX + <usize>((slot & (SLOTS - 1)) << 3);
}

// @ts-ignore: decorator
@inline function keyOf(parent: u32, vid: u32): u32 {
  return (parent << 16) | (vid + 1);
}

// @ts-ignore: decorator
@inline function home(key: u32): u32 {
  return (key * 0x9e3779b1) >> 19; // 32 - log2(SLOTS)
}

/** The uplink for frames of this VLAN from this parent, or -1. */
export function find(parent: u32, vid: u32): i32 {
  const key = keyOf(parent, vid);
  let slot = home(key);
  let p = slotAt(slot);
  while (load<u32>(p) != 0) {
    if (load<u32>(p) == key) return load<i32>(p, 4);
    p = slotAt(++slot);
  }
  return -1;
}

/** Binds the uplink `port`. The caller has checked ranges and that nobody else has the VLAN or is the domain's uplink. */
export function set(port: u32, parent: u32, vid: u32): void {
  const entry = ports.at(port);
  entry.parent = <u16>parent;
  entry.vid = <u16>vid;
  domains.at(entry.domain).uplink = port + 1;
  rebuild();
}

/** Whether the port is an uplink that has its VLAN. */
export function isBound(port: u32): bool {
  const entry = ports.at(port);
  return entry.kind == PORT_UPLINK && domains.at(entry.domain).uplink == port + 1;
}

/** The uplink `port` goes, or is going to be in another domain. */
export function forget(port: u32): void {
  if (!isBound(port)) return;
  domains.at(ports.at(port).domain).uplink = 0;
  rebuild();
}

function rebuild(): void {
  memory.fill(UPLINK_INDEX, 0, UPLINK_INDEX_LENGTH);
  for (let port: u32 = 0; port < <u32>PORT_MAX; port++) {
    if (!isBound(port)) continue;
    const entry = ports.at(port);
    const key = keyOf(entry.parent, entry.vid);
    let slot = home(key);
    while (load<u32>(slotAt(slot)) != 0) slot++;
    store<u32>(slotAt(slot), key);
    store<u32>(slotAt(slot), port, 4);
  }
}

export function reset(): void {
  memory.fill(UPLINK_INDEX, 0, UPLINK_INDEX_LENGTH);
}
