// The ends of processes that are not our children, by their pidfds (pidfd_open(2)): one thread waits for all of them.
//
// A pid alone names nobody for long, so a process is a pid and the time of its start (proc(5): field 22 of stat, in ticks since
// boot). The thread keeps no event loop alive: who watches and has nothing else to do may end.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Mutex;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::{SystemError, SystemResult, check};
use crate::service::{Begin, Service};

const STACK_BYTES: usize = 64 * 1024;

type Ended = ThreadsafeFunction<(), (), (), Status, false, true>;

struct Watch {
    epoll: Epoll,
    /// By descriptor, which stays open until its process has ended.
    waiting: Mutex<HashMap<u64, (OwnedFd, Ended)>>,
}

static WATCH: Service<Watch> = Service::new();

/// When the process began, in clock ticks since boot; None if there is no such process, or it has ended and nobody has
/// waited for it yet.
#[napi(catch_unwind)]
pub fn process_start(pid: u32) -> Option<f64> {
    start_of(pid).map(|ticks| ticks as f64)
}

/// Calls `on_end` once when that process has ended; false: it has already, or the pid is another's.
#[napi(catch_unwind)]
pub fn watch_process(env: &Env, pid: u32, start: f64, on_end: Function<'_, (), ()>) -> napi::Result<bool> {
    let ended = on_end.build_threadsafe_function::<()>().weak::<true>().build()?;
    watch(pid, start as u64, ended).map_err(|error| error.into_js(env))
}

fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces and parentheses in it. Behind it: field 3, the state, comes first.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

fn watch(pid: u32, start: u64, ended: Ended) -> SystemResult<bool> {
    // What is no process at all pidfd_open would refuse as a mistake of ours.
    if start_of(pid) != Some(start) {
        return Ok(false);
    }
    // SAFETY: no pointers.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) } as libc::c_int;
    if raw == -1 && Errno::last() == Errno::ESRCH {
        return Ok(false);
    }
    check(raw, "pidfd_open", &format!("process {pid}"))?;
    // SAFETY: it was opened just now and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // The descriptor is that of whoever has the pid now.
    if start_of(pid) != Some(start) {
        return Ok(false);
    }
    let watch = running()?;
    let key = raw as u64;
    let mut waiting = watch.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watch
        .epoll
        .add(&fd, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, key))
        .map_err(|errno| SystemError::new("epoll_ctl", format!("process {pid}"), errno))?;
    waiting.insert(key, (fd, ended));
    Ok(true)
}

fn running() -> SystemResult<&'static Watch> {
    WATCH.start(Begin {
        name: "weft-watch",
        stack_bytes: STACK_BYTES,
        share: |epoll| Watch { epoll, waiting: Mutex::new(HashMap::new()) },
        serve: follow,
    })
}

fn follow(watch: &'static Watch) {
    let mut events = [EpollEvent::empty(); 16];
    loop {
        let count = match watch.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        for event in &events[..count] {
            let found = watch.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&event.data());
            if let Some((fd, ended)) = found {
                let _ = watch.epoll.delete(&fd);
                ended.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    }
}
