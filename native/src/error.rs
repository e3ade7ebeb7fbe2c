// Failures as Node sees them: an Error that names the call, the object and the errno, with code, errno and syscall set as on
// Node's own system errors (but errno positive, as the kernel's headers have it).
//
// A SystemError is plain data, so that it can be made on any thread. It becomes a JavaScript object only in `into_js`, which
// needs the environment and therefore runs on the JavaScript thread.

use std::fmt;

use napi::Env;
use napi::bindgen_prelude::{JsObjectValue, JsValue};
use nix::errno::Errno;

#[derive(Debug, Clone)]
pub struct SystemError {
    pub call: &'static str,
    pub object: String,
    pub errno: Errno,
}

pub type SystemResult<T> = Result<T, SystemError>;

impl SystemError {
    pub fn new(call: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self { call, object: object.into(), errno }
    }

    /// From the errno that the last call of this thread left behind.
    pub fn last(call: &'static str, object: impl Into<String>) -> Self {
        Self::new(call, object, Errno::last())
    }

    pub fn io(call: &'static str, object: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(call, object, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }

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

impl fmt::Display for SystemError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.call)?;
        if !self.object.is_empty() {
            write!(formatter, " {}", self.object)?;
        }
        write!(formatter, ": {} ({})", errno_name(self.errno), self.errno.desc())
    }
}

/// "EBUSY"
pub fn errno_name(errno: Errno) -> String {
    format!("{errno:?}")
}

/// The result of a C call that answers -1 on failure.
pub fn check(result: libc::c_int, call: &'static str, object: &str) -> SystemResult<libc::c_int> {
    if result == -1 { Err(SystemError::last(call, object)) } else { Ok(result) }
}
