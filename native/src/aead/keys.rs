// Where keys live: slots in pages of their own, outside of the engine's memory and of the allocator's, locked against being
// swapped out (where the limit allows it) and left out of core files. A slot is overwritten when its key goes.
//
// ring keeps the expanded key inside its value, with no allocation behind it, so that overwriting the value overwrites the key.
// Making one leaves copies on the stack, which are overwritten as well as one can from outside.
//
// Nothing here derives Debug or can print.

use std::mem::{ManuallyDrop, MaybeUninit, size_of};
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

use nix::errno::Errno;
use ring::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

use crate::error::{SystemError, SystemResult};
use crate::layout::{
    AEAD_ALGORITHM_AES_128_GCM, AEAD_ALGORITHM_AES_256_GCM, AEAD_ALGORITHM_CHACHA20_POLY1305, AEAD_KEYS,
    AEAD_SALT_BYTES,
};

const SLOTS: usize = AEAD_KEYS as usize;
const SALT: usize = AEAD_SALT_BYTES as usize;

#[repr(C, align(64))]
struct Slot {
    key: MaybeUninit<LessSafeKey>,
    salt: [u8; SALT],
}

pub struct Keys {
    slots: *mut Slot,
    used: Vec<bool>,
    locked: bool,
}

impl Keys {
    pub fn new() -> SystemResult<Self> {
        // SAFETY: a new private mapping; nobody else's memory is named.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SLOTS * size_of::<Slot>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(SystemError::last("mmap", "key slots"));
        }
        // SAFETY: the mapping made above. A kernel that refuses leaves keys in core files, no more.
        unsafe { libc::madvise(mapped, SLOTS * size_of::<Slot>(), libc::MADV_DONTDUMP) };
        Ok(Self { slots: mapped.cast(), used: vec![false; SLOTS], locked: true })
    }

    /// Whether every page that ever held a key could be locked in memory.
    pub fn locked(&self) -> bool {
        self.locked
    }

    /// Puts a key into a slot, in place of the one that is there.
    pub fn set(&mut self, slot: u32, algorithm: u32, material: &[u8]) -> SystemResult<()> {
        let refuse = |rule: String| SystemError::new("setKey", rule, Errno::EINVAL);
        if slot == 0 || slot as usize >= SLOTS {
            return Err(refuse(format!("slot {slot}: slots are 1 to {}", SLOTS - 1)));
        }
        let algorithm = by_number(algorithm).ok_or_else(|| refuse(format!("algorithm {algorithm}, which is none")))?;
        let wanted = algorithm.key_len() + SALT;
        if material.len() != wanted {
            let rule = format!("key of {} bytes: {wanted} are wanted, {SALT} of salt among them", material.len());
            return Err(refuse(rule));
        }
        self.remove(slot);
        let place = self.place(slot);
        // SAFETY: the slot's own pages.
        self.locked &= unsafe { libc::mlock(place.cast(), size_of::<Slot>()) } == 0;
        write_key(place, algorithm, material).map_err(|()| refuse("key, which the library refuses".to_owned()))?;
        wipe_stack();
        self.used[slot as usize] = true;
        Ok(())
    }

    /// Overwrites a slot; an empty one is fine.
    pub fn remove(&mut self, slot: u32) {
        let Some(used) = self.used.get_mut(slot as usize) else { return };
        if std::mem::take(used) {
            // SAFETY: the slot is in the mapping; its value holds nothing that would have to be dropped (plain arrays).
            unsafe { wipe(self.place(slot).cast(), size_of::<Slot>()) };
        }
    }

    /// Key and salt of a slot that has some.
    #[inline]
    pub fn get(&self, slot: u16) -> Option<(&LessSafeKey, &[u8; SALT])> {
        if !*self.used.get(usize::from(slot))? {
            return None;
        }
        // SAFETY: inside the mapping (used has SLOTS entries), initialised when `used` was set; borrowed as long as self.
        let entry = unsafe { &*self.slots.add(usize::from(slot)) };
        // SAFETY: as above.
        Some((unsafe { entry.key.assume_init_ref() }, &entry.salt))
    }

    fn place(&self, slot: u32) -> *mut Slot {
        // SAFETY: callers have compared slot with SLOTS.
        unsafe { self.slots.add(slot as usize) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        for slot in 0..SLOTS as u32 {
            self.remove(slot);
        }
        // SAFETY: the mapping of `new`, which nobody refers to any more.
        unsafe { libc::munmap(self.slots.cast(), SLOTS * size_of::<Slot>()) };
    }
}

fn by_number(algorithm: u32) -> Option<&'static Algorithm> {
    match i32::try_from(algorithm).ok()? {
        AEAD_ALGORITHM_AES_128_GCM => Some(&AES_128_GCM),
        AEAD_ALGORITHM_AES_256_GCM => Some(&AES_256_GCM),
        AEAD_ALGORITHM_CHACHA20_POLY1305 => Some(&CHACHA20_POLY1305),
        _ => None,
    }
}

/// Never inlined: its frame, and those below it, are what `wipe_stack` overwrites.
#[inline(never)]
fn write_key(place: *mut Slot, algorithm: &'static Algorithm, material: &[u8]) -> Result<(), ()> {
    let (key, salt) = material.split_at(algorithm.key_len());
    let unbound = UnboundKey::new(algorithm, key).map_err(|_| ())?;
    let mut made = ManuallyDrop::new(LessSafeKey::new(unbound));
    // SAFETY: `place` is a slot of the mapping, aligned for it; `made` is copied bit by bit and never dropped, so that the
    // slot holds the one value; the copy is then overwritten.
    unsafe {
        ptr::copy_nonoverlapping(&raw const *made, (*place).key.as_mut_ptr(), 1);
        (*place).salt.copy_from_slice(salt);
        wipe((&raw mut made).cast(), size_of::<LessSafeKey>());
    }
    Ok(())
}

/// Overwrites what calls that have returned left on the stack.
#[inline(never)]
fn wipe_stack() {
    let mut frame = MaybeUninit::<[u8; 16384]>::uninit();
    // SAFETY: the array is ours.
    unsafe { wipe(frame.as_mut_ptr().cast(), size_of_val(&frame)) };
}

/// Writes zeros that the compiler may not leave out.
///
/// # Safety
/// `length` bytes at `place` are writable and nobody refers to them.
unsafe fn wipe(place: *mut u8, length: usize) {
    for i in 0..length {
        // SAFETY: by this function's contract.
        unsafe { place.add(i).write_volatile(0) };
    }
    compiler_fence(Ordering::SeqCst);
}

const _: () = assert!(!std::mem::needs_drop::<LessSafeKey>(), "a slot is overwritten, not dropped");
