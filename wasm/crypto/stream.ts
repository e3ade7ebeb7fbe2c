// What both AEADs do at their ends: key stream is added to bytes; the tag is written behind the ciphertext, or compared with what
// stands there in a time that does not depend on where they differ.

/** Writes the first `bytes` (8, 12 or 16) of the tag. */
// @ts-ignore: decorator
@inline export function write(to: usize, tag: usize, bytes: u32): void {
  store<u64>(to, load<u64>(tag));
  if (bytes > 8) store<u32>(to, load<u32>(tag, 8), 8);
  if (bytes > 12) store<u32>(to, load<u32>(tag, 12), 12);
}

// @ts-ignore: decorator
@inline export function agrees(found: usize, tag: usize, bytes: u32): bool {
  let difference = load<u64>(found) ^ load<u64>(tag);
  if (bytes > 8) difference |= load<u32>(found, 8) ^ load<u32>(tag, 8);
  if (bytes > 12) difference |= load<u32>(found, 12) ^ load<u32>(tag, 12);
  return difference == 0;
}

/** Adds `length` bytes of key stream to the bytes at `p`. */
// @ts-ignore: decorator
@inline export function add(p: usize, stream: usize, length: u32): void {
  while (length >= 16) {
    v128.store(p, v128.xor(v128.load(p), v128.load(stream)));
    p += 16;
    stream += 16;
    length -= 16;
  }
  while (length != 0) {
    store<u8>(p, load<u8>(p) ^ load<u8>(stream));
    p++;
    stream++;
    length--;
  }
}
