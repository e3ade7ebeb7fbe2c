// When to spin and when to sleep. A sleep costs a round trip two to three times its latency, a spin costs the processor. So the
// poller spins, for at most the time that was set, only while traffic is recent, and an idle one sleeps in epoll_wait until a
// port or the eventfd has something.

use std::time::{Duration, Instant};

/// How long after the last frame traffic counts as recent.
const RECENT: Duration = Duration::from_millis(2);

#[derive(Default)]
pub struct Pace {
    /// The longest that a spin may take; zero: never.
    pub spin: Duration,
    last_traffic: Option<Instant>,
}

impl Pace {
    pub fn is_worth_spinning(&self, now: Instant) -> bool {
        !self.spin.is_zero() && self.last_traffic.is_some_and(|last| now.duration_since(last) < RECENT)
    }

    /// There are frames. The clock is read only where the answer is wanted.
    pub fn note_traffic(&mut self) {
        if !self.spin.is_zero() {
            self.last_traffic = Some(Instant::now());
        }
    }
}

/// Lets whoever else wants this processor have it, above all the program that the last frames were for: on a machine of few
/// cores, where every spinner has one, its answer would else wait until a spin ends. Returns at once when nobody does.
pub fn yield_processor() {
    // SAFETY: no arguments; it can't fail on Linux.
    unsafe { libc::sched_yield() };
}
