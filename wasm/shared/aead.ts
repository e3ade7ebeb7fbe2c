// AEAD operations: how the engine asks for datagrams to be sealed and opened, whoever does it (native/src/aead, wasm/crypto).
//
// The engine lays a datagram out whole, contiguous, in place: an operation names the bytes to transform and carries what
// the algorithm wants besides them, so that it is understood without the packet. Keys are not here: an operation names a slot,
// and what stands in the slot never enters this memory unless wasm itself is the cipher.
//
//   0      1     2     4        8        12       16            28    29   32      40      48
//   ┌──────┬─────┬─────┬────────┬────────┬────────┬─────────────┬─────┬────┬───────┬───────┐
//   │ kind │ icv │ key │ offset │ length │ status │ AAD         │ aad │    │ IV    │ own   │
//   └──────┴─────┴─────┴────────┴────────┴────────┴─────────────┴─────┴────┴───────┴───────┘
//
// icv: bytes of the integrity check value, 8, 12 or 16. It stands, or is put, right behind the `length` bytes at `offset`.
// aad: bytes of AAD that count, 8 or 12 (an extended sequence number); fewer are taken too. IV: the eight bytes that travel; the nonce is the
// slot's salt (4 bytes) with the IV behind it, for AES-GCM (RFC 4106) and ChaCha20-Poly1305 (RFC 7634) alike.
// status: AEAD_PENDING when written by the engine, another when the operation has run. own: eight bytes the engine keeps there.
export const AEAD_OP_LENGTH = 48;
export const AEAD_KIND = 0; // u8
export const AEAD_ICV_BYTES = 1; // u8
export const AEAD_KEY = 2; // u16
export const AEAD_OFFSET = 4; // u32
export const AEAD_BYTES = 8; // u32
export const AEAD_STATUS = 12; // u32
export const AEAD_AAD = 16; // 12 B
export const AEAD_AAD_BYTES = 28; // u8
export const AEAD_IV = 32; // 8 B, in wire order
export const AEAD_OWN = 40; // 8 B

/** Nothing to do: skipped, its status stays. */
export const AEAD_NONE = 0;
export const AEAD_SEAL = 1;
export const AEAD_OPEN = 2;

export const AEAD_PENDING = 0;
export const AEAD_DONE = 1;
/** The ICV is wrong; the bytes at `offset` are unspecified. */
export const AEAD_FORGED = 2;
/** No key in the slot, or offsets outside of the memory, or lengths no operation can have. Nothing was read or written. */
export const AEAD_REFUSED = 3;

export const AEAD_ALGORITHM_AES_128_GCM = 1;
export const AEAD_ALGORITHM_AES_256_GCM = 2;
export const AEAD_ALGORITHM_CHACHA20_POLY1305 = 3;

/** Key slots; slot 0 is never used. */
export const AEAD_KEYS = 8192;
/** Operations that one ring holds. */
export const AEAD_OPS = 16384;
/** Bytes of key by algorithm; the salt follows them. */
export const AEAD_KEY_BYTES = [0, 16, 32, 32];
export const AEAD_ALGORITHM_NAMES = ["", "aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"];
export const AEAD_SALT_BYTES = 4;
export const AEAD_AAD_MAX = 12;
export const AEAD_BYTES_MAX = 65535;
