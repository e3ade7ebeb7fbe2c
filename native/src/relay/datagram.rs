// UDP clients of a held port: each has a socket of its own to the sandbox, by whose port the sandbox knows it, and which takes
// datagrams from there alone. Answers leave by the address that the client asked: on a host with several another would be taken
// for a stranger's.
//
// A client that is silent for a while is forgotten; where there is no room, who was silent longest of the same port.

use std::collections::HashMap;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollFlags, EpollTimeout};

use super::sockets::{Client, datagrams_to, receive, send};
use super::state::{Item, Session, State, UdpPort};
use super::{Relay, Token};

/// Datagrams of a turn.
const SHARE: usize = 64;

impl UdpPort {
    pub fn new(socket: UdpSocket) -> Self {
        Self { socket: Arc::new(socket), place: None, sessions: HashMap::new() }
    }
}

impl Session {
    /// What the sandbox says goes to the client.
    pub fn answer(&mut self, buffer: &mut [u8]) {
        for _ in 0..SHARE {
            match self.socket.recv(buffer) {
                Ok(length) => send(&self.back, &buffer[..length], &self.client),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {} // nobody listens there: the next datagram may find somebody
            }
        }
        self.heard = Instant::now();
    }
}

impl State {
    /// What clients say goes to the sandbox.
    pub fn receive(&mut self, relay: &Relay, token: Token, port: &mut UdpPort) {
        for _ in 0..SHARE {
            let (length, client) = match receive(&port.socket, &mut self.buffer) {
                Ok(Some(received)) => received,
                Ok(None) => return,
                Err(_) => continue,
            };
            let (Some(place), Some(client)) = (port.place, client) else { continue };
            let known = port.sessions.get(&client).copied();
            let Some(session) = known.or_else(|| self.begin(relay, token, port, client, place)) else { continue };
            if let Some(Item::Session(session)) = self.items.get_mut(&session) {
                session.heard = Instant::now();
                let bytes = &self.buffer[..length];
                // What is heard first may be that nobody took the one before.
                if session.socket.send(bytes).is_err() {
                    let _ = session.socket.send(bytes);
                }
            }
        }
    }

    fn begin(
        &mut self,
        relay: &Relay,
        token: Token,
        port: &mut UdpPort,
        client: Client,
        place: SocketAddrV4,
    ) -> Option<Token> {
        if self.open >= self.most {
            let heard = |session: &Token| match self.items.get(session) {
                Some(Item::Session(session)) => Some(session.heard),
                _ => None,
            };
            let (silent, session) = port.sessions.iter().min_by_key(|(_, session)| heard(session))?;
            let (silent, session) = (*silent, *session);
            port.sessions.remove(&silent);
            self.items.remove(&session);
            self.open -= 1;
            self.sessions -= 1;
        }
        let socket = datagrams_to(place).ok()?;
        let number = self.number();
        relay.watch(&socket, number, EpollFlags::EPOLLIN).ok()?;
        let session = Session { port: token, client, back: Arc::clone(&port.socket), socket, heard: Instant::now() };
        self.items.insert(number, Item::Session(session));
        self.open += 1;
        self.sessions += 1;
        port.sessions.insert(client, number);
        Some(number)
    }

    /// Room for a connection: datagrams cost whoever sends them, under whatever address, less than a connection does.
    pub fn forget_silentest(&mut self) -> bool {
        let sessions = self.items.iter().filter_map(|(token, item)| match item {
            Item::Session(session) => Some((session.heard, *token, session.port, session.client)),
            _ => None,
        });
        let Some((_, token, port, client)) = sessions.min_by_key(|(heard, ..)| *heard) else { return false };
        self.end(token, port, &client);
        true
    }

    fn end(&mut self, token: Token, port: Token, client: &Client) {
        self.items.remove(&token);
        self.open -= 1;
        self.sessions -= 1;
        if let Some(Item::Udp(port)) = self.items.get_mut(&port) {
            port.sessions.remove(client);
        }
    }

    /// Forgets who has been silent; answers how long the thread may sleep.
    pub fn sweep(&mut self) -> EpollTimeout {
        if !self.again.is_empty() {
            return EpollTimeout::ZERO;
        }
        let pause = (self.idle / 4).clamp(Duration::from_millis(5), Duration::from_secs(5));
        let now = Instant::now();
        if now.duration_since(self.swept) >= pause {
            self.swept = now;
            self.forget_silent(now);
        }
        if self.sessions == 0 {
            return EpollTimeout::NONE;
        }
        EpollTimeout::try_from(pause).unwrap_or(EpollTimeout::from(1000u16))
    }

    fn forget_silent(&mut self, now: Instant) {
        let idle = self.idle;
        let silent = |item: &Item| match item {
            Item::Session(session) if now.duration_since(session.heard) >= idle => Some((session.port, session.client)),
            _ => None,
        };
        let ended: Vec<_> = self.items.iter().filter_map(|(token, item)| Some((*token, silent(item)?))).collect();
        for (token, (port, client)) in ended {
            self.end(token, port, &client);
        }
    }
}
