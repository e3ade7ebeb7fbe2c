// A checked window on the engine's linear memory.
//
// Offsets come from WebAssembly, which may be wrong; they never become an address before (offset, length) was compared with
// the length of the memory. Nothing here makes a reference or a slice: the memory may be shared with another thread, so it
// is read and written by value through raw pointers, unaligned.
//
// JavaScript could detach the memory between two calls (transfer it, or grow it), which would leave our pointer dangling.
// So each poll and flush asks for the pointer again; that costs some tens of nanoseconds a batch. Within one call nothing
// can detach it, because this thread is the only one that could.

use std::ptr;

use napi::Env;
use napi::bindgen_prelude::{ToNapiValue, Uint8Array};
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult};

pub struct Memory {
    /// Holds the array, and with it the buffer, against garbage collection.
    array: Uint8Array,
    base: *mut u8,
    length: usize,
}

impl Memory {
    pub fn new(array: Uint8Array, env: &Env) -> SystemResult<Self> {
        let mut memory = Self { array, base: ptr::null_mut(), length: 0 };
        memory.refresh(env)?;
        Ok(memory)
    }

    /// Takes base and length again; an error if the memory was detached.
    pub fn refresh(&mut self, env: &Env) -> SystemResult<()> {
        let mut length = 0;
        let mut data = ptr::null_mut();
        // SAFETY: called on the JavaScript thread with its environment; the two out pointers are valid for the call, null
        // ones are left out. The value is the Uint8Array that `array` refers to.
        let status = unsafe {
            match <&mut Uint8Array as ToNapiValue>::to_napi_value(env.raw(), &mut self.array) {
                Ok(value) => napi::sys::napi_get_typedarray_info(
                    env.raw(),
                    value,
                    ptr::null_mut(),
                    &mut length,
                    &mut data,
                    ptr::null_mut(),
                    ptr::null_mut(),
                ),
                Err(_) => napi::sys::Status::napi_generic_failure,
            }
        };
        if status != napi::sys::Status::napi_ok || data.is_null() || length == 0 {
            self.length = 0;
            return Err(SystemError::new("attach", "memory, which is empty or detached", Errno::EFAULT));
        }
        self.base = data.cast();
        self.length = length;
        Ok(())
    }

    /// Whether the memory is a SharedArrayBuffer, which other threads may write to at any time. Unsure counts as yes.
    pub fn is_shared(&mut self, env: &Env) -> bool {
        let mut buffer = ptr::null_mut();
        let mut plain = false;
        let none = ptr::null_mut;
        // SAFETY: as in `refresh`; the buffer is a value of this call when it is not null.
        unsafe {
            if let Ok(value) = <&mut Uint8Array as ToNapiValue>::to_napi_value(env.raw(), &mut self.array) {
                napi::sys::napi_get_typedarray_info(
                    env.raw(),
                    value,
                    none(),
                    none().cast(),
                    none().cast(),
                    &mut buffer,
                    none().cast(),
                );
            }
            if !buffer.is_null() {
                napi::sys::napi_is_arraybuffer(env.raw(), buffer, &mut plain);
            }
        }
        !plain
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether `length` bytes from `offset` are inside.
    #[inline]
    pub fn contains(&self, offset: u32, length: u32) -> bool {
        offset as usize + length as usize <= self.length
    }

    /// The address of `length` bytes at `offset`, if they are inside.
    #[inline]
    pub fn pointer(&self, offset: u32, length: u32) -> Option<*mut u8> {
        if !self.contains(offset, length) {
            return None;
        }
        // SAFETY: just checked; the memory is one allocation of `self.length` bytes.
        Some(unsafe { self.base.add(offset as usize) })
    }

    #[inline]
    pub fn read<T: Integer>(&self, offset: u32) -> Option<T> {
        let pointer = self.pointer(offset, size_of::<T>() as u32)?;
        // SAFETY: inside the memory; integers have no invalid bytes.
        Some(unsafe { pointer.cast::<T>().read_unaligned() })
    }

    /// Writes if inside; outside nothing happens. Callers have checked the region as a whole.
    #[inline]
    pub fn write<T: Integer>(&self, offset: u32, value: T) {
        if let Some(pointer) = self.pointer(offset, size_of::<T>() as u32) {
            // SAFETY: inside the memory.
            unsafe { pointer.cast::<T>().write_unaligned(value) };
        }
    }
}

/// Plain values that any bytes are valid for.
pub trait Integer: Copy {}
impl Integer for u16 {}
impl Integer for u32 {}
impl Integer for [u8; 16] {}
