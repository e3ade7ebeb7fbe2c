// Functions by bare N-API, for calls that every batch makes.
//
// napi-rs guards each method of a class by bookkeeping that costs 200 ns a call; at some calls a batch that is more than
// anything else in a batch of few frames, and it adds to every round trip. A bare function costs a tenth. Each is a property
// of its instance and carries a share of the instance's state as its data, which a finalizer releases when the function is
// collected: one that outlives its instance still works.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{JsValue, Object};
use napi::{Env, JsError, sys};

use crate::error::SystemResult;

pub type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Gives an instance a function whose data is a share of `state`: `callback` calls `call` with the same `T`.
pub fn define<T>(
    env: &Env,
    instance: &Object,
    state: &Rc<RefCell<T>>,
    name: &CStr,
    callback: Callback,
) -> napi::Result<()> {
    let share = Rc::into_raw(Rc::clone(state)).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: on the JavaScript thread with its environment; the name is terminated and its length automatic (-1); the
    // callback gets `share` as its data, which the finalizer below keeps alive as long as the function.
    napi::check_status!(unsafe {
        sys::napi_create_function(env.raw(), name.as_ptr(), -1, Some(callback), share, &mut function)
    })?;
    // SAFETY: as above; the finalizer takes over the share that was just made.
    napi::check_status!(unsafe {
        sys::napi_add_finalizer(env.raw(), function, share, Some(release::<T>), ptr::null_mut(), ptr::null_mut())
    })?;
    // SAFETY: as above; both values belong to the call under way.
    napi::check_status!(unsafe { sys::napi_set_named_property(env.raw(), instance.raw(), name.as_ptr(), function) })
}

unsafe extern "C" fn release<T>(_env: sys::napi_env, share: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `share` came from Rc::into_raw in `define`, and a finalizer runs once.
    drop(unsafe { Rc::from_raw(share.cast_const().cast::<RefCell<T>>()) });
}

/// What a call may take: a number. Anything else is 0.
pub trait Argument: Copy + Default {
    fn of(env: sys::napi_env, value: sys::napi_value) -> Self;
}

impl Argument for u32 {
    fn of(env: sys::napi_env, value: sys::napi_value) -> Self {
        let mut number = 0;
        // SAFETY: a value of the call under way; anything but a number leaves 0.
        unsafe { sys::napi_get_value_uint32(env, value, &mut number) };
        number
    }
}

impl Argument for i32 {
    fn of(env: sys::napi_env, value: sys::napi_value) -> Self {
        let mut number = 0;
        // SAFETY: a value of the call under way; anything but a number leaves 0.
        unsafe { sys::napi_get_value_int32(env, value, &mut number) };
        number
    }
}

/// What a call may answer.
pub trait Answer {
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

/// Runs `work` on the state with the call's arguments; failures and panics become exceptions.
///
/// # Safety
/// In a callback that `define` was given with a state of type `T`, with what it was called with.
#[inline]
pub unsafe fn call<T, A: Argument, const N: usize, R: Answer>(
    raw: sys::napi_env,
    info: sys::napi_callback_info,
    work: impl FnOnce(&mut T, &Env, [A; N]) -> SystemResult<R>,
) -> sys::napi_value {
    let mut count = N;
    let mut values = [ptr::null_mut(); N];
    let mut share = ptr::null_mut();
    // SAFETY: `info` is this call's; N arguments are asked for and there is room for N.
    unsafe { sys::napi_get_cb_info(raw, info, &mut count, values.as_mut_ptr(), ptr::null_mut(), &mut share) };
    let env = Env::from_raw(raw);
    let answer = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the data given in `define`; the function, which is being called, keeps its share alive.
        let state = unsafe { &*share.cast_const().cast::<RefCell<T>>() };
        work(&mut state.borrow_mut(), &env, values.map(|value| A::of(raw, value)))
    }));
    let error = match answer {
        Ok(Ok(answer)) => return answer.value(raw),
        Ok(Err(error)) => error.into_js(&env),
        Err(_) => napi::Error::from_reason("native panic"),
    };
    // SAFETY: on the JavaScript thread, which this call returns to at once.
    unsafe { JsError::from(error).throw_into(raw) };
    ptr::null_mut()
}
