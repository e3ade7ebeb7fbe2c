// A TCP connection to a held port and the one to the sandbox that belongs to it: what one end says the other hears, in both
// directions, each of which ends by itself; a reset, or a connection that does not come about, is passed on as a reset.
//
// Both are watched edge-triggered, and each event has both directions carried on for as far as it goes. What the one end does
// not take is kept, and nothing more is read from the other until it has: so a slow end slows the other down, and costs one
// buffer.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use super::sockets::{connecting_to, keep_lively, reset};
use super::{Relay, Token};

/// Buffers that one direction moves in a turn.
const SHARE: usize = 16;

pub struct Pair {
    /// The port that it came by.
    pub port: Token,
    client: TcpStream,
    sandbox: TcpStream,
    connected: bool,
    up: Direction,
    down: Direction,
}

pub enum Progress {
    Waits,
    HasMore,
    Over,
    Broken,
}

#[derive(Default)]
struct Direction {
    /// Read and not yet taken by the other end.
    rest: Vec<u8>,
    at: usize,
    ended: bool,
    passed_on: bool,
}

impl Pair {
    pub fn open(
        relay: &Relay,
        token: Token,
        port: Token,
        client: TcpStream,
        place: SocketAddrV4,
    ) -> core::result::Result<Self, Errno> {
        let opened = client
            .set_nonblocking(true)
            .map_err(|_| Errno::EIO)
            .and_then(|()| connecting_to(place).map_err(|error| error.errno))
            .and_then(|sandbox| {
                for stream in [&client, &sandbox] {
                    keep_lively(stream);
                    let edges =
                        EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                    relay.watch(stream, token, edges)?;
                }
                Ok(sandbox)
            });
        match opened {
            Ok(sandbox) => {
                let (up, down) = (Direction::default(), Direction::default());
                Ok(Self { port, client, sandbox, connected: false, up, down })
            }
            Err(errno) => {
                reset(client);
                Err(errno)
            }
        }
    }

    pub fn turn(&mut self, flags: EpollFlags, buffer: &mut [u8]) -> Progress {
        if flags.contains(EpollFlags::EPOLLERR) {
            return Progress::Broken;
        }
        self.connected = self.connected || self.sandbox.peer_addr().is_ok();
        if !self.connected {
            return Progress::Waits;
        }
        let more = self.up.carry(&self.client, &self.sandbox, buffer);
        let more = more.and_then(|up| Ok(self.down.carry(&self.sandbox, &self.client, buffer)? || up));
        match more {
            Err(_) => Progress::Broken,
            Ok(_) if self.up.passed_on && self.down.passed_on => Progress::Over,
            Ok(true) => Progress::HasMore,
            Ok(false) => Progress::Waits,
        }
    }

    pub fn reset(self) {
        reset(self.client);
        reset(self.sandbox);
    }
}

impl Direction {
    /// Whether there may be more that nobody will call for.
    fn carry(&mut self, mut from: &TcpStream, mut to: &TcpStream, buffer: &mut [u8]) -> Result<bool> {
        for _ in 0..SHARE {
            if self.at < self.rest.len() {
                match put(&mut to, &self.rest[self.at..])? {
                    0 => return Ok(false),
                    taken => self.at += taken,
                }
                if self.at < self.rest.len() {
                    continue;
                }
                (self.rest, self.at) = (Vec::new(), 0);
            }
            if self.ended {
                if !self.passed_on {
                    to.shutdown(Shutdown::Write)?;
                    self.passed_on = true;
                }
                return Ok(false);
            }
            match from.read(buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    let taken = put(&mut to, &buffer[..length])?;
                    if taken < length {
                        self.rest = buffer[taken..length].to_vec();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// How much was taken; 0: nothing now.
fn put(to: &mut &TcpStream, bytes: &[u8]) -> Result<usize> {
    loop {
        match to.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            outcome => return outcome,
        }
    }
}
