// One daemon a state directory: an flock on a file there. The kernel drops it when the process ends in whatever way, so no
// stale lock can keep the next daemon out.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use napi::Env;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};

/// Locks a file, made if missing; None when another holds it. The lock lasts as long as the descriptor.
#[napi(catch_unwind)]
pub fn lock_file(env: &Env, path: String) -> napi::Result<Option<i32>> {
    lock(&path).map(|fd| fd.map(hand_out)).map_err(|error| error.into_js(env))
}

fn lock(path: &str) -> SystemResult<Option<OwnedFd>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| SystemError::io("open", path, &error))?;
    // SAFETY: no pointers; LOCK_NB never sleeps, so there is no EINTR.
    let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    match check(locked, "flock", path) {
        Ok(_) => Ok(Some(file.into())),
        Err(error) if error.errno == Errno::EWOULDBLOCK => Ok(None),
        Err(error) => Err(error),
    }
}
