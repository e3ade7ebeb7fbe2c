// FDB: where a MAC lives in a bridge domain. l2-learn learns into it, the control plane pins entries in it, l2-forward asks.
// Open addressing, linear probing; the home slot comes from one multiplication of the key.
//
//   0                       8      10      12     14     16
//   ┌───────────────────────┬──────┬───────┬──────┬──────┐
//   │ domain:16 │ MAC:48    │ vtep │ flags │ port │ seen │   key 0 = free slot (MAC 0 is never learned)
//   └───────────────────────┴──────┴───────┴──────┴──────┘
//
//   vtep != 0: behind that VTEP, else behind the port. seen: the second, modulo 2^16, of the last frame from it.
//
// What keeps a probe short: at most LEARNED_SHARE of the slots for learned entries, a little more for pinned ones (so that a
// flood of MACs can't keep the control plane out), and no tombstones: a deletion moves the entries behind it up.
// What keeps one network's flood from evicting another's: nothing is ever evicted. A domain learns up to its own limit, then
// its newcomers are refused (counted) and their frames flood.
//
// Ageing is a sweep of a sixteenth of the table a second: an entry outlives its age by 17 seconds at most.
//
import { FDB_AGE_S, FDB_ENTRY_LENGTH, FDB_FLAG_STATIC } from "../shared/abi";
import { COUNTER_FDB_AGED, COUNTER_FDB_LEARNED, COUNTER_FDB_MOVED, COUNTER_FDB_REFUSED } from "../shared/counters";
import { FDB, FDB_LENGTH } from "../shared/layout";
import { FDB_SLOTS_DEFAULT, FDB_SLOTS_MAX } from "../shared/limits";
import * as clock from "../core/clock";
import { add } from "../core/counters";
import * as domains from "./bridge-domain";
import * as ports from "./port";
import * as vteps from "./vtep";

@unmanaged export class FdbEntry {
  key: u64;
  vtep: u16;
  flags: u16; // FDB_FLAG_STATIC: pinned, never ages, never moves
  port: u16;
  seen: u16;
}

if (offsetof<FdbEntry>() != FDB_ENTRY_LENGTH) ERROR("FdbEntry must be 16 bytes");
if (FDB_SLOTS_MAX * FDB_ENTRY_LENGTH > FDB_LENGTH) ERROR("FDB outgrows its region");

const SPREAD: u64 = 0x9e3779b97f4a7c15; // 2^64 / golden ratio: neighbouring MACs land far apart
const SWEEP_SECONDS: u32 = 16;
const CACHED_ENTRIES: u32 = 16384; // a line each is a megabyte: what the second-level cache may hold

let slots: u32 = 0;
let mask: u32 = 0;
let shift: u64 = 0;
let used: u32 = 0;
let learnedMax: u32 = 0;
let usedMax: u32 = 0;
let hand: u32 = 0; // where the sweep goes on
let warmed: u64 = 0;

/** `mac` is the six bytes as one big-endian number. */
// @ts-ignore: decorator
@inline export function keyOf(domain: u32, mac: u64): u64 {
  return (<u64>domain << 48) | mac;
}

// @ts-ignore: decorator
@inline function at(slot: u32): FdbEntry {
  return changetype<FdbEntry>(<usize>FDB + (<usize>(slot & mask) << 4));
}

// @ts-ignore: decorator
@inline function home(key: u64): u32 {
  return <u32>((key * SPREAD) >> shift);
}

// @ts-ignore: decorator
@inline function domainOf(entry: FdbEntry): domains.BridgeDomain {
  return domains.at(<u32>(entry.key >> 48));
}

/** The entry for `key`, or null: also for 0, MAC 0 in domain 0, which all free slots have. It ends because an eighth of the table stays free. */
// @ts-ignore: decorator
@inline export function find(key: u64): FdbEntry | null {
  let slot = home(key);
  let entry = at(slot);
  while (entry.key != key) {
    if (entry.key == 0) return null;
    entry = at(++slot);
  }
  return key == 0 ? null : entry;
}

/** Whether there are so many entries that a look-up is a walk to memory, and `warm` pays. */
// @ts-ignore: decorator
@inline export function isLarge(): bool {
  return used > CACHED_ENTRIES;
}

