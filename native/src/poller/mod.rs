// The data plane's loop around the kernel: `poll` fills the receive ring with what the ports have, `flush` sends what the
// engine put in the transmit ring. One poller a worker thread, blocking, no allocation in either call.
//
//   layout     where rings and arena are
//   ports      number -> descriptors and state
//   ready      epoll, and the eventfd that wakes the poller
//   receive    read and recvmmsg into the arena
//   transmit   write, writev and sendmmsg out of the memory
//   address    peers' addresses
//   scheduler  whose turn it is
//   pace       when to spin or sleep
//   calls      the three calls of every batch, by bare N-API
//   stats      what was done and refused
//   this file  the class as JavaScript sees it

mod address;
mod calls;
mod layout;
mod pace;
mod ports;
mod ready;
mod receive;
mod scheduler;
mod stats;
mod transmit;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{Object, This, Uint8Array};
use napi_derive::napi;
use nix::errno::Errno;

use self::layout::PollerLayout;
use self::ports::Kind;
use self::scheduler::Scheduler;
use self::stats::PollerStats;
use crate::error::{SystemError, SystemResult, errno_name};
use crate::memory::Memory;
use crate::promise::on_thread;
use crate::udp::is_ipv6;

/// `poll`, `flush` and `woken` are functions of each instance (calls.rs), the rest is here.
#[napi]
pub struct Poller {
    scheduler: Rc<RefCell<Scheduler>>,
}

#[napi(object)]
pub struct PortFailure {
    pub port: u32,
    pub error: String,
}

#[napi]
impl Poller {
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, this: This) -> napi::Result<Self> {
        let opened = Scheduler::open().map_err(|error| error.into_js(env))?;
        let scheduler = Rc::new(RefCell::new(opened));
        calls::define(env, &this.object, &scheduler)?;
        Ok(Self { scheduler })
    }

    /// The eventfd that `wake` writes to.
    #[napi(getter)]
    pub fn wake_fd(&self) -> i32 {
        self.scheduler.borrow().wake_fd()
    }

    /// Points the poller at the engine's memory.
    #[napi(catch_unwind)]
    pub fn attach(&self, env: &Env, memory: Uint8Array, layout: PollerLayout) -> napi::Result<()> {
        Memory::new(memory, env)
            .and_then(|memory| self.scheduler.borrow_mut().attach(memory, layout))
            .map_err(|error| error.into_js(env))
    }

    /// Frames of this TAP arrive as `port` from here on. The poller has a duplicate: whatever becomes of it and its thread, the
    /// descriptor is the caller's to close.
    #[napi(catch_unwind)]
    pub fn add_tap(&self, env: &Env, port: u32, fd: i32) -> napi::Result<()> {
        let added = self.scheduler.borrow_mut().add(port, &[fd], |_| Ok(Kind::Tap));
        added.map_err(|error| error.into_js(env))
    }

    /// Frames of this packet socket arrive as `port` from here on.
    #[napi(catch_unwind)]
    pub fn add_packet(&self, env: &Env, port: u32, fd: i32) -> napi::Result<()> {
        let added = self.scheduler.borrow_mut().add(port, &[fd], |_| Ok(Kind::Packet));
        added.map_err(|error| error.into_js(env))
    }

    /// The first of `fds` receives, the others send; a lone one does both.
    #[napi(catch_unwind)]
    pub fn add_udp(&self, env: &Env, port: u32, fds: Vec<i32>) -> napi::Result<()> {
        let added = self.scheduler.borrow_mut().add(port, &fds, |owned| sockets_kind(port, owned));
        added.map_err(|error| error.into_js(env))
    }

    /// Datagrams of this socket arrive as `port` when epoll has named it, and it is not tried at every turn as others are.
    #[napi(catch_unwind)]
    pub fn add_quiet(&self, env: &Env, port: u32, fd: i32) -> napi::Result<()> {
        let added = self.scheduler.borrow_mut().add_quiet(port, fd, |owned| sockets_kind(port, owned));
        added.map_err(|error| error.into_js(env))
    }

    /// Stops polling `port` (none: fine) and closes its duplicates on a thread, for they may be the last ones; resolves when they
    /// are closed.
    #[napi(catch_unwind)]
    pub fn remove<'env>(&self, env: &'env Env, port: u32) -> napi::Result<Object<'env>> {
        let fds = self.scheduler.borrow_mut().take(port).map(|port| port.fds);
        on_thread(env, move || {
            drop(fds);
            Ok(())
        })
    }

    /// Stops polling `port`, whose descriptors the caller still has.
    #[napi(catch_unwind)]
    pub fn release(&self, env: &Env, port: u32) -> napi::Result<()> {
        match self.scheduler.borrow_mut().take(port) {
            Some(_) => Ok(()),
            None => Err(SystemError::new("release", format!("port {port}"), Errno::ENXIO).into_js(env)),
        }
    }

    #[napi(catch_unwind)]
    pub fn set_spin_us(&self, us: u32) {
        self.scheduler.borrow_mut().pace.spin = Duration::from_micros(us.into());
    }

    /// Ports muted since the last call.
    #[napi(catch_unwind)]
    pub fn failed(&self) -> Vec<PortFailure> {
        let failures = self.scheduler.borrow_mut().ports.take_failures();
        let told = |(port, errno): (u16, Errno)| PortFailure { port: port.into(), error: errno_name(errno) };
        failures.into_iter().map(told).collect()
    }

    #[napi(catch_unwind)]
    pub fn stats(&self) -> PollerStats {
        self.scheduler.borrow().stats.report()
    }
}

/// All sockets of a port speak one address family: its peers' addresses are written for that.
fn sockets_kind(port: u32, owned: &[OwnedFd]) -> SystemResult<Kind> {
    let ipv6 = is_ipv6(&owned[0])?;
    for fd in owned {
        if is_ipv6(fd)? != ipv6 {
            let object = format!("port {port}, whose sockets are of two address families");
            return Err(SystemError::new("addUdp", object, Errno::EINVAL));
        }
    }
    Ok(Kind::Udp { ipv6 })
}

/// Ends the sleep of the poller that has this eventfd. Any thread.
#[napi(catch_unwind)]
pub fn wake(env: &Env, wake_fd: i32) -> napi::Result<()> {
    let one = 1_u64;
    // SAFETY: the kernel reads eight bytes, the size of `one`.
    let written = unsafe { libc::write(wake_fd, (&raw const one).cast(), size_of::<u64>()) };
    match if written == -1 { Errno::last() } else { Errno::UnknownErrno } {
        // EAGAIN: so many wakes wait already that the counter is full.
        Errno::UnknownErrno | Errno::EAGAIN => Ok(()),
        errno => Err(SystemError::new("write", format!("eventfd {wake_fd}"), errno).into_js(env)),
    }
}
