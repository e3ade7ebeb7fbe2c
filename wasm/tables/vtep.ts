// VTEPs: the other hosts' tunnel ends. Written by the control plane; read by vxlan-decap (who sent it?) and vxlan-encap.
//
//   0                16        18     20     24        28        32        36
//   ┌────────────────┬─────────┬──────┬──────┬─────────┬─────────┬─────────┬───────────────────────────────┐
//   │ address        │ udpPort │ port │ used │ learned │ pathMtu │ expires │ the same in the clear; doubts │ 64
//   └────────────────┴─────────┴──────┴──────┴─────────┴─────────┴─────────┴───────────────────────────────┘
//
// Addresses: IPv4 as ::ffff:a.b.c.d; transmit descriptors point at them. pathMtu is what node path-mtu was told of ESP, plainMtu of
// what goes in the clear, which proves less and so must not narrow ESP's; of doubts tables/doubt knows. A sweep each second forgets
// what expired.
//
// A sender's address finds its VTEP by VTEP_INDEX: open addressing over u16 slots (the VTEP, 0 = free; VTEP 0 is never
// used), the address itself being compared in the entry. It is made anew when a VTEP goes.
//
import { VTEP_ADDRESS, VTEP_LENGTH, VTEP_PATH_MTU, VTEP_PORT, VTEP_UDP_PORT, VTEP_USED } from "../shared/abi";
import { VTEPS, VTEPS_LENGTH, VTEP_INDEX, VTEP_INDEX_LENGTH } from "../shared/layout";
import { VTEP_MAX } from "../shared/limits";

@unmanaged export class Vtep {
  addressLow: u64; // the address's bytes 0..8 as loaded
  addressHigh: u64; // 8..16
  udpPort: u16; // it listens on
  port: u16; // underlay port to send by
  used: u32;
  learned: u32; // FDB entries learned from it
  pathMtu: u32; // longest IP packet of ESP that the path carries, 0: as long as the network's are
  expires: u32; // second in which that is forgotten
  plainMtu: u32; // of VXLAN in the clear
  plainExpires: u32;
  doubt: u32; // what an error without proof said of plainMtu, 0: none did
  doubtExpires: u32;
  notedBytes: u32; // length of the IP packet whose beginning stands in NOTES, 0: none does
  notedAt: u32; // in which second
}

if (offsetof<Vtep>() != 60) ERROR("Vtep's fields must end at 60 bytes");
if (offsetof<Vtep>("addressLow") != VTEP_ADDRESS) ERROR("addressLow is not at VTEP_ADDRESS");
if (offsetof<Vtep>("udpPort") != VTEP_UDP_PORT) ERROR("udpPort is not at VTEP_UDP_PORT");
if (offsetof<Vtep>("port") != VTEP_PORT) ERROR("port is not at VTEP_PORT");
if (offsetof<Vtep>("used") != VTEP_USED) ERROR("used is not at VTEP_USED");
if (offsetof<Vtep>("pathMtu") != VTEP_PATH_MTU) ERROR("pathMtu is not at VTEP_PATH_MTU");

const LENGTH: usize = VTEP_LENGTH;
const MAPPED_PREFIX: u32 = 0xffff0000; // bytes 8..12 of ::ffff:a.b.c.d, as loaded
const SLOTS: u32 = VTEP_INDEX_LENGTH / 2;
if (VTEP_MAX * VTEP_LENGTH > VTEPS_LENGTH) ERROR("VTEPS outgrows its region");
if (VTEP_INDEX_LENGTH / 2 != 32768) ERROR("home() is made for 32768 slots");

let narrowed = false; // some entry has something that expires

/** The entry of an index below VTEP_MAX, set or not. Its first 16 bytes are the address: what TX_DESTINATION refers to. */
// @ts-ignore: decorator
@inline export function at(vtep: u32): Vtep {
  return changetype<Vtep>(<usize>VTEPS + <usize>vtep * LENGTH);
}

// @ts-ignore: decorator
@inline export function isSet(vtep: u32): bool {
  return vtep != 0 && vtep < <u32>VTEP_MAX && at(vtep).used != 0;
}

// @ts-ignore: decorator
@inline function slotAt(slot: u32): usize {
  return <usize>VTEP_INDEX + <usize>((slot & (SLOTS - 1)) << 1);
}

