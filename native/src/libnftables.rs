// nftables rulesets in its own language, by its own library: what the program `nft` does with them, without the program.
//
// One context lives as long as the process. A process for each change costs a fork of the daemon, and at its end the kernel
// makes it wait for the memory of replaced rules to be free (nfnetlink's release of a socket flushes; some 12 ms): twenty
// times what the change itself takes.
//
// The library is opened at run time, so that a host whose networks need no rules needs no nftables. It ends the process where it
// runs out of memory or has no netlink socket: the latter is tried before, the former ends Node as well. It waits for its socket by
// select(2), and the C library ends a process that does so with a descriptor behind FD_SETSIZE: so the daemon has the context made
// while few are open, and here it is refused where there are too many.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult};
use crate::netlink::{require_netfilter, rule_watch};
use crate::promise::on_thread;

const LIBRARY: &CStr = c"libnftables.so.1";
/// nftables/libnftables.h: listings without counters and elements that packets added.
const OUTPUT_STATELESS: libc::c_uint = 1 << 1;

type Handle = *mut libc::c_void;
type Text = *const libc::c_char;

#[napi(object)]
pub struct NftablesOutcome {
    /// 0: done.
    pub code: i32,
    pub output: String,
    pub error: String,
}

struct Library {
    context: Handle,
    run: unsafe extern "C" fn(Handle, Text) -> libc::c_int,
    output: unsafe extern "C" fn(Handle) -> Text,
    error: unsafe extern "C" fn(Handle) -> Text,
}

// SAFETY: the context is used by whichever thread holds the lock, and by one at a time; the library keeps nothing by thread.
unsafe impl Send for Library {}

static OPENED: Mutex<Option<Library>> = Mutex::new(None);

/// Runs commands in the daemon's own namespace: all of them or, with a code other than 0, none.
#[napi(catch_unwind)]
pub fn run_nftables(env: &Env, commands: String) -> napi::Result<Object<'_>> {
    on_thread(env, move || {
        let commands = CString::new(commands).map_err(|_| SystemError::new("nftables", "commands", Errno::EINVAL))?;
        rename_thread();
        let mut opened = OPENED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if opened.is_none() {
            *opened = Some(open()?);
        }
        opened.as_ref().map(|library| run(library, &commands)).ok_or_else(|| missing("nft_ctx_new"))
    })
}

/// The kernel says with each change what thread made it: so we know ours.
fn rename_thread() {
    let name = CString::new(rule_watch::OUR_THREAD).unwrap_or_default();
    // SAFETY: PR_SET_NAME reads a terminated text; it names the calling thread, which is of this call alone.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

fn run(library: &Library, commands: &CStr) -> NftablesOutcome {
    // SAFETY: the context is live and ours alone; the answers are texts that stay until the next call.
    unsafe {
        let code = (library.run)(library.context, commands.as_ptr());
        NftablesOutcome {
            code,
            output: text((library.output)(library.context)),
            error: text((library.error)(library.context)),
        }
    }
}

/// SAFETY: null, or a text that lives until this returns.
unsafe fn text(pointer: Text) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

fn missing(symbol: &str) -> SystemError {
    SystemError::new("dlopen", format!("{} of {}", symbol, LIBRARY.to_string_lossy()), Errno::ENOENT)
}

fn open() -> SystemResult<Library> {
    require_netfilter()?;
    // SAFETY: the name is terminated; the library is never closed.
    let handle = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(SystemError::new("dlopen", LIBRARY.to_string_lossy(), Errno::ENOENT));
    }
    let symbol = |name: &CStr| {
        // SAFETY: the handle is open and the name terminated.
        let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
        if found.is_null() { Err(missing(&name.to_string_lossy())) } else { Ok(found) }
    };
    type New = unsafe extern "C" fn(u32) -> Handle;
    type SetFlags = unsafe extern "C" fn(Handle, libc::c_uint);
    type Buffer = unsafe extern "C" fn(Handle) -> libc::c_int;
    type Run = unsafe extern "C" fn(Handle, Text) -> libc::c_int;
    type Read = unsafe extern "C" fn(Handle) -> Text;
    // SAFETY: these are the types of nftables/libnftables.h, which are the same for every library of this name.
    let (new, set_flags, buffer_output, buffer_error, run, output, error) = unsafe {
        (
            std::mem::transmute::<Handle, New>(symbol(c"nft_ctx_new")?),
            std::mem::transmute::<Handle, SetFlags>(symbol(c"nft_ctx_output_set_flags")?),
            std::mem::transmute::<Handle, Buffer>(symbol(c"nft_ctx_buffer_output")?),
            std::mem::transmute::<Handle, Buffer>(symbol(c"nft_ctx_buffer_error")?),
            std::mem::transmute::<Handle, Run>(symbol(c"nft_run_cmd_from_buffer")?),
            std::mem::transmute::<Handle, Read>(symbol(c"nft_ctx_get_output_buffer")?),
            std::mem::transmute::<Handle, Read>(symbol(c"nft_ctx_get_error_buffer")?),
        )
    };
    let next = File::open("/dev/null").map_err(|error| SystemError::io("open", "/dev/null", &error))?;
    if next.as_raw_fd() >= libc::FD_SETSIZE as RawFd {
        return Err(SystemError::new("nft_ctx_new", "with so many descriptors open", Errno::EMFILE));
    }
    drop(next);
    // SAFETY: a context is made, checked, and then used as the library's header says.
    unsafe {
        let context = new(0);
        if context.is_null() {
            return Err(SystemError::new("nft_ctx_new", "", Errno::ENOMEM));
        }
        set_flags(context, OUTPUT_STATELESS);
        if buffer_output(context) != 0 || buffer_error(context) != 0 {
            return Err(SystemError::new("nft_ctx_buffer_output", "", Errno::ENOMEM));
        }
        Ok(Library { context, run, output, error })
    }
}
