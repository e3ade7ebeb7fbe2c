// Security associations (core/sa draws one), by index, and for those that we receive by: by SPI. Written by the control plane;
// counted in by esp-encrypt and esp-decrypt.
//
//   SPI_INDEX   0     4    8
//               ┌─────┬────┐
//               │ SPI │ SA │   open addressing, 0 = free; made anew when an association goes
//               └─────┴────┘
//
// A reset of the engine forgets the associations but not how far they were used: the host sets the same ones again after a
// trap, and a sequence number must never be sent twice under one key. `set` goes on behind the number where the former engine
// may have been, and keeps an inbound one's window, so that a trap opens no door to replays.
//
import { SA_FLAG_OUTBOUND, SA_LENGTH } from "../shared/abi";
import { SAD, SAD_LENGTH, SPI_INDEX, SPI_INDEX_LENGTH } from "../shared/layout";
import { SA_MAX } from "../shared/limits";
import * as replay from "../core/replay";
import { SecurityAssociation } from "../core/sa";

if (SA_MAX * SA_LENGTH > SAD_LENGTH) ERROR("SAD outgrows its region");
if (SPI_INDEX_LENGTH / 8 != 16384) ERROR("home() is made for 16384 slots");

const SLOTS: u32 = SPI_INDEX_LENGTH / 8;
/** Sequence numbers left out after a reset: more than one batch can have used. */
const SKIP: u64 = 1 << 20;

/** The entry of an index below SA_MAX, set or not. */
// @ts-ignore: decorator
@inline export function at(sa: u32): SecurityAssociation {
  return changetype<SecurityAssociation>(<usize>SAD + <usize>sa * SA_LENGTH);
}

// @ts-ignore: decorator
@inline export function isSet(sa: u32): bool {
  return sa != 0 && sa < <u32>SA_MAX && at(sa).used != 0;
}

// @ts-ignore: decorator
@inline function slotAt(slot: u32): usize {
  return <usize>SPI_INDEX + <usize>((slot & (SLOTS - 1)) << 3);
}

// @ts-ignore: decorator
@inline function home(spi: u32): u32 {
  return (spi * 0x9e3779b1) >> 18; // 32 - log2(SLOTS)
}

/** The inbound association with this SPI, or 0. */
export function bySpi(spi: u32): u32 {
  let slot = home(spi);
  let p = slotAt(slot);
  while (load<u32>(p) != 0) {
    if (load<u32>(p) == spi) return load<u32>(p, 4);
    p = slotAt(++slot);
  }
  return 0;
}

/**
 * An unused entry for this SPI and direction, its counters zero but for what a former engine used of the same one, and not below
 * `first`: what an earlier daemon may have sent, or has received. The caller has checked ranges, and that no other inbound one
 * has the SPI; it fills in the rest.
 */
export function claim(sa: u32, spi: u32, flags: u32, first: u64): SecurityAssociation {
  const entry = at(sa);
  const outbound = flags & SA_FLAG_OUTBOUND;
  const again = entry.spi == spi && (entry.flags & SA_FLAG_OUTBOUND) == outbound;
  const sequence = again ? entry.sequence : 0;
  memory.fill(changetype<usize>(entry), 0, SA_LENGTH);
  entry.used = 1;
  entry.spi = spi;
  entry.flags = flags;
  if (outbound != 0) {
    entry.sequence = max<u64>(first, sequence == 0 ? 0 : sequence + SKIP);
  } else {
    entry.sequence = max<u64>(first, sequence);
    if (!again || first > sequence) replay.startBehind(sa, first);
    index(sa, spi);
  }
  return entry;
}

/** Forgets the association, and how far it was used. */
export function remove(sa: u32): void {
  const inbound = (at(sa).flags & SA_FLAG_OUTBOUND) == 0;
  memory.fill(changetype<usize>(at(sa)), 0, SA_LENGTH);
  if (inbound) rebuild();
}

/** Those with this VTEP go. */
export function removeVtep(vtep: u32): void {
  for (let sa: u32 = 1; sa < <u32>SA_MAX; sa++) if (at(sa).used && <u32>at(sa).vtep == vtep) remove(sa);
}

function index(sa: u32, spi: u32): void {
  let slot = home(spi);
  while (load<u32>(slotAt(slot)) != 0) slot++;
  store<u32>(slotAt(slot), spi);
  store<u32>(slotAt(slot), sa, 4);
}

function rebuild(): void {
  memory.fill(SPI_INDEX, 0, SPI_INDEX_LENGTH);
  for (let sa: u32 = 1; sa < <u32>SA_MAX; sa++) {
    const entry = at(sa);
    if (entry.used && (entry.flags & SA_FLAG_OUTBOUND) == 0) index(sa, entry.spi);
  }
}

/** No association is set; how far each was used stays. */
export function reset(): void {
  memory.fill(SPI_INDEX, 0, SPI_INDEX_LENGTH);
  for (let sa: u32 = 0; sa < <u32>SA_MAX; sa++) at(sa).used = 0;
}
