// Whose turn it is. With few ports each is simply tried: a read that says EAGAIN is cheaper than asking epoll first. With many,
// epoll names the ready ones. No port reads more than its share a turn; one that fills a batch alone is the last in the next,
// and those that found too little room are its first. So a flood on one port costs another at most a batch.
//
// When a turn brings nothing: pace.rs says whether to spin, else it sleeps in epoll.

use std::os::fd::{OwnedFd, RawFd};
use std::time::Instant;

use napi::Env;
use nix::errno::Errno;

use super::layout::PollerLayout;
use super::pace::{Pace, yield_processor};
use super::ports::{Kind, Port, Ports, State};
use super::ready::Ready;
use super::receive::{Receiver, Turn};
use super::stats::Stats;
use super::transmit::Transmitter;
use crate::descriptor::{duplicate, set_nonblocking};
use crate::error::{SystemError, SystemResult};
use crate::memory::Memory;

/// Up to so many ports each one is tried without asking epoll.
const FEW_PORTS: usize = 4;
/// While trying without epoll, every so many polls epoll is asked all the same: for the eventfd and for faulty ports.
const EPOLL_EVERY: u64 = 16;

pub struct Scheduler {
    ready: Ready,
    batch: Option<(Memory, PollerLayout)>,
    pub ports: Ports,
    receiver: Receiver,
    transmitter: Transmitter,
    pub stats: Stats,
    /// Among few ports, the index of the first to try.
    first: usize,
    pub pace: Pace,
}

impl Scheduler {
    pub fn open() -> SystemResult<Self> {
        Ok(Self {
            ready: Ready::open()?,
            batch: None,
            ports: Ports::default(),
            receiver: Receiver::new(),
            transmitter: Transmitter::new(),
            stats: Stats::default(),
            first: 0,
            pace: Pace::default(),
        })
    }

    pub fn wake_fd(&self) -> RawFd {
        self.ready.wake_fd()
    }

    pub fn attach(&mut self, memory: Memory, layout: PollerLayout) -> SystemResult<()> {
        layout.check(&memory)?;
        self.batch = Some((memory, layout));
        Ok(())
    }

    /// Polls a port by duplicates of these descriptors; `kind` looks at them first. The originals stay the caller's.
    pub fn add(
        &mut self,
        port: u32,
        fds: &[RawFd],
        kind: impl FnOnce(&[OwnedFd]) -> SystemResult<Kind>,
    ) -> SystemResult<()> {
        self.take_over(port, fds, false, kind)
    }

    /// The same of a port that only epoll is asked about.
    pub fn add_quiet(
        &mut self,
        port: u32,
        fd: RawFd,
        kind: impl FnOnce(&[OwnedFd]) -> SystemResult<Kind>,
    ) -> SystemResult<()> {
        self.take_over(port, &[fd], true, kind)
    }

    fn take_over(
        &mut self,
        port: u32,
        fds: &[RawFd],
        quiet: bool,
        kind: impl FnOnce(&[OwnedFd]) -> SystemResult<Kind>,
    ) -> SystemResult<()> {
        let refuse = |errno| SystemError::new("add", format!("port {port}"), errno);
        let number = u16::try_from(port).map_err(|_| refuse(Errno::ERANGE))?;
        let is_repeated = |index: usize| fds[..index].contains(&fds[index]);
        if fds.is_empty() || (0..fds.len()).any(is_repeated) {
            return Err(refuse(Errno::EINVAL));
        }
        if self.ports.get(number).is_some() {
            return Err(refuse(Errno::EEXIST));
        }
        let adopt = |fd: &RawFd| {
            let own = duplicate(*fd)?;
            set_nonblocking(*fd)?;
            Ok(own)
        };
        let owned = fds.iter().map(adopt).collect::<SystemResult<Vec<_>>>()?;
        let kind = kind(&owned)?;
        self.ready
            .add(&owned[0], number)
            .map_err(|errno| SystemError::new("epoll_ctl", format!("port {port}, descriptor {}", fds[0]), errno))?;
        self.ports.insert(number, Port { kind, fds: owned, state: State::Open }, quiet);
        Ok(())
    }

    /// Stops polling a port; its descriptors with it.
    pub fn take(&mut self, port: u32) -> Option<Port> {
        let port = self.ports.take(u16::try_from(port).ok()?)?;
        // Fails for a muted port, which is not polled any more.
        self.ready.forget(&port.fds[0]);
        Some(port)
    }

    /// Receives: descriptors filled, 0 after a timeout or a wake.
    pub fn poll(&mut self, env: &Env, timeout_ms: i32) -> SystemResult<u32> {
        let (_, layout) = attached(&mut self.batch, "poll", env)?;
        self.receiver.begin(layout);
        self.stats.polls += 1;
        if self.collect() {
            return Ok(self.receiver.count());
        }
        // A wake that nobody has looked at yet: the caller has messages to read.
        if timeout_ms != 0 && !self.ready.is_woken() && !self.spin() {
            self.stats.sleeps += 1;
            self.wait(timeout_ms);
            self.serve_waiting();
            self.note_traffic();
        }
        Ok(self.receiver.count())
    }

    /// Sends: how many descriptors were refused.
    pub fn flush(&mut self, env: &Env, count: u32) -> SystemResult<u32> {
        let (memory, layout) = attached(&mut self.batch, "flush", env)?;
        Ok(self.transmitter.flush(count, &self.ports, memory, layout, &mut self.stats))
    }

