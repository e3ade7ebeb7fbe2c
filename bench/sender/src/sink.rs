//! Counts datagrams, 64 to a system call, until stdin ends, and tells by their numbers how many came late and how many came
//! twice. Its seconds are those from the first datagram to the last.
//!
//! Told how long each datagram is, it takes them in trains, as the kernel has joined them (UDP_GRO).

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::{options, until};

const BATCH: usize = 64;
/// A frame of any MTU that the benchmarks use; what is longer is counted and cut.
const BYTES: usize = 2048;
/// Nothing more comes then, on a machine that has other things to do as well.
const QUIET: Duration = Duration::from_secs(1);
/// The longest that the kernel joins.
const TRAIN_BYTES: usize = 1 << 16;
/// Loss is to be the network's, not that of a sink which was not scheduled for a moment.
const RECEIVE_BUFFER_BYTES: libc::c_int = 64 << 20;

/// Beyond net.core.rmem_max. Refused without CAP_NET_ADMIN: then the default stays.
fn force_receive_buffer(socket: &UdpSocket) {
    let _ = options::set(
        socket,
        libc::SOL_SOCKET,
        libc::SO_RCVBUFFORCE,
        RECEIVE_BUFFER_BYTES,
    );
}

/// Which numbers have come.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    /// Numbers of other senders than ours would want endless memory.
    const LIMIT: u64 = 1 << 32;

    /// Whether the number has come before.
    fn note(&mut self, number: u64) -> bool {
        if number >= Self::LIMIT {
            return false;
        }
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        let known = self.0[word] & bit != 0;
        self.0[word] |= bit;
        known
    }
}

#[derive(Default)]
struct Account {
    received: u64,
    reordered: u64,
    doubled: u64,
    highest: u64,
    seen: Seen,
    span: Option<(Instant, Instant)>,
}

impl Account {
    /// Datagrams that came together, and the numbers of those that have one.
    fn add(&mut self, count: usize, numbers: impl Iterator<Item = u64>) {
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
        self.received += count as u64;
        for number in numbers {
            self.reordered += u64::from(number < self.highest);
            self.doubled += u64::from(self.seen.note(number));
            self.highest = self.highest.max(number);
        }
    }

    fn is_over(&self, quiet: Duration) -> bool {
        self.span.is_none_or(|(_, last)| last.elapsed() >= quiet)
    }

    fn answer(&self) -> String {
        let seconds = self.span.map_or(0.0, |(first, last)| {
            last.duration_since(first).as_secs_f64()
        });
        let (received, reordered, doubled) = (self.received, self.reordered, self.doubled);
        format!(
            "{{\"received\":{received},\"reordered\":{reordered},\"doubled\":{doubled},\"seconds\":{seconds:.6}}}"
        )
    }
}

fn number(datagram: &[u8]) -> Option<u64> {
    datagram.get(..8)?.try_into().ok().map(u64::from_be_bytes)
}

/// `bytes`: of each datagram, which come joined then; None: of any length, each by itself.
pub fn run(address: SocketAddr, bytes: Option<usize>) -> std::io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(until::RECEIVE_TIMEOUT))?;
    force_receive_buffer(&socket);
    if bytes.is_some() {
        options::set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    let mut batch = Batch::new(BATCH, BYTES);
    let mut train = vec![0u8; TRAIN_BYTES];
    let ended = until::stdin_ends();
    until::say_ready()?;

    let mut account = Account::default();
    // Errors are the timeout, or a signal. What is joined was sent to see whether all of it comes: so all is waited for.
    let quiet = bytes.map_or(Duration::ZERO, |_| QUIET);
    while !ended.load(Ordering::Relaxed) || !account.is_over(quiet) {
        if let Some(bytes) = bytes {
            if let Ok(n) = socket.recv(&mut train) {
                let datagrams = train[..n].chunks(bytes);
                account.add(datagrams.len(), datagrams.filter_map(number));
            }
        } else if let Ok(n) = batch.receive(&socket) {
            account.add(n, (0..n).filter_map(|i| batch.number(i)));
        }
    }
    Ok(account.answer())
}
