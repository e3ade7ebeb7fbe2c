// Ports of the host that the daemon holds, so that no other program takes them; and the way from some of them to sandboxes that no
// rule can lead to: an IPv6 client and a sandbox that has IPv4 only. What comes by such a port is spoken to the sandbox by IPv4,
// as Docker's userland proxy does: who calls is unknown to the sandbox, which sees the gateway.
//
//   client ── [::]:8080, held ── relay ── 172.17.0.2:80     stream    a pair of connections, each end ended by the other's
//                                                           datagram  a socket a client, until nothing was heard for a while
//
// One thread with an epoll serves all, so that no client's traffic delays the daemon's own work. Calls from JavaScript change
// the same state under a lock that the thread gives up after each event; when they return, what they did is done: a port
// released is free.
//
// A port leads to one place or to none; what it carried to another place ends with the change. All share one number of things
// that may be open at the same time: clients must not take the descriptors that the daemon lives by.

mod datagram;
mod sockets;
mod state;
mod stream;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use napi::Env;
use napi_derive::napi;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::{SystemError, SystemResult};
use crate::service::{Begin, Service};
use sockets::{bind_datagrams, listen};
use state::{Item, State, TcpPort, UdpPort};

type Token = u64;

const STACK_BYTES: usize = 256 * 1024;
const EVENTS: usize = 64;

struct Relay {
    epoll: Epoll,
    state: Mutex<State>,
    /// Callers that wait for the lock; the thread lets them go first.
    waiting: AtomicUsize,
}

static RELAY: Service<Relay> = Service::new();

/// Binds "tcp" or "udp" at an address of the daemon's namespace, IPv6 without IPv4; who calls is turned away until the port
/// leads somewhere. Answers the port's name for the other calls.
#[napi(catch_unwind)]
pub fn hold_port(env: &Env, protocol: String, address: String, port: u32) -> napi::Result<f64> {
    hold(&protocol, &address, port).map(|token| token as f64).map_err(|error| error.into_js(env))
}

/// Where to, an IPv4 address and a port; null: nowhere.
#[napi(catch_unwind)]
pub fn lead_port(env: &Env, held: f64, address: Option<String>, port: u32) -> napi::Result<()> {
    let parsed = address.map(|text| match (text.parse(), u16::try_from(port)) {
        (Ok(address), Ok(port)) => Ok(SocketAddrV4::new(address, port)),
        _ => Err(SystemError::new("connect", format!("{text} port {port}"), Errno::EINVAL)),
    });
    let place = parsed.transpose().map_err(|error| error.into_js(env))?;
    if let Some(relay) = RELAY.running() {
        relay.borrow().lead(held as Token, place);
    }
    Ok(())
}

/// Lets the port go and ends what it carries.
#[napi(catch_unwind)]
pub fn release_port(held: f64) {
    if let Some(relay) = RELAY.running() {
        let mut state = relay.borrow();
        state.lead(held as Token, None);
        state.items.remove(&(held as Token));
    }
}

/// How many connections and UDP clients there may be at the same time, and how long a silent UDP client is remembered.
#[napi(catch_unwind)]
pub fn limit_relays(env: &Env, most: u32, udp_idle_ms: u32) -> napi::Result<()> {
    let relay = running().map_err(|error| error.into_js(env))?;
    let mut state = relay.borrow();
    state.most = most as usize;
    state.idle = Duration::from_millis(udp_idle_ms.into());
    Ok(())
}

/// Connections and UDP clients that are relayed now.
#[napi(catch_unwind)]
pub fn relayed() -> u32 {
    RELAY.running().map_or(0, |relay| relay.borrow().open as u32)
}

fn hold(protocol: &str, address: &str, port: u32) -> SystemResult<Token> {
    let object = format!("{address} port {port}");
    let refuse = || SystemError::new("bind", &object, Errno::EINVAL);
    let ip: IpAddr = address.parse().map_err(|_| refuse())?;
    let local = SocketAddr::new(ip, u16::try_from(port).map_err(|_| refuse())?);
    let relay = running()?;
    let item = match protocol {
        "tcp" => Item::Tcp(TcpPort { listener: listen(local, &object)?, place: None, pairs: HashSet::new() }),
        "udp" => Item::Udp(UdpPort::new(bind_datagrams(local, &object)?)),
        _ => return Err(refuse()),
    };
    let mut state = relay.borrow();
    let token = state.number();
    let registered = match &item {
        Item::Tcp(port) => relay.watch(&port.listener, token, EpollFlags::EPOLLIN),
        Item::Udp(port) => relay.watch(&*port.socket, token, EpollFlags::EPOLLIN),
        Item::Pair(_) | Item::Session(_) => Ok(()),
    };
    registered.map_err(|errno| SystemError::new("epoll_ctl", &object, errno))?;
    state.items.insert(token, item);
    Ok(token)
}

fn running() -> SystemResult<&'static Relay> {
    RELAY.start(Begin {
        name: "weft-relay",
        stack_bytes: STACK_BYTES,
        share: |epoll| Relay { epoll, state: Mutex::new(State::new()), waiting: AtomicUsize::new(0) },
        serve,
    })
}

fn serve(relay: &'static Relay) {
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut timeout = EpollTimeout::NONE;
    loop {
        let count = match relay.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(_) => return,
        };
        for event in &events[..count] {
            relay.own().turn(relay, event.data(), event.events());
        }
        let unfinished = std::mem::take(&mut relay.own().again);
        for token in unfinished {
            relay.own().turn(relay, token, EpollFlags::empty());
        }
        timeout = relay.own().sweep();
    }
}

impl Relay {
    /// The state, for a call from JavaScript.
    fn borrow(&self) -> MutexGuard<'_, State> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let state = self.lock();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        state
    }

    /// The state, for the thread.
    fn own(&self) -> MutexGuard<'_, State> {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn watch(&self, fd: impl AsFd, token: Token, flags: EpollFlags) -> Result<(), Errno> {
        self.epoll.add(fd, EpollEvent::new(flags, token))
    }
}
