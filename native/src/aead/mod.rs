// Authenticated encryption over the engine's memory, by ring: the default; wasm/crypto is the same in the engine itself, for
// where no native build exists. wasm/shared/aead.ts is the contract of both.
//
//   keys       slots outside of every other memory       operation  one operation, from descriptor to status
//   cipher     the library, over a whole ICV             truncated  ICVs of 8 and 12 bytes
//   calls      the call of every batch                   this file  the class as JavaScript sees it

mod calls;
mod cipher;
mod keys;
mod operation;
mod truncated;

use std::cell::RefCell;
use std::rc::Rc;

use napi::Env;
use napi::bindgen_prelude::{This, Uint8Array};
use napi_derive::napi;
use nix::errno::Errno;

use self::keys::Keys;
use crate::error::{SystemError, SystemResult};
use crate::layout::{AEAD_OP_LENGTH, AEAD_OPS};
use crate::memory::Memory;

struct State {
    keys: Keys,
    memory: Option<Memory>,
}

impl State {
    /// Carries out the `count` operations at `at`; how many failed. None of more than a ring holds, or outside the memory.
    fn run(&mut self, env: &Env, at: u32, count: u32) -> SystemResult<u32> {
        let Some(memory) = self.memory.as_mut() else {
            return Err(SystemError::new("run", "before attach", Errno::EINVAL));
        };
        memory.refresh(env)?;
        let each = AEAD_OP_LENGTH as u32;
        if count > AEAD_OPS as u32 || !memory.contains(at, count * each) {
            let object = format!("{count} operations at {at}, which are not inside the memory");
            return Err(SystemError::new("run", object, Errno::EINVAL));
        }
        let failed = (0..count).filter(|i| !operation::run(memory, &self.keys, at + i * each)).count();
        Ok(failed as u32)
    }
}

/// `run` is a function of each instance (calls.rs), the rest is here.
#[napi]
pub struct Aead {
    state: Rc<RefCell<State>>,
}

#[napi]
impl Aead {
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, this: This) -> napi::Result<Self> {
        let keys = Keys::new().map_err(|error| error.into_js(env))?;
        let state = Rc::new(RefCell::new(State { keys, memory: None }));
        calls::define(env, &this.object, &state)?;
        Ok(Self { state })
    }

    /// Names the engine's memory. Keys stay.
    #[napi(catch_unwind)]
    pub fn attach(&self, env: &Env, memory: Uint8Array) -> napi::Result<()> {
        let mut memory = Memory::new(memory, env).map_err(|error| error.into_js(env))?;
        if memory.is_shared(env) {
            let object = "memory that other threads may write to";
            return Err(SystemError::new("attach", object, Errno::EINVAL).into_js(env));
        }
        self.state.borrow_mut().memory = Some(memory);
        Ok(())
    }

    /// `material`: key and salt. The caller overwrites it afterwards; no copy of it stays here.
    #[napi(catch_unwind)]
    pub fn set_key(&self, env: &Env, slot: u32, algorithm: u32, material: &[u8]) -> napi::Result<()> {
        self.state.borrow_mut().keys.set(slot, algorithm, material).map_err(|error| error.into_js(env))
    }

    /// Overwrites the key of a slot; none: fine.
    #[napi(catch_unwind)]
    pub fn remove_key(&self, slot: u32) {
        self.state.borrow_mut().keys.remove(slot);
    }

    /// Whether every page that held a key could be locked in memory.
    #[napi(getter)]
    pub fn locked(&self) -> bool {
        self.state.borrow().keys.locked()
    }
}
