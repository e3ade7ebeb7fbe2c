// A process that holds keys leaves no core file: whatever of them JavaScript's heap still has, as strings that nobody can overwrite,
// would be in it. (The pages of the native ciphers are left out of any core file by themselves: aead/keys.rs.)
//
// What this does not stop: root's debugger, which may read any process; swapping, of what is not locked.

use napi::Env;
use napi_derive::napi;

use crate::error::check;

/// For the rest of this process's life, until it executes another program.
#[napi(catch_unwind)]
pub fn forbid_core_files(env: &Env) -> napi::Result<()> {
    // SAFETY: no pointers.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    check(result, "prctl", "PR_SET_DUMPABLE").map(|_| ()).map_err(|error| error.into_js(env))
}
