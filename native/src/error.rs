// Failures as Node sees them: an Error that names the call, the object and the errno, with code, errno and syscall set as on
// Node's own system errors (but errno positive, as the kernel's headers have it).
//
// A SystemError is plain data, so that it can be made on any thread. It becomes a JavaScript object only in `into_js`, which
// needs the environment and therefore runs on the JavaScript thread.

use napi::Env;
use napi::bindgen_prelude::{JsObjectValue, JsValue};

pub use crate::fault::{SystemError, SystemResult, check, errno_name};

impl SystemError {
    /// The exception: for a Result that napi throws, or rejects a promise with.
    pub fn into_js(self, env: &Env) -> napi::Error {
        let plain = napi::Error::from_reason(self.to_string());
        let build = || -> napi::Result<napi::Error> {
            let mut object = env.create_error(napi::Error::from_reason(self.to_string()))?;
            object.set_named_property("code", errno_name(self.errno))?;
            object.set_named_property("errno", self.errno as i32)?;
            object.set_named_property("syscall", self.call)?;
            Ok(napi::Error::from(object.to_unknown()))
        };
        build().unwrap_or(plain)
    }
}
