// A thread that lives as long as the daemon, begun by the first call that needs it. It keeps no event loop alive.

use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use crate::error::{SystemError, SystemResult};

/// What a thread serves, which waits at an epoll.
pub struct Service<T> {
    running: OnceLock<T>,
    starting: Mutex<()>,
}

/// How a thread begins: its name, its stack, what it shares with its callers, and what it does.
pub struct Begin<T: 'static> {
    pub name: &'static str,
    pub stack_bytes: usize,
    pub share: fn(Epoll) -> T,
    pub serve: fn(&'static T),
}

impl<T: Send + Sync> Service<T> {
    pub const fn new() -> Self {
        Self { running: OnceLock::new(), starting: Mutex::new(()) }
    }

    /// None: nobody has needed it.
    pub fn running(&'static self) -> Option<&'static T> {
        self.running.get()
    }

    /// Begins the thread unless it runs. If it can't begin, nothing is running and the next call tries again.
    pub fn start(&'static self, begin: Begin<T>) -> SystemResult<&'static T> {
        let _one = self.starting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(shared) = self.running() {
            return Ok(shared);
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| SystemError::new("epoll_create1", "", errno))?;
        let (hand_over, handed) = mpsc::channel::<&'static T>();
        thread::Builder::new()
            .name(begin.name.to_owned())
            .stack_size(begin.stack_bytes)
            .spawn(move || handed.recv().map(begin.serve))
            .map_err(|error| SystemError::io("pthread_create", "", &error))?;
        let shared = self.running.get_or_init(|| (begin.share)(epoll));
        let _ = hand_over.send(shared);
        Ok(shared)
    }
}
