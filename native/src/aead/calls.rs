// `run`: one call for a batch of operations (bare.rs says why it is bare).

use std::cell::RefCell;
use std::rc::Rc;

use napi::bindgen_prelude::Object;
use napi::{Env, sys};

use super::State;
use crate::bare;

/// Gives a new instance its function.
pub fn define(env: &Env, instance: &Object, state: &Rc<RefCell<State>>) -> napi::Result<()> {
    bare::define(env, instance, state, c"run", run)
}

unsafe extern "C" fn run(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: defined above with this state.
    unsafe { bare::call(env, info, |state: &mut State, env, [at, count]: [u32; 2]| state.run(env, at, count)) }
}
