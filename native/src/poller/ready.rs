// Who has something: epoll over the ports' receiving descriptors, and the eventfd by which other threads end a sleep. What epoll
// named and nobody has served yet waits here, in epoll's order, which is fair.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::error::{SystemError, SystemResult};

const EVENTS: usize = 256;
/// What epoll says for the eventfd; ports say their number.
const WAKE: u64 = u64::MAX;

/// A port that epoll named.
pub struct Named {
    pub number: u16,
    pub is_error: bool,
    index: usize,
}

pub struct Ready {
    epoll: Epoll,
    eventfd: EventFd,
    events: Box<[EpollEvent]>,
    /// The part of `events` that was not served yet.
    waiting: Range<usize>,
    woken: bool,
}

impl Ready {
    pub fn open() -> SystemResult<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| SystemError::new("epoll_create1", "", errno))?;
        let eventfd = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| SystemError::new("eventfd", "", errno))?;
        epoll
            .add(&eventfd, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))
            .map_err(|errno| SystemError::new("epoll_ctl", "eventfd", errno))?;
        let events = vec![EpollEvent::empty(); EVENTS].into_boxed_slice();
        Ok(Self { epoll, eventfd, events, waiting: 0..0, woken: false })
    }

    pub fn wake_fd(&self) -> RawFd {
        self.eventfd.as_fd().as_raw_fd()
    }

    pub fn add(&self, fd: &OwnedFd, number: u16) -> Result<(), Errno> {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, number.into()))
    }

    /// Fails silently for what is not watched any more.
    pub fn forget(&self, fd: &OwnedFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Open ports are watched for what they have, faulty ones for a change.
    pub fn watch(&self, fd: &OwnedFd, number: u16, is_faulty: bool) {
        let flags = if is_faulty { EpollFlags::EPOLLIN | EpollFlags::EPOLLET } else { EpollFlags::EPOLLIN };
        let _ = self.epoll.modify(fd, &mut EpollEvent::new(flags, number.into()));
    }

    /// Asks epoll, for at most `timeout_ms` (negative: without end); what it names waits then. Whether there was a wake.
    pub fn wait(&mut self, timeout_ms: i32) -> bool {
        let timeout = EpollTimeout::try_from(timeout_ms).unwrap_or(EpollTimeout::NONE);
        // EINTR is as good as a timeout: the caller comes back.
        let mut count = self.epoll.wait(&mut self.events, timeout).unwrap_or(0);
        let wake = self.events[..count].iter().position(|event| event.data() == WAKE);
        if let Some(index) = wake {
            let _ = self.eventfd.read();
            self.woken = true;
            count -= 1;
            // Not swapped: the order is epoll's, and fair.
            self.events[index..=count].rotate_left(1);
        }
        self.waiting = 0..count;
        wake.is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn next(&mut self) -> Option<Named> {
        let index = self.waiting.next()?;
        let event = self.events[index];
        let is_error = event.events().intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        Some(Named { number: event.data() as u16, is_error, index })
    }

    /// The one that `next` has just given is the next again.
    pub fn put_back(&mut self, named: Named) {
        self.waiting.start = named.index;
    }

    /// Whether there was a wake that nobody has taken.
    pub fn is_woken(&self) -> bool {
        self.woken
    }

    pub fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }
}
