// A promise kept by a thread of its own.
//
// Calls that enter a namespace, or that may take milliseconds (closing a TAP waits for an RCU grace period), must not run on
// a JavaScript thread: setns would move Node itself, and the worker has frames to forward. A fresh thread a call costs tens
// of microseconds, and a thread that has changed its namespace is never used again, so none can be left in a wrong one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use napi::Env;
use napi::bindgen_prelude::{Object, ToNapiValue};
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult};

/// Deep enough for netlink and for spawning a process; the default of 2 MiB would count against a container's limits when
/// hundreds of sandboxes are set up at once.
const STACK_BYTES: usize = 256 * 1024;

type Settle<T> = Box<dyn FnOnce(Env) -> napi::Result<T> + Send>;

/// Runs `work` on a new thread; the promise settles with its result, or rejects with its error or panic.
pub fn on_thread<T, Work>(env: &Env, work: Work) -> napi::Result<Object<'_>>
where
    T: ToNapiValue + Send + 'static,
    Work: FnOnce() -> SystemResult<T> + Send + 'static,
{
    let (deferred, promise) = env.create_deferred::<T, Settle<T>>()?;
    let unstarted = deferred.clone();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        deferred.resolve(Box::new(move |env: Env| match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error.into_js(&env)),
            Err(panic) => Err(napi::Error::from_reason(format!("native panic: {}", panic_text(&*panic)))),
        }));
    };
    if let Err(error) = thread::Builder::new().name("weft-call".to_owned()).stack_size(STACK_BYTES).spawn(body) {
        let errno = error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw);
        unstarted.resolve(Box::new(move |env: Env| Err(SystemError::new("pthread_create", "", errno).into_js(&env))));
    }
    Ok(promise)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of unknown kind".to_owned())
}
