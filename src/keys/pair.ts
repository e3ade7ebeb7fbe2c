// One pair of hosts with a common seed, as this host sees it: which keys there are, and what an arriving datagram of an unknown
// key means. Pure: no clock, store or datapath; service.ts stores each new state before it declares what follows from it.
//
//   index      position of the ring: what we seal by, and the peer should. Only grows; moves when either host moves it
//   session    a life of one host: (epoch, tag). Ours changes with each start, and when the worker with our keys has died
//   floor      below it nothing is accepted. What was received before this life may come again (its replay window is gone),
//              and it was all of lower indexes: inbound associations reach to index + 1, so a life begins at stored index + 2
//
//   out        one: (our session, index)
//   in         the peer's newest session: from the index the peer was last heard by, but floor and index - 2 at least, to
//              index + 1: four at most, since an SPI says the index modulo 4. Both hosts thus have the next key before either uses it
//
// A session of the peer is taken if it is newer: of a later epoch, or of the same epoch (its worker died, or its state was
// copied) and a higher index than any before. Older ones are recordings.
import type { EspAlgorithm } from "../datapath/declarations.ts";
import { deriveKey } from "./derive.ts";
import { decodeSpi, EPOCH_MODULUS, encodeSpi, INDEX_MODULUS } from "./spi.ts";
import { isSealedBy } from "./verify.ts";

/** Missed starts of the peer that its SPI may hide: 16 times 256. */
const EPOCHS_AHEAD = 16;
/** How far indexes may lie apart, of the nearest epoch and of others. */
const NEAR = { back: 256, ahead: 1024 };
const FAR = { back: 4, ahead: 60 };

export interface Session {
  readonly epoch: number;
  readonly tag: number;
}

export interface PairState {
  readonly own: Session;
  readonly index: number;
  readonly floor: number;
  /** Null: never heard. */
  readonly peer: Session | null;
  /** Highest index of an authentic datagram of the peer's in this life of ours; 0: none. */
  readonly peerIndex: number;
}

/** What both hosts know. */
export interface PairIdentity {
  readonly seed: Uint8Array;
  readonly algorithm: EspAlgorithm;
  readonly localId: string;
  readonly peerId: string;
}

/** Names an association of the pair. */
export interface Slot extends Session {
  readonly direction: "in" | "out";
  readonly index: number;
  readonly spi: number;
}

const slot = (direction: Slot["direction"], { epoch, tag }: Session, index: number): Slot => ({
  direction,
  epoch,
  tag,
  index,
  spi: encodeSpi({ epoch, tag, index }),
});

/** The associations that the state means, the outbound one first. */
export function slotsOf({ own, index, floor, peer, peerIndex }: PairState): Slot[] {
  const slots = [slot("out", own, index)];
  if (peer === null) return slots;
  const from = Math.max(floor, Math.min(index - 1, Math.max(peerIndex, index - 2)));
  for (let one = from; one <= index + 1; one++) slots.push(slot("in", peer, one));
  return slots;
}

/** Key and salt; the caller overwrites it. */
export function keyOf({ seed, algorithm, localId, peerId }: PairIdentity, { direction, index, epoch, spi }: Slot): Uint8Array {
  const [sender, receiver] = direction === "out" ? [localId, peerId] : [peerId, localId];
  return deriveKey(seed, { sender, receiver, index, epoch, spi, algorithm });
}

/** A life begins, or what windows and numbers there were is lost. */
export function renewed(stored: { readonly index: number; readonly peer: Session | null }, own: Session): PairState {
  const index = stored.index + 2;
  return { own, index, floor: index, peer: stored.peer, peerIndex: 0 };
}

/** The peer was heard by the ring position `index`: of its newest session. */
export function heard(state: PairState, index: number): PairState {
  if (index <= state.peerIndex) return state;
  return { ...state, peerIndex: index, index: Math.max(state.index, index) };
}

export const rotated = (state: PairState): PairState => ({ ...state, index: state.index + 1 });

/** Another session at the same position, for a peer that mistakes our SPIs. The tag must be one that this epoch has not had. */
export const retagged = (state: PairState, tag: number): PairState => ({ ...state, own: { epoch: state.own.epoch, tag } });

/** Whether the peer seals by what we seal by: a further rotation would leave it behind. */
export const hasFollowed = ({ peerIndex, index }: PairState): boolean => peerIndex >= index;

/** Whether the peer, which may know our session since its first position, has the next one at hand: else its SPI is ambiguous. */
export const isWithinReach = ({ peerIndex, floor, index }: PairState): boolean => index - Math.max(peerIndex, floor) <= 1;

/** By which key of the peer's the datagram was sealed; null: by none. Derives some hundred keys at most. */
export function recognize(state: PairState, identity: PairIdentity, spi: number, datagram: Uint8Array): Slot | null {
  const said = decodeSpi(spi);
  if (said === null) return null;
  const least = state.peer?.epoch ?? 0;
  const first = least + ((said.epoch - least + EPOCH_MODULUS * Math.ceil(least / EPOCH_MODULUS)) % EPOCH_MODULUS);
  for (let turn = 0; turn < EPOCHS_AHEAD; turn++) {
    const epoch = first + turn * EPOCH_MODULUS;
    const { back, ahead } = turn === 0 ? NEAR : FAR;
    for (const index of nearest(state.index, said.index, back, ahead)) {
      const candidate: Slot = { direction: "in", epoch, tag: said.tag, index, spi };
      const key = keyOf(identity, candidate);
      const sealed = isSealedBy(datagram, identity.algorithm, key);
      key.fill(0);
      if (sealed) return candidate;
    }
  }
  return null;
}

/** Indexes with this remainder, those first that lie nearest. */
function nearest(center: number, remainder: number, back: number, ahead: number): number[] {
  const all: number[] = [];
  const from = Math.max(1, center - back);
  for (let index = from + ((((remainder - from) % INDEX_MODULUS) + INDEX_MODULUS) % INDEX_MODULUS); index <= center + ahead; index += 4)
    all.push(index);
  return all.sort((a, b) => Math.abs(a - center) - Math.abs(b - center));
}

export type Verdict =
  /** Take it: the state that follows. */
  | { readonly kind: "accept"; readonly state: PairState }
  /** The peer is behind: let it hear from us. `isLate`: or was, for it has been heard further on. */
  | { readonly kind: "answer"; readonly isLate: boolean }
  /** A copy of the peer, or a recording of it: only a higher index tells them apart. */
  | { readonly kind: "contend" };

/** What a datagram means that `recognize` has named. */
export function judge(state: PairState, from: Slot): Verdict {
  const { peer, floor, index } = state;
  const session = { epoch: from.epoch, tag: from.tag };
  const isKnown = peer !== null && peer.epoch === session.epoch && peer.tag === session.tag;
  if (from.index < floor || from.index < index - 1) return { kind: "answer", isLate: isKnown && state.peerIndex > from.index };
  if (isKnown) return { kind: "accept", state: heard(state, from.index) };
  // Of another session of the same epoch, some may be on record: all of it by indexes up to the last one heard.
  const isNewer = peer === null || session.epoch > peer.epoch || from.index > Math.max(state.peerIndex, state.floor - 1);
  if (!isNewer) return { kind: "contend" };
  // Of the same epoch, this session may have been taken before, and its windows are gone.
  const least = session.epoch === peer?.epoch ? from.index : floor;
  const next = { ...state, peer: session, peerIndex: from.index, index: Math.max(index, from.index), floor: Math.max(floor, least) };
  return { kind: "accept", state: next };
}
