// `poll`, `flush` and `woken`: the calls of every batch (bare.rs says why they are bare).

use std::cell::RefCell;
use std::rc::Rc;

use napi::bindgen_prelude::Object;
use napi::{Env, sys};

use super::scheduler::Scheduler;
use crate::bare;

/// Gives a new instance its functions.
pub fn define(env: &Env, instance: &Object, scheduler: &Rc<RefCell<Scheduler>>) -> napi::Result<()> {
    bare::define(env, instance, scheduler, c"poll", poll)?;
    bare::define(env, instance, scheduler, c"flush", flush)?;
    bare::define(env, instance, scheduler, c"woken", woken)
}

unsafe extern "C" fn poll(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: defined above with a scheduler.
    unsafe {
        bare::call(env, info, |scheduler: &mut Scheduler, env, [timeout_ms]: [i32; 1]| scheduler.poll(env, timeout_ms))
    }
}

unsafe extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: defined above with a scheduler.
    unsafe { bare::call(env, info, |scheduler: &mut Scheduler, env, [count]: [u32; 1]| scheduler.flush(env, count)) }
}

unsafe extern "C" fn woken(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: defined above with a scheduler.
    unsafe { bare::call(env, info, |scheduler: &mut Scheduler, _, []: [u32; 0]| Ok(scheduler.woken())) }
}
