// Members: which VTEPs a bridge domain floods to and accepts frames from. Written by the control plane; vxlan-decap asks
// `has`, l2-flood walks a domain's list.
//
//   0                      4      8          12
//   ┌──────────────────────┬──────┬──────────┐
//   │ domain:16 │ vtep:16  │ next │ previous │   key 0 = free slot (VTEP 0 is never used); next, previous: slot + 1, 0: end
//   └──────────────────────┴──────┴──────────┘
//
// One table is both hash (open addressing, linear probing, gaps closed at deletion) and lists threaded through it: closing a
// gap moves an entry, so its neighbours in the list are told.
//
import { MEMBER_ENTRY_LENGTH } from "../shared/abi";
import { MEMBERS, MEMBERS_LENGTH } from "../shared/layout";
import { DOMAIN_MAX, MEMBER_MAX } from "../shared/limits";
import * as domains from "./bridge-domain";

@unmanaged export class Member {
  key: u32;
  next: u32;
  previous: u32;
}

if (offsetof<Member>() != 12) ERROR("Member must be 12 bytes");

const SLOTS: u32 = MEMBERS_LENGTH / 12;
if (MEMBER_MAX >= MEMBERS_LENGTH / 12) ERROR("MEMBERS must keep a free slot");

let count: u32 = 0;
let dumped: u32 = 0;

// @ts-ignore: decorator
@inline function at(slot: u32): Member {
  return changetype<Member>(<usize>MEMBERS + <usize>slot * 12);
}

// The table's length is no power of two: the key's mix is scaled to it.
// @ts-ignore: decorator
@inline function home(key: u32): u32 {
  return <u32>((<u64>(key * 0x9e3779b1) * <u64>SLOTS) >> 32);
}

// @ts-ignore: decorator
@inline function after(slot: u32): u32 {
  return slot + 1 == SLOTS ? 0 : slot + 1;
}

// @ts-ignore: decorator
@inline function keyOf(domain: u32, vtep: u32): u32 {
  return (domain << 16) | vtep;
}

/** The slot of `key`, or the free one where it would go. */
function probe(key: u32): u32 {
  let slot = home(key);
  while (at(slot).key != 0 && at(slot).key != key) slot = after(slot);
  return slot;
}

export function has(domain: u32, vtep: u32): bool {
  const key = keyOf(domain, vtep);
  return at(probe(key)).key == key;
}

/** The list of a domain: `for (let m = first(domain); m != 0; m = next(m)) vtepOf(m)`. */
// @ts-ignore: decorator
@inline export function first(domain: u32): u32 {
  return domains.at(domain).firstMember;
}

// @ts-ignore: decorator
@inline export function next(member: u32): u32 {
  return at(member - 1).next;
}

// @ts-ignore: decorator
@inline export function vtepOf(member: u32): u32 {
  return at(member - 1).key & 0xffff;
}

/** False when the table is full. */
export function add(domain: u32, vtep: u32): bool {
  const key = keyOf(domain, vtep);
  const slot = probe(key);
  const entry = at(slot);
  if (entry.key == key) return true;
  if (count >= <u32>MEMBER_MAX) return false;
  const list = domains.at(domain);
  entry.key = key;
  entry.previous = 0;
  entry.next = list.firstMember;
  if (entry.next != 0) at(entry.next - 1).previous = slot + 1;
  list.firstMember = slot + 1;
  list.members++;
  count++;
  return true;
}

export function remove(domain: u32, vtep: u32): void {
  const key = keyOf(domain, vtep);
  const slot = probe(key);
  const entry = at(slot);
  if (entry.key != key) return;
  const list = domains.at(domain);
  if (entry.previous != 0) at(entry.previous - 1).next = entry.next;
  else list.firstMember = entry.next;
  if (entry.next != 0) at(entry.next - 1).previous = entry.previous;
  list.members--;
  count--;
  close(slot);
}

/** Closes the gap at `slot`: each entry behind it that may stand there moves up, until a free slot ends the cluster. */
function close(gap: u32): void {
  let hole = gap;
  let slot = after(hole);
  while (at(slot).key != 0) {
    const distance = span(home(at(slot).key), slot);
    if (distance >= span(hole, slot)) {
      move(slot, hole);
      hole = slot;
    }
    slot = after(slot);
  }
  at(hole).key = 0;
}

// @ts-ignore: decorator
@inline function span(from: u32, to: u32): u32 {
  return to >= from ? to - from : to + SLOTS - from;
}

function move(from: u32, to: u32): void {
  const source = at(from);
  const target = at(to);
  target.key = source.key;
  target.next = source.next;
  target.previous = source.previous;
  if (target.previous != 0) at(target.previous - 1).next = to + 1;
  else domains.at(target.key >> 16).firstMember = to + 1;
  if (target.next != 0) at(target.next - 1).previous = to + 1;
}

export function removeDomain(domain: u32): void {
  while (domains.at(domain).firstMember != 0) remove(domain, vtepOf(domains.at(domain).firstMember));
}

export function removeVtep(vtep: u32): void {
  for (let domain: u32 = 0; domain < <u32>DOMAIN_MAX; domain++) if (domains.at(domain).members != 0) remove(domain, vtep);
}

/** Copies keys from slot `from` on to `target`, at most `room`; the slot to go on at, 0 at the end. `copied()` says how many. */
export function dump(from: u32, target: usize, room: u32): u32 {
  let n: u32 = 0;
  let slot = from;
  for (; slot < SLOTS && n < room; slot++) {
    const key = at(slot).key;
    if (key != 0) store<u32>(target + <usize>(n++ * MEMBER_ENTRY_LENGTH), key);
  }
  dumped = n;
  return slot < SLOTS ? slot : 0;
}

export function copied(): u32 {
  return dumped;
}

export function reset(): void {
  memory.fill(MEMBERS, 0, MEMBERS_LENGTH);
  count = 0;
}
