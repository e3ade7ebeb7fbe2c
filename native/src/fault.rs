// A failed system call as plain data: the call, the object and the errno. It can be made on any thread and by programs that
// know no JavaScript; error.rs makes it an exception.

use std::fmt;

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
