// Descriptors that cross to JavaScript as numbers. Rust owns one as an OwnedFd, gives it away with `hand_out` and takes it
// back with `take_back`; between the two nobody here may close it.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult, check};
use crate::promise::on_thread;

pub fn hand_out(fd: OwnedFd) -> i32 {
    fd.into_raw_fd()
}

/// Owns a descriptor that JavaScript held. One that is not open is refused: closing it later could hit another's.
pub fn take_back(fd: RawFd) -> SystemResult<OwnedFd> {
    // SAFETY: F_GETFD reads the flags of whatever the number is, or answers EBADF.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }, "fcntl", &format!("descriptor {fd}"))?;
    // SAFETY: it is open, and by the contract of the addon's interface the caller gives up its claim with the call.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor of our own for what `fd` stands for, which stays its owner's.
pub fn duplicate(fd: RawFd) -> SystemResult<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor, or answers EBADF; whatever the number is, it is not touched.
    let own = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) }, "fcntl", &format!("descriptor {fd}"))?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

/// For descriptors that the data plane reads: one read that blocks would stop all of it.
pub fn set_nonblocking(fd: RawFd) -> SystemResult<()> {
    let object = format!("descriptor {fd}");
    // SAFETY: no pointers; the descriptor is open.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) }, "fcntl", &object)?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }, "fcntl", &object).map(|_| ())
}

/// Closes off the JavaScript thread: a TAP's close waits for an RCU grace period, up to 16 ms.
#[napi(catch_unwind)]
pub fn close_fd(env: &Env, fd: i32) -> napi::Result<Object<'_>> {
    on_thread(env, move || {
        if fd <= libc::STDERR_FILENO {
            return Err(SystemError::new("close", format!("descriptor {fd}"), Errno::EBADF));
        }
        drop(take_back(fd)?);
        Ok(())
    })
}
