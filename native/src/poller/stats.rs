// What the poller did, and what the kernel refused it, by errno. Plain additions: one thread owns the poller.

use std::collections::HashMap;

use napi_derive::napi;
use nix::errno::Errno;

use crate::error::errno_name;

/// Above Linux's largest errno (133).
const ERRNO_MAX: usize = 160;

pub struct ErrorCounts([u64; ERRNO_MAX]);

impl Default for ErrorCounts {
    fn default() -> Self {
        Self([0; ERRNO_MAX])
    }
}

impl ErrorCounts {
    #[inline]
    pub fn add(&mut self, errno: Errno) {
        let index = (errno as i32).clamp(0, ERRNO_MAX as i32 - 1);
        self.0[index as usize] += 1;
    }

    fn by_name(&self) -> HashMap<String, f64> {
        let counted = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(code, count)| (errno_name(Errno::from_raw(code as i32)), *count as f64)).collect()
    }
}

#[derive(Default)]
pub struct Stats {
    pub polls: u64,
    pub sleeps: u64,
    pub spin_ns: u64,
    pub wakes: u64,
    pub receive_calls: u64,
    pub send_calls: u64,
    pub receive_errors: ErrorCounts,
    pub send_errors: ErrorCounts,
}

#[napi(object)]
pub struct PollerStats {
    pub polls: f64,
    pub sleeps: f64,
    pub spin_us: f64,
    pub wakes: f64,
    pub receive_calls: f64,
    pub send_calls: f64,
    pub receive_errors: HashMap<String, f64>,
    pub send_errors: HashMap<String, f64>,
}

impl Stats {
    pub fn report(&self) -> PollerStats {
        PollerStats {
            polls: self.polls as f64,
            sleeps: self.sleeps as f64,
            spin_us: (self.spin_ns / 1000) as f64,
            wakes: self.wakes as f64,
            receive_calls: self.receive_calls as f64,
            send_calls: self.send_calls as f64,
            receive_errors: self.receive_errors.by_name(),
            send_errors: self.send_errors.by_name(),
        }
    }
}
