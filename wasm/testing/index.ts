// The second entry: internals that tests look at from outside, compiled into a module of their own so that the engine's has
// no export that the product does not call.
//
import * as aes from "../crypto/aes";
import * as chacha20 from "../crypto/chacha20";
import * as chacha20Poly1305 from "../crypto/chacha20-poly1305";
import * as gcm from "../crypto/gcm";
import { ARGUMENTS, RX_ARENA } from "../shared/layout";
import * as checksum from "../core/checksum";
import { classify } from "../core/classify";
import * as packets from "../core/packet";
import * as replay from "../core/replay";
import * as fdb from "../tables/fdb";

export function checksumInitialise(): void {
  checksum.initialise();
}

/** The folded sum of `length` bytes at `p`, in memory order. */
export function checksumFold(p: u32, length: u32): u32 {
  return checksum.fold(checksum.sum(p, length));
}

export function checksumComplement(p: u32, length: u32): u32 {
  return checksum.complement(checksum.sum(p, length));
}

export function checksumComplementNonZero(p: u32, length: u32): u32 {
  return checksum.complementNonZero(checksum.sum(p, length));
}

/** Classifies `length` bytes at `p` and answers where the packet's descriptor stands; 0 if an IP header contradicts them. */
export function classifyFrame(p: u32, length: u32): u32 {
  packets.reset();
  const packet = packets.take();
  packet.offset = p;
  packet.length = length;
  return classify(packet) ? <u32>changetype<usize>(packet) : 0;
}

export function fdbReset(slots: u32): void {
  fdb.reset(slots);
}

/** For bench/micro: looks up and learns `count` MACs of domain 0, spread over the table, `times` over. Entries found. */
export function fdbRepeat(count: u32, times: u32): u32 {
  let found: u32 = 0;
  for (let t: u32 = 0; t < times; t++) {
    for (let i: u32 = 0; i < count; i++) {
      const mac = <u64>(i * 0x9e3779b1) | 0x020000000000;
      if (fdb.find(fdb.keyOf(0, mac)) !== null) found++;
      fdb.learn(fdb.keyOf(0, mac), 1, 0, true);
    }
  }
  return found;
}

/** core/replay over window 1, which `replayStart` begins behind `newest`: FRESH, REPLAYED or LATE; FRESH ones are accepted. */
export function replayOffer(newest: u64, sequence: u64): u32 {
  const news = replay.check(1, newest, sequence);
  if (news == replay.FRESH) replay.accept(1, newest, sequence);
  return news;
}

export function replayStart(newest: u64): void {
  replay.startBehind(1, newest);
}

export function replayExtend(newest: u64, low: u32): u64 {
  return replay.extend(newest, low);
}

/**
 * Seals or opens the `length` bytes at RX_ARENA under an AAD of any length, as no operation can: key at ARGUMENTS, nonce 32 bytes
 * behind it, AAD 64 bytes behind it, ICV behind the payload. keyBytes 0: ChaCha20-Poly1305.
 */
export function aeadDirectly(seals: bool, keyBytes: u32, aadBytes: u32, length: u32): bool {
  const nonce = ARGUMENTS + 32;
  const aad = ARGUMENTS + 64;
  chacha20.initialise();
  if (keyBytes == 0) return chacha20Poly1305.run(seals, ARGUMENTS, nonce, aad, aadBytes, RX_ARENA, length, 16);
  const schedule = RX_ARENA + 0x100000;
  const h = schedule + 0x1000;
  const rounds = aes.roundsOf(keyBytes);
  aes.expand(ARGUMENTS, keyBytes, schedule);
  gcm.derive(schedule, rounds, h);
  gcm.use(schedule, rounds, h);
  return gcm.run(seals, rounds, nonce, aad, aadBytes, RX_ARENA, length, 16);
}
