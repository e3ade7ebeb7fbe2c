// `run`: one call for a batch of operations, by bare N-API for the reason that poller/calls.rs has. A property of its instance;
// it carries a share of the state, so that one that outlives the instance still works.

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{JsValue, Object};
use napi::{Env, JsError, sys};

use super::State;

type Shared = RefCell<State>;

/// Gives a new instance its function.
pub fn define(env: &Env, instance: &Object, state: &Rc<Shared>) -> napi::Result<()> {
    let share = Rc::into_raw(Rc::clone(state)).cast_mut().cast::<c_void>();
    let name = c"run";
    let mut function = ptr::null_mut();
    // SAFETY: on the JavaScript thread with its environment; the name is terminated and its length automatic (-1); the
    // callback gets `share` as its data, which the finalizer below keeps alive as long as the function.
    napi::check_status!(unsafe {
        sys::napi_create_function(env.raw(), name.as_ptr(), -1, Some(run), share, &mut function)
    })?;
    // SAFETY: as above; the finalizer takes over the share that was just made.
    napi::check_status!(unsafe {
        sys::napi_add_finalizer(env.raw(), function, share, Some(release), ptr::null_mut(), ptr::null_mut())
    })?;
    // SAFETY: as above; both values belong to the call under way.
    napi::check_status!(unsafe { sys::napi_set_named_property(env.raw(), instance.raw(), name.as_ptr(), function) })
}

unsafe extern "C" fn release(_env: sys::napi_env, share: *mut c_void, _hint: *mut c_void) {
    // SAFETY: `share` came from Rc::into_raw in `define`, and a finalizer runs once.
    drop(unsafe { Rc::from_raw(share.cast_const().cast::<Shared>()) });
}

unsafe extern "C" fn run(raw: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut count = 2;
    let mut arguments = [ptr::null_mut(); 2];
    let mut share = ptr::null_mut();
    // SAFETY: `info` is this call's; two arguments are asked for and there is room for two.
    unsafe { sys::napi_get_cb_info(raw, info, &mut count, arguments.as_mut_ptr(), ptr::null_mut(), &mut share) };
    let mut numbers = [0_u32; 2];
    for (argument, number) in arguments.into_iter().zip(&mut numbers) {
        // SAFETY: a value of this call; anything but a number leaves 0.
        unsafe { sys::napi_get_value_uint32(raw, argument, number) };
    }
    let env = Env::from_raw(raw);
    let answer = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the data given in `define`; the function, which is being called, keeps its share alive.
        let shared = unsafe { &*share.cast_const().cast::<Shared>() };
        shared.borrow_mut().run(&env, numbers[0], numbers[1])
    }));
    let error = match answer {
        Ok(Ok(failed)) => {
            let mut value = ptr::null_mut();
            // SAFETY: on the JavaScript thread; if it fails the value stays null, which is undefined.
            unsafe { sys::napi_create_uint32(raw, failed, &mut value) };
            return value;
        }
        Ok(Err(error)) => error.into_js(&env),
        Err(_) => napi::Error::from_reason("native panic in the AEAD"),
    };
    // SAFETY: on the JavaScript thread, which this call returns to at once.
    unsafe { JsError::from(error).throw_into(raw) };
    ptr::null_mut()
}
