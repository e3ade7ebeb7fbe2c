// Neighbours: which MAC has an IP address in a bridge domain. Written by the control plane, which knows its endpoints; read
// by neighbor-proxy, so that nobody has to be asked.
//
//   0                16                       24     32
//   ┌────────────────┬────────────────────────┬──────┐
//   │ address        │ domain:16 │ MAC:48     │      │   IPv4 as ::ffff:a.b.c.d; a free slot has 0 for domain and MAC
//   └────────────────┴────────────────────────┴──────┘
//
// Open addressing, linear probing, at most seven eighths full, gaps closed at deletion.
//
import { NEIGHBOR_ENTRY_LENGTH } from "../shared/abi";
import { NEIGHBORS, NEIGHBORS_LENGTH } from "../shared/layout";
import { NEIGHBOR_SLOTS } from "../shared/limits";
import * as domains from "./bridge-domain";

@unmanaged export class Neighbor {
  addressLow: u64; // bytes 0..8 as loaded
  addressHigh: u64; // 8..16
  key: u64; // domain << 48 | MAC
  pad: u64;
}

const MASK: u32 = NEIGHBOR_SLOTS - 1;
const USED_MAX: u32 = NEIGHBOR_SLOTS / 8 * 7;
const MAC_MASK: u64 = 0xffffffffffff;
const MAPPED_PREFIX: u64 = 0xffff0000;

if (offsetof<Neighbor>() != NEIGHBOR_ENTRY_LENGTH) ERROR("Neighbor must be 32 bytes");
if (NEIGHBOR_SLOTS * NEIGHBOR_ENTRY_LENGTH > NEIGHBORS_LENGTH) ERROR("NEIGHBORS outgrows its region");
if (NEIGHBOR_SLOTS != 131072) ERROR("home() is made for 131072 slots");

let used: u32 = 0;
let dumped: u32 = 0;

// @ts-ignore: decorator
@inline function at(slot: u32): Neighbor {
  return changetype<Neighbor>(<usize>NEIGHBORS + (<usize>(slot & MASK) << 5));
}

// @ts-ignore: decorator
@inline function home(domain: u32, low: u64, high: u64): u32 {
  const x = (low * 0x9e3779b97f4a7c15) ^ (high + (<u64>domain << 20));
  return <u32>((x * 0xd6e8feb86659fd93) >> 47); // 64 - log2(NEIGHBOR_SLOTS)
}

// @ts-ignore: decorator
@inline function homeOf(entry: Neighbor): u32 {
  return home(<u32>(entry.key >> 48), entry.addressLow, entry.addressHigh);
}

/** The slot of the address, or the free one where it would go. */
function probe(domain: u32, low: u64, high: u64): u32 {
  let slot = home(domain, low, high);
  let entry = at(slot);
  while (entry.key != 0 && !(entry.addressHigh == high && entry.addressLow == low && <u32>(entry.key >> 48) == domain)) {
    entry = at(++slot);
  }
  return slot & MASK;
}

/** The MAC that has the address (16 bytes as loaded), or 0. */
export function find(domain: u32, low: u64, high: u64): u64 {
  return at(probe(domain, low, high)).key & MAC_MASK;
}

/** The MAC that has the IPv4 address (as loaded), or 0. */
export function findIpv4(domain: u32, address: u32): u64 {
  return find(domain, 0, MAPPED_PREFIX | (<u64>address << 32));
}

/** False when the table is full. */
export function set(domain: u32, address: usize, mac: u64): bool {
  const low = load<u64>(address);
  const high = load<u64>(address, 8);
  const entry = at(probe(domain, low, high));
  if (entry.key == 0) {
    if (used >= USED_MAX) return false;
    used++;
    domains.at(domain).neighbors++;
  }
  entry.addressLow = low;
  entry.addressHigh = high;
  entry.key = (<u64>domain << 48) | mac;
  return true;
}

export function remove(domain: u32, address: usize): void {
  const slot = probe(domain, load<u64>(address), load<u64>(address, 8));
  if (at(slot).key != 0) removeAt(slot);
}

function removeAt(gap: u32): void {
  domains.at(<u32>(at(gap).key >> 48)).neighbors--;
  used--;
  let hole = gap;
  let slot = (gap + 1) & MASK;
  while (at(slot).key != 0) {
    const entry = at(slot);
    if (((slot - homeOf(entry)) & MASK) >= ((slot - hole) & MASK)) {
      memory.copy(changetype<usize>(at(hole)), changetype<usize>(entry), NEIGHBOR_ENTRY_LENGTH);
      hole = slot;
    }
    slot = (slot + 1) & MASK;
  }
  at(hole).key = 0;
}

export function forgetDomain(domain: u32): void {
  const owner = domains.at(domain);
  for (let slot: u32 = 0; owner.neighbors != 0 && slot < <u32>NEIGHBOR_SLOTS; slot++) {
    while (at(slot).key != 0 && <u32>(at(slot).key >> 48) == domain) removeAt(slot);
  }
}

/** Copies entries from slot `from` on to `target`, at most `room`; the slot to go on at, 0 at the end. `copied()` says how many. */
export function dump(from: u32, target: usize, room: u32): u32 {
  let n: u32 = 0;
  let slot = from;
  for (; slot < <u32>NEIGHBOR_SLOTS && n < room; slot++) {
    if (at(slot).key == 0) continue;
    memory.copy(target + <usize>n * NEIGHBOR_ENTRY_LENGTH, changetype<usize>(at(slot)), NEIGHBOR_ENTRY_LENGTH);
    n++;
  }
  dumped = n;
  return slot < <u32>NEIGHBOR_SLOTS ? slot : 0;
}

export function copied(): u32 {
  return dumped;
}

export function reset(): void {
  memory.fill(NEIGHBORS, 0, NEIGHBORS_LENGTH);
  used = 0;
}
