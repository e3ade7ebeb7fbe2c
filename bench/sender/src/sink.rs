//! Counts datagrams, 64 to a system call, until stdin ends. Its seconds are those from the first datagram to the last.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::batch::Batch;
use crate::until;

const BATCH: usize = 64;
/// A frame of any MTU that the benchmarks use; what is longer is counted and cut.
const BYTES: usize = 2048;
/// Loss is to be the network's, not that of a sink which was not scheduled for a moment.
const RECEIVE_BUFFER_BYTES: libc::c_int = 16 << 20;

/// Beyond net.core.rmem_max. Refused without CAP_NET_ADMIN: then the default stays.
fn force_receive_buffer(socket: &UdpSocket) {
    // SAFETY: the option's value is a c_int that outlives the call, and its length is given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            std::ptr::from_ref(&RECEIVE_BUFFER_BYTES).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

pub fn run(address: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(until::RECEIVE_TIMEOUT))?;
    force_receive_buffer(&socket);
    let mut batch = Batch::new(BATCH, BYTES);
    let ended = until::stdin_ends();
    until::say_ready()?;

    let (mut received, mut reordered, mut highest) = (0u64, 0u64, 0u64);
    let mut first: Option<Instant> = None;
    let mut last = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let Ok(n) = batch.receive(&socket) else {
            continue; // the timeout, or a signal
        };
        last = Instant::now();
        first.get_or_insert(last);
        received += n as u64;
        for number in (0..n).filter_map(|i| batch.number(i)) {
            reordered += u64::from(number < highest);
            highest = highest.max(number);
        }
    }
    let seconds = first.map_or(0.0, |first| last.duration_since(first).as_secs_f64());
    Ok(format!(
        "{{\"received\":{received},\"reordered\":{reordered},\"seconds\":{seconds:.6}}}"
    ))
}