/** Loads where `key` would stand. Many of these in a row wait for memory together, look-ups would one after another. */
// @ts-ignore: decorator
@inline export function warm(key: u64): void {
  warmed ^= load<u64>(changetype<usize>(at(home(key)))); // kept, so that no compiler leaves the load out
}

/** What `learn` found out about the sender. */
export const KNOWN: u32 = 0; // where it was before
export const LEARNED: u32 = 1; // new, or it moved here
export const REFUSED: u32 = 2; // there was no room to note it
export const PINNED: u32 = 3; // the control plane says that it lives elsewhere

/** A frame from `key` came in by `port`, or from `vtep` if that is not 0. Notes it if `learning`. */
export function learn(key: u64, port: u32, vtep: u32, learning: bool): u32 {
  const now = <u16>clock.seconds();
  let slot = home(key);
  let entry = at(slot);
  while (entry.key != key) {
    if (entry.key == 0) return learning ? insert(entry, key, port, vtep, now) : KNOWN;
    entry = at(++slot);
  }
  const same = entry.vtep == <u16>vtep && (vtep != 0 || entry.port == <u16>port);
  if (entry.flags & FDB_FLAG_STATIC) return same ? KNOWN : PINNED;
  if (same) {
    // Once a second, not once a frame: the line stays clean, and so shared, in the cache.
    if (entry.seen != now) entry.seen = now;
    return KNOWN;
  }
  if (!learning) return KNOWN;
  account(entry, -1);
  entry.vtep = <u16>vtep;
  entry.port = vtep != 0 ? 0 : <u16>port;
  entry.seen = now;
  account(entry, 1);
  add(COUNTER_FDB_MOVED, 1);
  return LEARNED;
}

function insert(entry: FdbEntry, key: u64, port: u32, vtep: u32, now: u16): u32 {
  const domain = domains.at(<u32>(key >> 48));
  if (used >= learnedMax || domain.learned >= domain.fdbLimit) {
    add(COUNTER_FDB_REFUSED, 1);
    return REFUSED;
  }
  entry.key = key;
  entry.vtep = <u16>vtep;
  entry.flags = 0;
  entry.port = vtep != 0 ? 0 : <u16>port;
  entry.seen = now;
  used++;
  account(entry, 1);
  add(COUNTER_FDB_LEARNED, 1);
  return LEARNED;
}

/** Keeps the counts by which a port, VTEP or domain without entries is forgotten without a sweep. */
function account(entry: FdbEntry, n: i32): void {
  const domain = domainOf(entry);
  if (entry.flags & FDB_FLAG_STATIC) {
    domain.pinned += n;
    return;
  }
  domain.learned += n;
  if (entry.vtep != 0) vteps.at(entry.vtep).learned += n;
  else ports.at(entry.port).learned += n;
}

/** Pins `key` to `port`, or to `vtep` if that is not 0. False when the table is full. */
export function pin(key: u64, port: u32, vtep: u32): bool {
  let slot = home(key);
  let entry = at(slot);
  while (entry.key != key && entry.key != 0) entry = at(++slot);
  if (entry.key == 0) {
    if (used >= usedMax) return false;
    used++;
    entry.key = key;
  } else {
    account(entry, -1);
  }
  entry.vtep = <u16>vtep;
  entry.port = vtep != 0 ? 0 : <u16>port;
  entry.flags = <u16>FDB_FLAG_STATIC;
  entry.seen = 0;
  account(entry, 1);
  return true;
}

export function remove(key: u64): void {
  let slot = home(key);
  let entry = at(slot);
  while (entry.key != key) {
    if (entry.key == 0) return;
    entry = at(++slot);
  }
  removeAt(slot & mask);
}

/** Frees the slot and closes the gap: each entry behind it that may stand there moves up, until a free slot ends the cluster. */
function removeAt(gap: u32): void {
  account(at(gap), -1);
  used--;
  let hole = gap;
  let slot = (gap + 1) & mask;
  while (at(slot).key != 0) {
    const entry = at(slot);
    if (((slot - home(entry.key)) & mask) >= ((slot - hole) & mask)) {
      v128.store(changetype<usize>(at(hole)), v128.load(changetype<usize>(entry)));
      hole = slot;
    }
    slot = (slot + 1) & mask;
  }
  v128.store(changetype<usize>(at(hole)), i64x2.splat(0));
}

