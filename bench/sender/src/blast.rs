//! Offers datagrams at a rate, 32 to a system call. Each carries its number in the first eight bytes, so that the sink can
//! tell loss from reordering.
//!
//! Paced by the clock, not by counting sleeps: after an oversleep the next batches follow at once, so that the rate over
//! the run is the one asked for. Below 320,000 a second batches shrink to 100 us of traffic, so that a rate is not a train
//! of bursts.
//!
//! In trains, a system call hands the kernel many datagrams as one (UDP_SEGMENT), as QUIC servers do: a network that keeps them
//! together carries a bulk rate of them on a machine that has other things to do.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::options;

const BATCH_MAX: usize = 32;
const BATCH_PERIOD_S: f64 = 100e-6;
/// Linux cuts no send into more.
const TRAIN_MAX: usize = 64;
/// What fits a UDP send over IPv4 with some room.
const TRAIN_BYTES_MAX: usize = 65_000;
const TIMER_SLACK_NS: libc::c_ulong = 1_000;

/// A socket with the kernel's choice of address and port, connected to `peer`.
pub fn connected(peer: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if peer.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket)
}

/// `rate` datagrams a second, as trains of as many as one send can have.
pub fn trains(peer: SocketAddr, bytes: usize, seconds: f64, rate: f64) -> std::io::Result<String> {
    let socket = connected(peer)?;
    options::set(
        &socket,
        libc::SOL_UDP,
        libc::UDP_SEGMENT,
        bytes as libc::c_int,
    )?;
    let count = (TRAIN_BYTES_MAX / bytes).clamp(1, TRAIN_MAX);
    let mut train = vec![0u8; count * bytes];
    let (mut sent, mut refused) = (0u64, 0u64);
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed().as_secs_f64();
        if elapsed >= seconds {
            break;
        }
        let due = (sent + refused) as f64 / rate;
        if due > elapsed {
            std::thread::sleep(Duration::from_secs_f64(due - elapsed));
            continue;
        }
        for (i, datagram) in train.chunks_mut(bytes).enumerate() {
            datagram[..8].copy_from_slice(&(sent + i as u64).to_be_bytes());
        }
        match socket.send(&train) {
            Ok(_) => sent += count as u64,
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::ENOBUFS | libc::EAGAIN | libc::ECONNREFUSED) => refused += count as u64,
                _ => return Err(error),
            },
        }
    }
    Ok(answer(sent, refused, started))
}

fn answer(sent: u64, refused: u64, started: Instant) -> String {
    let elapsed = started.elapsed().as_secs_f64();
    format!("{{\"sent\":{sent},\"refused\":{refused},\"seconds\":{elapsed:.6}}}")
}

pub fn run(peer: SocketAddr, bytes: usize, seconds: f64, rate: f64) -> std::io::Result<String> {
    let socket = connected(peer)?;
    // SAFETY: no memory is handed over; the call sets how much later than asked a sleep of this thread may end.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK_NS) };

    let paced = rate > 0.0;
    let count = if paced {
        ((rate * BATCH_PERIOD_S) as usize).clamp(1, BATCH_MAX)
    } else {
        BATCH_MAX
    };
    let mut batch = Batch::new(count, bytes);
    let (mut sent, mut refused) = (0u64, 0u64);
    let started = Instant::now();
    loop {
        let elapsed = started.elapsed().as_secs_f64();
        if elapsed >= seconds {
            break;
        }
        let due = (sent + refused) as f64 / rate;
        if paced && due > elapsed {
            std::thread::sleep(Duration::from_secs_f64(due - elapsed));
            continue;
        }
        for i in 0..count {
            batch.set_number(i, sent + i as u64);
        }
        match batch.send(&socket, count) {
            Ok(n) => sent += n as u64,
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // A full queue, or an ICMP error caused by an earlier datagram: offered, not sent.
                Some(libc::ENOBUFS | libc::EAGAIN | libc::ECONNREFUSED) => refused += count as u64,
                _ => return Err(error),
            },
        }
    }
    Ok(answer(sent, refused, started))
}
