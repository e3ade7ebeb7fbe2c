// What is held and relayed, and a turn of the thread for one thing of it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use super::stream::{Pair, Progress};
use super::{Relay, Token, sockets};

/// Connections that a listener's turn accepts.
const ACCEPTED: usize = 64;
/// Of this many bytes a connection keeps what the other end does not take yet.
const BUFFER_BYTES: usize = 32 * 1024;
const NO_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(5);

pub enum Item {
    Tcp(TcpPort),
    Udp(UdpPort),
    Pair(Box<Pair>),
    Session(Session),
}

pub struct TcpPort {
    pub listener: TcpListener,
    pub place: Option<SocketAddrV4>,
    pub pairs: HashSet<Token>,
}

pub struct UdpPort {
    pub socket: Arc<UdpSocket>,
    pub place: Option<SocketAddrV4>,
    pub sessions: HashMap<sockets::Client, Token>,
}

/// A client of a UDP port (datagram.rs).
pub struct Session {
    pub port: Token,
    pub client: sockets::Client,
    pub back: Arc<UdpSocket>,
    pub socket: UdpSocket,
    pub heard: Instant,
}

pub struct State {
    /// By what epoll names them; numbers are never used again, so an event of what is gone is nobody's.
    pub items: HashMap<Token, Item>,
    pub last: Token,
    /// Pairs and sessions.
    pub open: usize,
    /// Of these, UDP clients, whose silence is timed.
    pub sessions: usize,
    pub most: usize,
    pub idle: Duration,
    pub swept: Instant,
    /// Had their share of a turn and may have more.
    pub again: Vec<Token>,
    pub buffer: Box<[u8]>,
    /// Given up where descriptors run out, so that a client can be turned away instead of waiting.
    pub spare: Option<File>,
}

impl State {
    pub fn new() -> Self {
        Self {
            items: HashMap::new(),
            last: 0,
            open: 0,
            sessions: 0,
            most: 0,
            idle: Duration::from_secs(90),
            swept: Instant::now(),
            again: Vec::new(),
            buffer: vec![0; BUFFER_BYTES.max(sockets::DATAGRAM_BYTES)].into_boxed_slice(),
            spare: File::open("/dev/null").ok(),
        }
    }

    pub fn number(&mut self) -> Token {
        self.last += 1;
        self.last
    }

    pub fn turn(&mut self, relay: &Relay, token: Token, flags: EpollFlags) {
        // Taken out while it has its turn, so that it can change what is beside it.
        let Some(item) = self.items.remove(&token) else { return };
        let kept = match item {
            Item::Tcp(mut port) => {
                self.accept(relay, token, &mut port);
                Some(Item::Tcp(port))
            }
            Item::Udp(mut port) => {
                self.receive(relay, token, &mut port);
                Some(Item::Udp(port))
            }
            Item::Session(mut session) => {
                session.answer(&mut self.buffer);
                Some(Item::Session(session))
            }
            Item::Pair(mut pair) => match pair.turn(flags, &mut self.buffer[..BUFFER_BYTES]) {
                Progress::Waits => Some(Item::Pair(pair)),
                Progress::HasMore => {
                    self.again.push(token);
                    Some(Item::Pair(pair))
                }
                Progress::Over => {
                    self.forget(token, pair.port);
                    None
                }
                Progress::Broken => {
                    self.forget(token, pair.port);
                    pair.reset();
                    None
                }
            },
        };
        if let Some(item) = kept {
            self.items.insert(token, item);
        }
    }

    fn accept(&mut self, relay: &Relay, token: Token, port: &mut TcpPort) {
        for _ in 0..ACCEPTED {
            match port.listener.accept() {
                Ok((client, _)) => match port.place {
                    Some(place) if self.open < self.most || self.forget_silentest() => {
                        let number = self.number();
                        if let Ok(pair) = Pair::open(relay, number, token, client, place) {
                            self.open += 1;
                            port.pairs.insert(number);
                            self.items.insert(number, Item::Pair(Box::new(pair)));
                        }
                    }
                    _ => sockets::reset(client),
                },
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EINTR | Errno::ECONNABORTED) => {}
                    Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                        return self.turn_away(&port.listener);
                    }
                    _ => return,
                },
            }
        }
    }

    /// Who waits in the queue of a listener that can't accept would have the thread called for ever.
    fn turn_away(&mut self, listener: &TcpListener) {
        drop(self.spare.take());
        match listener.accept() {
            Ok((client, _)) => sockets::reset(client),
            Err(_) => thread::sleep(NO_DESCRIPTORS_PAUSE),
        }
        self.spare = File::open("/dev/null").ok();
    }

    /// A pair or a session that is no longer there.
    fn forget(&mut self, token: Token, port: Token) {
        self.open -= 1;
        if let Some(Item::Tcp(port)) = self.items.get_mut(&port) {
            port.pairs.remove(&token);
        }
    }

    pub fn lead(&mut self, token: Token, place: Option<SocketAddrV4>) {
        let ended: Vec<Token> = match self.items.get_mut(&token) {
            Some(Item::Tcp(port)) if port.place != place => {
                port.place = place;
                port.pairs.drain().collect()
            }
            Some(Item::Udp(port)) if port.place != place => {
                port.place = place;
                port.sessions.drain().map(|(_, session)| session).collect()
            }
            _ => return,
        };
        for one in ended {
            if let Some(item) = self.items.remove(&one) {
                self.open -= 1;
                match item {
                    Item::Pair(pair) => pair.reset(),
                    _ => self.sessions -= 1,
                }
            }
        }
    }
}
