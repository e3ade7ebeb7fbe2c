// Which of 2^n numbers are taken, for any n up to 128: a bitmap in chunks, of which only those with a bit set exist. A /8 or a
// /64 costs nothing until it is used, and then 2 KiB for each 16,384 neighbours.
//
// nextFree looks at a chunk only if it has room, and at 32 numbers at a time in it, so that a million addresses in use cost
// the look at 61 counts and at most 512 words.

const CHUNK_BITS = 16384;
const CHUNK_SHIFT = 14n;
const CHUNK_MASK = BigInt(CHUNK_BITS - 1);
const FULL_WORD = 0xffffffff;

interface Chunk {
  readonly words: Uint32Array;
  count: number;
}

export class SparseBitmap {
  readonly #chunks = new Map<bigint, Chunk>();
  #count = 0n;

  /** How many are taken. */
  get count(): bigint {
    return this.#count;
  }

  has(index: bigint): boolean {
    const chunk = this.#chunks.get(index >> CHUNK_SHIFT);
    if (chunk === undefined) return false;
    const bit = Number(index & CHUNK_MASK);
    return ((chunk.words[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** False if it was taken already. */
  add(index: bigint): boolean {
    const key = index >> CHUNK_SHIFT;
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) {
      chunk = { words: new Uint32Array(CHUNK_BITS / 32), count: 0 };
      this.#chunks.set(key, chunk);
    }
    const bit = Number(index & CHUNK_MASK);
    const mask = 1 << (bit & 31);
    if (chunk.words[bit >>> 5]! & mask) return false;
    chunk.words[bit >>> 5]! |= mask;
    chunk.count++;
    this.#count++;
    return true;
  }

  /** False if it was free already. */
  delete(index: bigint): boolean {
    if (!this.has(index)) return false;
    const key = index >> CHUNK_SHIFT;
    const chunk = this.#chunks.get(key)!;
    const bit = Number(index & CHUNK_MASK);
    chunk.words[bit >>> 5]! &= ~(1 << (bit & 31));
    this.#count--;
    if (--chunk.count === 0) this.#chunks.delete(key);
    return true;
  }

  /** The lowest free number in [from, to], or null. */
  nextFree(from: bigint, to: bigint): bigint | null {
    for (let index = from; index <= to; ) {
      const key = index >> CHUNK_SHIFT;
      const chunk = this.#chunks.get(key);
      if (chunk === undefined) return index;
      if (chunk.count < CHUNK_BITS) {
        const found = firstZero(chunk.words, Number(index & CHUNK_MASK));
        if (found >= 0) {
          const free = (key << CHUNK_SHIFT) + BigInt(found);
          return free <= to ? free : null;
        }
      }
      index = (key + 1n) << CHUNK_SHIFT;
    }
    return null;
  }

  /** What is taken here and not in `other`; a look at the words of both, whatever they hold. */
  without(other: SparseBitmap): bigint[] {
    const found: bigint[] = [];
    for (const [key, { words }] of this.#chunks) {
      const theirs = other.#chunks.get(key)?.words;
      for (let at = 0; at < words.length; at++) {
        for (let bits = words[at]! & ~(theirs?.[at] ?? 0); bits !== 0; bits &= bits - 1) {
          found.push((key << CHUNK_SHIFT) + BigInt(at * 32 + 31 - Math.clz32(bits & -bits)));
        }
      }
    }
    return found;
  }

  /** How many in [from, to] are taken. */
  countIn(from: bigint, to: bigint): bigint {
    let count = 0n;
    for (const [key, chunk] of this.#chunks) {
      const first = key << CHUNK_SHIFT;
      if (first > to || first + CHUNK_MASK < from) continue;
      if (first >= from && first + CHUNK_MASK <= to) {
        count += BigInt(chunk.count);
        continue;
      }
      const low = first >= from ? 0 : Number(from - first);
      const high = first + CHUNK_MASK <= to ? CHUNK_BITS - 1 : Number(to - first);
      for (let bit = low; bit <= high; bit++) if ((chunk.words[bit >>> 5]! >>> (bit & 31)) & 1) count++;
    }
    return count;
  }
}

/** First clear bit at or behind `bit`, or -1. */
function firstZero(words: Uint32Array, bit: number): number {
  let word = bit >>> 5;
  // Bits below the start count as taken.
  let taken = words[word]! | ((1 << (bit & 31)) - 1);
  for (;;) {
    if (taken >>> 0 !== FULL_WORD) return word * 32 + trailingOnes(taken);
    if (++word === words.length) return -1;
    taken = words[word]!;
  }
}

/** Index of the lowest clear bit. */
function trailingOnes(word: number): number {
  const lowestZero = ~word & (word + 1);
  return 31 - Math.clz32(lowestZero);
}