/** Removes what has aged in the next part of the table: `elapsedS` seconds' worth of it. */
export function sweep(elapsedS: u32): void {
  const now = clock.seconds();
  let left = min(elapsedS, SWEEP_SECONDS) * (slots / SWEEP_SECONDS);
  while (left != 0) {
    const entry = at(hand);
    if (entry.key != 0 && (entry.flags & FDB_FLAG_STATIC) == 0) {
      const ageS = domainOf(entry).fdbAgeS;
      if (ageS != 0 && ((now - <u32>entry.seen) & 0xffff) > ageS) {
        removeAt(hand);
        add(COUNTER_FDB_AGED, 1);
        continue; // another entry may have moved in here
      }
    }
    hand = (hand + 1) & mask;
    left--;
  }
}

/** Forgets what was learned on a port. Pinned entries stay until the control plane takes them back. */
export function forgetPort(port: u32): void {
  const owner = ports.at(port);
  for (let slot: u32 = 0; owner.learned != 0 && slot < slots; slot++) {
    while (learnedBy(at(slot), port, 0)) removeAt(slot);
  }
}

/** Forgets what was learned from a VTEP. */
export function forgetVtep(vtep: u32): void {
  const owner = vteps.at(vtep);
  for (let slot: u32 = 0; owner.learned != 0 && slot < slots; slot++) {
    while (learnedBy(at(slot), 0, vtep)) removeAt(slot);
  }
}

/** Forgets what was learned from a VTEP in one domain, which it leaves: frames would go on being sent to it. */
export function forgetMember(domain: u32, vtep: u32): void {
  const owner = vteps.at(vtep);
  const place = domains.at(domain);
  for (let slot: u32 = 0; owner.learned != 0 && place.learned != 0 && slot < slots; slot++) {
    while (learnedBy(at(slot), 0, vtep) && <u32>(at(slot).key >> 48) == domain) removeAt(slot);
  }
}

// @ts-ignore: decorator
@inline function learnedBy(entry: FdbEntry, port: u32, vtep: u32): bool {
  if (entry.key == 0 || (entry.flags & FDB_FLAG_STATIC) != 0) return false;
  return entry.vtep == <u16>vtep && (vtep != 0 || entry.port == <u16>port);
}

/** Forgets all of a domain, pinned entries too. */
export function forgetDomain(domain: u32): void {
  const owner = domains.at(domain);
  for (let slot: u32 = 0; owner.learned + owner.pinned != 0 && slot < slots; slot++) {
    while (at(slot).key != 0 && <u32>(at(slot).key >> 48) == domain) removeAt(slot);
  }
}

/** Copies entries from slot `from` on to `target`, at most `room`; the slot to go on at, 0 at the end. `copied()` says how many. */
export function dump(from: u32, target: usize, room: u32): u32 {
  const now = clock.seconds();
  let n: u32 = 0;
  let slot = from;
  for (; slot < slots && n < room; slot++) {
    const entry = at(slot);
    if (entry.key == 0) continue;
    const p = target + <usize>n * FDB_ENTRY_LENGTH;
    v128.store(p, v128.load(changetype<usize>(entry)));
    store<u16>(p, entry.flags & FDB_FLAG_STATIC ? 0 : <u16>(now - <u32>entry.seen), FDB_AGE_S);
    n++;
  }
  dumped = n;
  return slot < slots ? slot : 0;
}

let dumped: u32 = 0;

export function copied(): u32 {
  return dumped;
}

export function entries(): u32 {
  return used;
}

/** Empties the table and sizes it: a power of two from 64 to FDB_SLOTS_MAX, else the default. */
export function reset(wanted: u32): void {
  slots = popcnt(wanted) == 1 && wanted >= 64 && wanted <= <u32>FDB_SLOTS_MAX ? wanted : FDB_SLOTS_DEFAULT;
  mask = slots - 1;
  shift = 64 - <u64>ctz(slots);
  used = 0;
  hand = 0;
  learnedMax = slots / 16 * 13;
  usedMax = slots / 8 * 7;
  memory.fill(FDB, 0, <usize>slots * FDB_ENTRY_LENGTH);
}