    /// Whether there was a wake since the last call.
    pub fn woken(&mut self) -> bool {
        self.ready.take_wake()
    }

    /// One turn without sleeping; whether it brought anything.
    fn collect(&mut self) -> bool {
        // Whom epoll has named and a full batch left no room for comes first: it names a quiet port behind the same ones again.
        let ask_epoll = self.ports.numbers.len() > FEW_PORTS
            || self.stats.polls.is_multiple_of(EPOLL_EVERY)
            || !self.ready.is_empty();
        if ask_epoll {
            if self.ready.is_empty() {
                self.wait(0);
            }
            self.serve_waiting();
        } else {
            self.try_each();
        }
        self.note_traffic()
    }

    fn try_each(&mut self) {
        let count = self.ports.numbers.len();
        if count == 0 {
            return;
        }
        let first = self.first % count;
        self.first = first + 1;
        for step in 0..count {
            let index = (first + step) % count;
            // A port that fails during the turn stays in the list, muted.
            let number = self.ports.numbers[index];
            let is_open = self.ports.get(number).is_some_and(|port| port.state == State::Open);
            let alone = self.receiver.count() == 0;
            if is_open && self.serve(number, false) {
                self.first = if alone { index + 1 } else { index };
                return;
            }
        }
    }

    /// Serves the ports that epoll named, until the batch is full.
    fn serve_waiting(&mut self) {
        while let Some(named) = self.ready.next() {
            let alone = self.receiver.count() == 0;
            if self.serve(named.number, named.is_error) {
                // Who filled the batch alone has had its turn; who found it half full is first in the next.
                if !alone {
                    self.ready.put_back(named);
                }
                return;
            }
        }
    }

    /// Asks epoll, for at most `timeout_ms` (negative: without end).
    fn wait(&mut self, timeout_ms: i32) {
        if self.ready.wait(timeout_ms) {
            self.stats.wakes += 1;
        }
    }

    /// One port's turn; whether the batch became full.
    fn serve(&mut self, number: u16, is_error: bool) -> bool {
        let Some((memory, layout)) = &self.batch else { return true };
        let Some(port) = self.ports.get(number) else { return false };
        if port.state == State::Muted {
            return false;
        }
        let before = self.receiver.count();
        let fd = port.receiver();
        let is_tap = matches!(port.kind, Kind::Tap);
        let was_faulty = port.state == State::Faulty;
        let turn = match port.kind {
            Kind::Tap => self.receiver.tap(number, fd, memory, layout, &mut self.stats),
            Kind::Udp { .. } => self.receiver.udp(number, fd, memory, layout, &mut self.stats),
            Kind::Packet => self.receiver.packet(number, fd, memory, layout, &mut self.stats),
        };
        let received = self.receiver.count() > before;
        match turn {
            Turn::Full => return true,
            Turn::Failed(errno) if is_final(errno) => self.mute(number, errno),
            Turn::Failed(_) if is_tap && !was_faulty => self.watch(number, State::Faulty),
            // An error state that reading does not clear would make epoll return at once for ever.
            Turn::Done if is_error && !received && !was_faulty => self.watch(number, State::Faulty),
            _ if was_faulty && received => self.watch(number, State::Open),
            _ => {}
        }
        false
    }

    fn mute(&mut self, number: u16, errno: Errno) {
        if let Some(port) = self.ports.get(number) {
            self.ready.forget(&port.fds[0]);
        }
        self.ports.mute(number, errno);
    }

    /// Open ports are watched for what they have, faulty ones for a change.
    fn watch(&mut self, number: u16, state: State) {
        self.ports.set_state(number, state);
        if let Some(port) = self.ports.get(number) {
            self.ready.watch(&port.fds[0], number, state == State::Faulty);
        }
    }

    /// Turns without sleeping for as long as it is worth it; whether that brought anything.
    fn spin(&mut self) -> bool {
        let start = Instant::now();
        if !self.pace.is_worth_spinning(start) {
            return false;
        }
        loop {
            yield_processor();
            let brought = self.collect();
            let spent = start.elapsed();
            if brought || self.ready.is_woken() || spent >= self.pace.spin {
                self.stats.spin_ns += spent.as_nanos() as u64;
                return brought || self.ready.is_woken();
            }
        }
    }

    fn note_traffic(&mut self) -> bool {
        let brought = self.receiver.count() > 0;
        if brought {
            self.pace.note_traffic();
        }
        brought
    }
}

/// The memory, its address taken afresh.
fn attached<'a>(
    batch: &'a mut Option<(Memory, PollerLayout)>,
    call: &'static str,
    env: &Env,
) -> SystemResult<(&'a Memory, &'a PollerLayout)> {
    let Some((memory, layout)) = batch else {
        return Err(SystemError::new(call, "before attach", Errno::EINVAL));
    };
    let length = memory.length();
    memory.refresh(env)?;
    if memory.length() < length {
        layout.check(memory)?;
    }
    Ok((memory, layout))
}

/// Errors after which a descriptor will never read again: EBADFD is a TAP whose interface was deleted.
fn is_final(errno: Errno) -> bool {
    matches!(errno, Errno::EBADFD | Errno::EBADF | Errno::ENODEV | Errno::ENOTSOCK)
}
