// The library's ciphers, over a whole tag, in place. A nonce is made here into what the library takes once and no more; that none is
// used twice under a key is the engine's to see to: it counts the sequence numbers that IVs are made of.

use ring::aead::{Aad, LessSafeKey, Nonce, Tag};

pub const ICV_FULL: usize = 16;
pub const NONCE_BYTES: usize = 12;

pub type NonceBytes = [u8; NONCE_BYTES];
pub type Icv = [u8; ICV_FULL];

/// Seals in place and answers the whole tag. None: too long for the cipher, which AEAD_BYTES_MAX rules out.
pub fn seal(key: &LessSafeKey, nonce: NonceBytes, aad: &[u8], payload: &mut [u8]) -> Option<Icv> {
    let tag = key.seal_in_place_separate_tag(unique(nonce), Aad::from(aad), payload).ok()?;
    tag.as_ref().try_into().ok()
}

/// Opens in place; false: it is forged, and the payload is worth nothing.
pub fn open(key: &LessSafeKey, nonce: NonceBytes, aad: &[u8], payload: &mut [u8], icv: Icv) -> bool {
    key.open_in_place_separate_tag(unique(nonce), Aad::from(aad), Tag::from(icv), payload, 0..).is_ok()
}

fn unique(nonce: NonceBytes) -> Nonce {
    Nonce::assume_unique_for_key(nonce)
}