// @ts-ignore: decorator
@inline function home(low: u64, high: u64): u32 {
  return <u32>(((low * 0x9e3779b97f4a7c15) ^ high) * 0xd6e8feb86659fd93 >> 49); // 64 - log2(SLOTS)
}

// @ts-ignore: decorator
@inline export function isIpv4(vtep: u32): bool {
  return at(vtep).addressLow == 0 && <u32>at(vtep).addressHigh == MAPPED_PREFIX;
}

/** The VTEP whose 16-byte address stands at `address`, or 0. */
export function find(address: usize): u32 {
  const low = load<u64>(address);
  const high = load<u64>(address, 8);
  let slot = home(low, high);
  let vtep: u32 = load<u16>(slotAt(slot));
  while (vtep != 0) {
    const entry = at(vtep);
    if (entry.addressHigh == high && entry.addressLow == low) return vtep;
    vtep = load<u16>(slotAt(++slot));
  }
  return 0;
}

/** Sets the entry. The caller has checked ranges and that no other VTEP has the address. */
export function set(vtep: u32, address: usize, udpPort: u32, port: u32): void {
  const entry = at(vtep);
  const low = load<u64>(address);
  const high = load<u64>(address, 8);
  const moved = entry.used != 0 && (entry.addressLow != low || entry.addressHigh != high);
  const fresh = entry.used == 0;
  if (fresh) entry.learned = 0;
  if (moved) forgetPath(entry);
  entry.addressLow = low;
  entry.addressHigh = high;
  entry.udpPort = <u16>udpPort;
  entry.port = <u16>port;
  entry.used = 1;
  if (moved) rebuild();
  else if (fresh) index(vtep);
}

export function remove(vtep: u32): void {
  if (!at(vtep).used) return;
  memory.fill(changetype<usize>(at(vtep)), 0, LENGTH);
  rebuild();
}

function index(vtep: u32): void {
  const entry = at(vtep);
  let slot = home(entry.addressLow, entry.addressHigh);
  while (load<u16>(slotAt(slot)) != 0) slot++;
  store<u16>(slotAt(slot), <u16>vtep);
}

function rebuild(): void {
  memory.fill(VTEP_INDEX, 0, VTEP_INDEX_LENGTH);
  for (let vtep: u32 = 1; vtep < <u32>VTEP_MAX; vtep++) if (at(vtep).used) index(vtep);
}

/** Believes that the path to `vtep` carries no more than `bytes`, until second `expires`. */
export function narrow(vtep: u32, bytes: u32, expires: u32): void {
  at(vtep).pathMtu = bytes;
  at(vtep).expires = expires;
  narrowed = true;
}

/** The same of what goes there in the clear. */
export function narrowPlain(vtep: u32, bytes: u32, expires: u32): void {
  at(vtep).plainMtu = bytes;
  at(vtep).plainExpires = expires;
  narrowed = true;
}

/** An error without proof said that the path to `vtep` carries no more than `bytes`: looked into until second `expires`. */
export function question(vtep: u32, bytes: u32, expires: u32): void {
  at(vtep).doubt = bytes;
  at(vtep).doubtExpires = expires;
  narrowed = true;
}

function forgetPath(entry: Vtep): void {
  entry.pathMtu = 0;
  entry.plainMtu = 0;
  entry.doubt = 0;
  entry.notedBytes = 0;
}

/** Forgets what was believed of paths until now: one may have become wider. */
export function sweep(second: u32): void {
  if (!narrowed) return;
  narrowed = false;
  for (let vtep: u32 = 1; vtep < <u32>VTEP_MAX; vtep++) {
    const entry = at(vtep);
    if (entry.expires <= second) entry.pathMtu = 0;
    if (entry.plainExpires <= second) entry.plainMtu = 0;
    if (entry.doubtExpires <= second) {
      entry.doubt = 0;
      entry.notedBytes = 0;
    }
    if ((entry.pathMtu | entry.plainMtu | entry.doubt) != 0) narrowed = true;
  }
}

export function reset(): void {
  narrowed = false;
  memory.fill(VTEPS, 0, VTEPS_LENGTH);
  memory.fill(VTEP_INDEX, 0, VTEP_INDEX_LENGTH);
}
