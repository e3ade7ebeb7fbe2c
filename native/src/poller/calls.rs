// `poll`, `flush` and `woken`: the calls of every batch, made by bare N-API.
//
// napi-rs guards each method of a class by bookkeeping that costs 200 ns a call; at three calls a batch that is more than
// anything else in a batch of few frames, and it adds to every round trip. A bare function costs a tenth. Each is a property
// of its instance and carries a share of the scheduler as its data, which a finalizer releases when the function is
// collected: one that outlives its poller still works.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{JsValue, Object};
use napi::{Env, JsError, sys};

use super::scheduler::Scheduler;
use crate::error::SystemResult;

type Shared = RefCell<Scheduler>;
type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Gives a new instance its functions.
pub fn define(env: &Env, instance: &Object, scheduler: &Rc<Shared>) -> napi::Result<()> {
    define_one(env, instance, scheduler, c"poll", poll)?;
    define_one(env, instance, scheduler, c"flush", flush)?;
    define_one(env, instance, scheduler, c"woken", woken)
}

fn define_one(
    env: &Env,
    instance: &Object,
    scheduler: &Rc<Shared>,
    name: &CStr,
    callback: Callback,
) -> napi::Result<()> {
    let share = Rc::into_raw(Rc::clone(scheduler)).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: on the JavaScript thread with its environment; the name is terminated and its length automatic (-1); the
    // callback gets `share` as its data, which the finalizer below keeps alive as long as the function.
    napi::check_status!(unsafe {
        sys::napi_create_function(env.raw(), name.as_ptr(), -1, Some(callback), share, &mut function)
    })?;
    // SAFETY: as above; the finalizer takes over the share that was just made.
    napi::check_status!(unsafe {
        sys::napi_add_finalizer(env.raw(), function, share, Some(release), ptr::null_mut(), ptr::null_mut())
    })?;
    // SAFETY: as above; both values belong to the call under way.
    napi::check_status!(unsafe { sys::napi_set_named_property(env.raw(), instance.raw(), name.as_ptr(), function) })
}

unsafe extern "C" fn release(_env: sys::napi_env, share: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `share` came from Rc::into_raw in `define_one`, and a finalizer runs once.
    drop(unsafe { Rc::from_raw(share.cast_const().cast::<Shared>()) });
}

unsafe extern "C" fn poll(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |scheduler, env, argument| {
        let mut timeout_ms = 0;
        // SAFETY: a value of this call; anything but a number leaves 0.
        unsafe { sys::napi_get_value_int32(env.raw(), argument, &mut timeout_ms) };
        scheduler.poll(env, timeout_ms)
    })
}

unsafe extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |scheduler, env, argument| {
        let mut count = 0;
        // SAFETY: a value of this call; anything but a number leaves 0.
        unsafe { sys::napi_get_value_uint32(env.raw(), argument, &mut count) };
        scheduler.flush(env, count)
    })
}

unsafe extern "C" fn woken(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    call(env, info, |scheduler, _, _| Ok(scheduler.woken()))
}

/// What a call may answer.
trait Answer {
    fn value(self, env: sys::napi_env) -> sys::napi_value;
}

impl Answer for u32 {
    fn value(self, env: sys::napi_env) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: on the JavaScript thread; if it fails the value stays null, which is undefined.
        unsafe { sys::napi_create_uint32(env, self, &mut value) };
        value
    }
}

impl Answer for bool {
    fn value(self, env: sys::napi_env) -> sys::napi_value {
        let mut value = ptr::null_mut();
        // SAFETY: on the JavaScript thread; if it fails the value stays null, which is undefined.
        unsafe { sys::napi_get_boolean(env, self, &mut value) };
        value
    }
}

/// Runs `work` on the scheduler with the call's first argument; failures and panics become exceptions.
#[inline]
fn call<T: Answer>(
    raw: sys::napi_env,
    info: sys::napi_callback_info,
    work: impl FnOnce(&mut Scheduler, &Env, sys::napi_value) -> SystemResult<T>,
) -> sys::napi_value {
    let mut count = 1;
    let mut argument = ptr::null_mut();
    let mut share = ptr::null_mut();
    // SAFETY: `info` is this call's; one argument is asked for and there is room for one.
    unsafe { sys::napi_get_cb_info(raw, info, &mut count, &mut argument, ptr::null_mut(), &mut share) };
    let env = Env::from_raw(raw);
    let answer = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the data given in `define_one`; the function, which is being called, keeps its share alive.
        let shared = unsafe { &*share.cast_const().cast::<Shared>() };
        work(&mut shared.borrow_mut(), &env, argument)
    }));
    let error = match answer {
        Ok(Ok(answer)) => return answer.value(raw),
        Ok(Err(error)) => error.into_js(&env),
        Err(_) => napi::Error::from_reason("native panic in the poller"),
    };
    // SAFETY: on the JavaScript thread, which this call returns to at once.
    unsafe { JsError::from(error).throw_into(raw) };
    ptr::null_mut()
}
