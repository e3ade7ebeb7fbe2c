// Bridge domains: one broadcast domain each. Written by the control plane; the counts by tables/port, tables/member and
// tables/fdb; `learned` is the path's own.
//
//   0       4          8     12         16        20        24          26      28            32
//   ┌───────┬──────────┬─────┬──────────┬─────────┬─────────┬───────────┬───────┬─────────────┬─────────┐
//   │ flags │ mtuBytes │ vni │ fdbLimit │ fdbAgeS │ learned │ firstPort │ ports │ firstMember │ members │
//   └───────┴──────────┴─────┴──────────┴─────────┴─────────┴───────────┴───────┴─────────────┴─────────┘
//   36     40       44          48       52
//   ┌──────┬────────┬───────────┬────────┬───┐
//   │ used │ pinned │ neighbors │ uplink │   │ 64
//   └──────┴────────┴───────────┴────────┴───┘
//
// A frame from a tunnel finds its domain by VNI_INDEX: open addressing over 8-byte slots, made anew when a VNI goes, for
// that is rare and an index without deletion has no tombstones.
//
//   0         4        8
//   ┌─────────┬────────┐
//   │ VNI + 1 │ domain │   0 = free
//   └─────────┴────────┘
//
import {
  DOMAIN_FDB_AGE_S, DOMAIN_FDB_LIMIT, DOMAIN_FLAGS, DOMAIN_LENGTH, DOMAIN_MTU, DOMAIN_USED, DOMAIN_VNI, VNI_NONE,
} from "../shared/abi";
import { DOMAINS, DOMAINS_LENGTH, VNI_INDEX, VNI_INDEX_LENGTH } from "../shared/layout";
import { DOMAIN_MAX } from "../shared/limits";

@unmanaged export class BridgeDomain {
  flags: u32; // DOMAIN_FLAG_*
  mtuBytes: u32; // largest IP packet
  vni: u32; // VNI_NONE without DOMAIN_FLAG_HAS_VNI
  fdbLimit: u32; // entries it may learn
  fdbAgeS: u32; // 0: they stay
  learned: u32; // entries learned now
  firstPort: u16; // port + 1, 0: none; the list goes on in the ports' entries
  ports: u16;
  firstMember: u32; // slot + 1 in MEMBERS, 0: none
  members: u32;
  used: u32;
  pinned: u32; // static FDB entries
  neighbors: u32;
  uplink: u32; // port + 1, 0: none
}

if (offsetof<BridgeDomain>() != 52) ERROR("BridgeDomain's fields must end at 52 bytes");
if (offsetof<BridgeDomain>("flags") != DOMAIN_FLAGS) ERROR("flags is not at DOMAIN_FLAGS");
if (offsetof<BridgeDomain>("mtuBytes") != DOMAIN_MTU) ERROR("mtuBytes is not at DOMAIN_MTU");
if (offsetof<BridgeDomain>("vni") != DOMAIN_VNI) ERROR("vni is not at DOMAIN_VNI");
if (offsetof<BridgeDomain>("fdbLimit") != DOMAIN_FDB_LIMIT) ERROR("fdbLimit is not at DOMAIN_FDB_LIMIT");
if (offsetof<BridgeDomain>("fdbAgeS") != DOMAIN_FDB_AGE_S) ERROR("fdbAgeS is not at DOMAIN_FDB_AGE_S");
if (offsetof<BridgeDomain>("used") != DOMAIN_USED) ERROR("used is not at DOMAIN_USED");

const LENGTH: usize = DOMAIN_LENGTH;
if (DOMAIN_MAX * DOMAIN_LENGTH > DOMAINS_LENGTH) ERROR("DOMAINS outgrows its region");

const SLOTS: u32 = VNI_INDEX_LENGTH / 8;
if (DOMAIN_MAX * 2 > VNI_INDEX_LENGTH / 8) ERROR("VNI_INDEX would be more than half full");

/** The entry of an index below DOMAIN_MAX, set or not. */
// @ts-ignore: decorator
@inline export function at(domain: u32): BridgeDomain {
  return changetype<BridgeDomain>(<usize>DOMAINS + <usize>domain * LENGTH);
}

// @ts-ignore: decorator
@inline export function isSet(domain: u32): bool {
  return domain < <u32>DOMAIN_MAX && at(domain).used != 0;
}

// @ts-ignore: decorator
@inline function slotAt(slot: u32): usize {
  return <usize>VNI_INDEX + <usize>((slot & (SLOTS - 1)) << 3);
}

// @ts-ignore: decorator
@inline function home(vni: u32): u32 {
  return (vni * 0x9e3779b1) >> 18; // 32 - log2(SLOTS)
}

if (VNI_INDEX_LENGTH / 8 != 16384) ERROR("home() is made for 16384 slots");

/** The domain that has this VNI, or -1. */
export function byVni(vni: u32): i32 {
  let slot = home(vni);
  let p = slotAt(slot);
  while (load<u32>(p) != 0) {
    if (load<u32>(p) == vni + 1) return load<i32>(p, 4);
    p = slotAt(++slot);
  }
  return -1;
}

/** Sets the entry, keeping ports, members and what it learned. The caller has checked ranges and that no other has the VNI. */
export function set(domain: u32, vni: u32, flags: u32, mtuBytes: u32, fdbLimit: u32, fdbAgeS: u32): void {
  const entry = at(domain);
  const before = entry.used ? entry.vni : <u32>VNI_NONE;
  if (!entry.used) memory.fill(changetype<usize>(entry), 0, LENGTH);
  entry.used = 1;
  entry.flags = flags;
  entry.mtuBytes = mtuBytes;
  entry.vni = vni;
  entry.fdbLimit = fdbLimit;
  entry.fdbAgeS = fdbAgeS;
  if (before == vni) return;
  if (before != <u32>VNI_NONE) rebuild();
  else index(domain, vni);
}

/** The caller has emptied its lists. */
export function remove(domain: u32): void {
  const entry = at(domain);
  if (!entry.used) return;
  const vni = entry.vni;
  memory.fill(changetype<usize>(entry), 0, LENGTH);
  if (vni != <u32>VNI_NONE) rebuild();
}

function index(domain: u32, vni: u32): void {
  let slot = home(vni);
  while (load<u32>(slotAt(slot)) != 0) slot++;
  store<u32>(slotAt(slot), vni + 1);
  store<u32>(slotAt(slot), domain, 4);
}

function rebuild(): void {
  memory.fill(VNI_INDEX, 0, VNI_INDEX_LENGTH);
  for (let domain: u32 = 0; domain < <u32>DOMAIN_MAX; domain++) {
    const entry = at(domain);
    if (entry.used && entry.vni != <u32>VNI_NONE) index(domain, entry.vni);
  }
}

export function reset(): void {
  memory.fill(DOMAINS, 0, DOMAINS_LENGTH);
  memory.fill(VNI_INDEX, 0, VNI_INDEX_LENGTH);
}
