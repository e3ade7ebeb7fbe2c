// What an SPI of a derived association says of its key, so that a receiver can find the key without a handshake:
//
//    31  30 29        28      21 20                    0
//   ┌───┬────────────┬──────────┬───────────────────────┐
//   │ 1 │ index mod 4│ epoch    │ tag                   │
//   │   │            │ mod 256  │ random, of this life  │
//   └───┴────────────┴──────────┴───────────────────────┘
//
// The tag keeps apart two hosts that were started from one copied state directory, and the SPIs of different peers.
export const TAG_BITS = 21;
export const INDEX_MODULUS = 4;
export const EPOCH_MODULUS = 256;

export interface SpiParts {
  readonly index: number;
  readonly epoch: number;
  readonly tag: number;
}

export function encodeSpi({ index, epoch, tag }: SpiParts): number {
  return 2 ** 31 + (index % INDEX_MODULUS) * 2 ** 29 + (epoch % EPOCH_MODULUS) * 2 ** TAG_BITS + tag;
}

/** Index and epoch are their remainders. Null: no SPI of ours. */
export function decodeSpi(spi: number): SpiParts | null {
  if (spi < 2 ** 31) return null;
  return { index: (spi >>> 29) & 3, epoch: (spi >>> TAG_BITS) & 255, tag: spi & (2 ** TAG_BITS - 1) };
}
