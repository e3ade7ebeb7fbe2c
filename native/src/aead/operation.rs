// One operation: checked, then sealed or opened where it lies (wasm/shared/aead.ts has the picture and the rules). Whatever
// its bytes say, the answer is a status.
//
// This is the one place that makes a slice of the engine's memory, because the library works on slices. There is one at a time
// and it can't alias: descriptor and ICV are copied out first. Nor can anybody else write meanwhile: memory that other threads
// may write to was refused at `attach`, and this thread is in here.

use std::ptr;
use std::slice;

use super::cipher::{self, ICV_FULL, Icv, NONCE_BYTES};
use super::keys::Keys;
use super::truncated;
use crate::layout::*;
use crate::memory::Memory;

const LENGTH: usize = AEAD_OP_LENGTH as usize;
const IV_BYTES: usize = 8;

struct Operation([u8; LENGTH]);

impl Operation {
    fn byte(&self, at: i32) -> usize {
        usize::from(self.0[at as usize])
    }

    fn short(&self, at: i32) -> u16 {
        u16::from_le_bytes([self.0[at as usize], self.0[at as usize + 1]])
    }

    fn word(&self, at: i32) -> u32 {
        u32::from(self.short(at)) | u32::from(self.short(at + 2)) << 16
    }

    fn bytes(&self, at: i32, length: usize) -> &[u8] {
        &self.0[at as usize..at as usize + length]
    }
}

/// Carries out the operation at `at`, which is inside the memory, and writes its status there. False: it failed.
#[inline]
pub fn run(memory: &Memory, keys: &Keys, at: u32) -> bool {
    let Some(source) = memory.pointer(at, LENGTH as u32) else { return false };
    let mut operation = Operation([0; LENGTH]);
    // SAFETY: source and target have LENGTH bytes and are different memory.
    unsafe { ptr::copy_nonoverlapping(source, operation.0.as_mut_ptr(), LENGTH) };
    if operation.byte(AEAD_KIND) == AEAD_NONE as usize {
        return true;
    }
    let status = perform(memory, keys, &operation).unwrap_or(AEAD_REFUSED);
    memory.write(at + AEAD_STATUS as u32, status as u32);
    status == AEAD_DONE
}

/// None: refused, and nothing was touched.
#[inline]
fn perform(memory: &Memory, keys: &Keys, operation: &Operation) -> Option<i32> {
    let seals = match operation.byte(AEAD_KIND) as i32 {
        AEAD_SEAL => true,
        AEAD_OPEN => false,
        _ => return None,
    };
    let icv_bytes = operation.byte(AEAD_ICV_BYTES);
    let aad_bytes = operation.byte(AEAD_AAD_BYTES);
    let length = operation.word(AEAD_BYTES);
    if !matches!(icv_bytes, 8 | 12 | ICV_FULL) || aad_bytes > AEAD_AAD_MAX as usize || length > AEAD_BYTES_MAX as u32 {
        return None;
    }
    let start = memory.pointer(operation.word(AEAD_OFFSET), length + icv_bytes as u32)?;
    let (key, salt) = keys.get(operation.short(AEAD_KEY))?;
    let mut nonce = [0; NONCE_BYTES];
    nonce[..salt.len()].copy_from_slice(salt);
    nonce[salt.len()..].copy_from_slice(operation.bytes(AEAD_IV, IV_BYTES));
    let aad = operation.bytes(AEAD_AAD, aad_bytes);
    // SAFETY: inside the memory; nothing else refers to it while the slice lives, and no other thread can write to it.
    let whole = unsafe { slice::from_raw_parts_mut(start, length as usize + icv_bytes) };
    let (payload, icv) = whole.split_at_mut(length as usize);
    if seals {
        let tag = cipher::seal(key, nonce, aad, payload)?;
        icv.copy_from_slice(&tag[..icv_bytes]);
        return Some(AEAD_DONE);
    }
    let opened = match Icv::try_from(&*icv) {
        Ok(tag) => cipher::open(key, nonce, aad, payload, tag),
        Err(_) => truncated::open(key, nonce, aad, payload, icv)?,
    };
    Some(if opened { AEAD_DONE } else { AEAD_FORGED })
}
