// Doubt: somebody says by ICMP that the path to a VTEP is narrow, of VXLAN in the clear, where there is no secret: addresses, ports and
// VNI are easily guessed. What only the path and the two ends have seen is the content of a datagram sent a moment ago: sequence
// numbers and checksums of what is inside. So a first error proves nothing but raises a doubt; from then on the beginning of one
// long datagram is noted, and who quotes that one is believed. A router that means it does so at the sender's next attempt.
//
//   NOTES  128 B a VTEP   │ VXLAN │ the first 80 bytes of the frame │         how long it was and since when: tables/vtep
//
// One note a VTEP: the longest datagram of the clock's second, since of all that are sent the longest is the one that a narrow link
// stops, and since errors come within that time. Each note proves once. Paths that nobody doubts, nearly all, pay for a load.
//
// A router that received a run of datagrams as one (GRO) quotes it as one: the first, with the length of all. So of a super-frame
// the first segment is noted, and a quoted length may be greater than the note's.
import { NOTES, NOTES_LENGTH } from "../shared/layout";
import { PATH_MTU_AGE_S, VTEP_MAX } from "../shared/limits";
import { VXLAN_HEADER_LENGTH } from "../shared/protocol";
import * as clock from "../core/clock";
import { plainOverhead } from "./path";
import * as vteps from "./vtep";

/** Bytes of a datagram that are noted: with IPv6 and TCP inside they reach behind TCP's checksum. */
export const PROOF_LENGTH: u32 = VXLAN_HEADER_LENGTH + 80;

const STRIDE: usize = 128;
if (VTEP_MAX * 128 > NOTES_LENGTH) ERROR("NOTES outgrows its region");

// @ts-ignore: decorator
@inline function at(vtep: u32): usize {
  return <usize>NOTES + <usize>vtep * STRIDE;
}

/** Has the next longer datagrams looked at. A doubt that says more than one that stands changes nothing but its time. */
export function raise(vtep: u32, bytes: u32): void {
  const former = vteps.at(vtep).doubt;
  vteps.question(vtep, former == 0 ? bytes : min(former, bytes), clock.seconds() + PATH_MTU_AGE_S);
}

/** It was true: looked into for some time after it was forgotten too, so that the next error about it needs no second one. */
export function settle(vtep: u32, bytes: u32): void {
  vteps.at(vtep).notedBytes = 0;
  vteps.question(vtep, bytes, clock.seconds() + 2 * PATH_MTU_AGE_S);
}

/** A datagram goes to a VTEP in doubt: `headLength` bytes at `head`, VXLAN header first, then `tailLength` at `tail`. */
export function note(vtep: u32, head: usize, headLength: u32, tail: usize, tailLength: u32): void {
  const entry = vteps.at(vtep);
  const bytes = plainOverhead(vtep) - VXLAN_HEADER_LENGTH + headLength + tailLength;
  if (bytes <= entry.doubt) return;
  const now = clock.seconds();
  if (bytes <= entry.notedBytes && now == entry.notedAt) return;
  entry.notedBytes = bytes;
  entry.notedAt = now;
  const first = min(headLength, PROOF_LENGTH);
  memory.copy(at(vtep), head, first);
  if (first < PROOF_LENGTH) memory.copy(at(vtep) + first, tail, PROOF_LENGTH - first);
}

/** Whether PROOF_LENGTH bytes at `quoted`, of an IP packet of `total` bytes that can't be sent on for more than `most`, are the note's. */
export function proves(vtep: u32, quoted: usize, total: u32, most: u32): bool {
  const noted = vteps.at(vtep).notedBytes;
  return most < noted && noted <= total && memory.compare(at(vtep), quoted, PROOF_LENGTH) == 0;
}
