// The poller's ports: which descriptors belong to which number, and in what state they are.
//
//   open     read at every turn
//   faulty   an error came that may pass (EIO while a TAP is down): read only when epoll reports a change
//   muted    failed for good (EBADFD: the interface was deleted); kept until `remove`, reported once by `failed`

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    Faulty,
    Muted,
}

pub enum Kind {
    Tap,
    Udp {
        ipv6: bool,
    },
    /// An AF_PACKET socket with virtio-net headers.
    Packet,
}

pub struct Port {
    pub kind: Kind,
    /// The first one receives.
    pub fds: Vec<OwnedFd>,
    pub state: State,
}

impl Port {
    #[inline]
    pub fn receiver(&self) -> RawFd {
        self.fds[0].as_raw_fd()
    }

    /// The socket that sends for `socket`: one behind the receiver, whose own source port would carry no entropy (RFC 7348
    /// section 5), unless it is alone.
    #[inline]
    pub fn sender(&self, socket: u16) -> RawFd {
        let senders = if self.fds.len() > 1 { &self.fds[1..] } else { &self.fds[..] };
        senders[usize::from(socket) % senders.len()].as_raw_fd()
    }
}

#[derive(Default)]
pub struct Ports {
    slots: Vec<Option<Port>>,
    /// The numbers in use but for quiet ports', for the turn that tries each of few ports.
    pub numbers: Vec<u16>,
    failures: Vec<(u16, Errno)>,
}

impl Ports {
    #[inline]
    pub fn get(&self, number: u16) -> Option<&Port> {
        self.slots.get(usize::from(number))?.as_ref()
    }

    /// `quiet`: so seldom has it anything that only epoll is asked.
    pub fn insert(&mut self, number: u16, port: Port, quiet: bool) {
        let index = usize::from(number);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(port);
        if !quiet {
            self.numbers.push(number);
        }
    }

    pub fn take(&mut self, number: u16) -> Option<Port> {
        let port = self.slots.get_mut(usize::from(number))?.take();
        self.numbers.retain(|other| *other != number);
        self.failures.retain(|(other, _)| *other != number);
        port
    }

    pub fn set_state(&mut self, number: u16, state: State) {
        if let Some(Some(port)) = self.slots.get_mut(usize::from(number)) {
            port.state = state;
        }
    }

    pub fn mute(&mut self, number: u16, errno: Errno) {
        self.set_state(number, State::Muted);
        self.failures.push((number, errno));
    }

    /// The ports muted since the last call.
    pub fn take_failures(&mut self) -> Vec<(u16, Errno)> {
        std::mem::take(&mut self.failures)
    }
}
