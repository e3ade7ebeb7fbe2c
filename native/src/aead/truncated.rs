// Opening what came with a truncated ICV (8 or 12 bytes): hand-keyed peers that are no Weft, such as a kernel whose state says
// so. The library verifies whole tags only, as it should; the other half is made of what it has.
//
// Both ciphers are streams: sealing the ciphertext again gives the plaintext (with a tag that means nothing), and sealing that
// gives the ciphertext, with the tag that the peer cut. Two passes instead of one; the payload is handed over only if the
// pieces of tag agree, and is overwritten if not.

use ring::aead::LessSafeKey;

use super::cipher::{NonceBytes, seal};

/// Opens in place. Some(false): the ICV is wrong and the payload is zeros. None: the library refused.
pub fn open(key: &LessSafeKey, nonce: NonceBytes, aad: &[u8], payload: &mut [u8], icv: &[u8]) -> Option<bool> {
    seal(key, nonce, aad, payload)?;
    let mut again = payload.to_vec();
    let tag = seal(key, nonce, aad, &mut again);
    let genuine = tag.is_some_and(|tag| same(&tag[..icv.len()], icv));
    if !genuine {
        payload.fill(0);
    }
    Some(genuine)
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}
