// ChaCha20-Poly1305 (RFC 8439, section 2.8) over one run of bytes, in place. Opening authenticates before it deciphers: what is
// forged stays ciphertext.
//
// Four blocks of key stream at a time, from counter 0: that one is Poly1305's one-time key, 1 the first of the payload. So the
// first four have 192 bytes for the payload, the others 256.
//
import * as chacha20 from "./chacha20";
import * as poly1305 from "./poly1305";
import * as stream from "./stream";

function authenticate(aad: usize, aadBytes: u32, p: usize, length: u32): void {
  poly1305.update(aad, aadBytes);
  poly1305.update(p, length);
  poly1305.digest(aadBytes, length);
}

function cipherRest(p: usize, length: u32): void {
  let counter: u32 = 4;
  while (length != 0) {
    chacha20.keyStream(counter);
    const bytes = min<u32>(length, 256);
    stream.add(p, chacha20.KEY_STREAM, bytes);
    p += bytes;
    length -= bytes;
    counter += 4;
  }
}

/** Seals or opens. False: forged. */
export function run(seals: bool, key: usize, nonce: usize, aad: usize, aadBytes: u32, p: usize, length: u32, icvBytes: u32): bool {
  chacha20.start(key, nonce);
  chacha20.keyStream(0);
  poly1305.start(chacha20.KEY_STREAM);
  const icv = p + length;
  if (!seals) {
    authenticate(aad, aadBytes, p, length);
    if (!stream.agrees(icv, poly1305.DIGEST, icvBytes)) return false;
  }
  const first = min<u32>(length, 192);
  stream.add(p, chacha20.KEY_STREAM + 64, first);
  cipherRest(p + first, length - first);
  if (seals) {
    authenticate(aad, aadBytes, p, length);
    stream.write(icv, poly1305.DIGEST, icvBytes);
  }
  return true;
}
