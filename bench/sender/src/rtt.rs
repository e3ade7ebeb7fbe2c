//! Request and response: one datagram there, the same one back, then the next. Both ends sleep in the kernel while they
//! wait, as applications do, so the figure holds the wake-ups of the path and of both applications.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::{blast, until};

/// The first exchanges resolve addresses, fill tables and wake what sleeps.
const WARM_UP: Duration = Duration::from_millis(300);
const LOST_AFTER: Duration = Duration::from_millis(200);

pub fn echo(address: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(until::RECEIVE_TIMEOUT))?;
    let ended = until::stdin_ends();
    until::say_ready()?;
    let mut buffer = [0u8; 65_536];
    let mut echoed = 0u64;
    while !ended.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..n], from)?;
            echoed += 1;
        }
    }
    Ok(format!("{{\"echoed\":{echoed}}}"))
}

/// The smallest sample that `fraction` of the samples do not exceed; `sorted` is not empty.
fn percentile(sorted: &[Duration], fraction: f64) -> f64 {
    let index = ((sorted.len() as f64 * fraction).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index].as_secs_f64() * 1e6
}

pub fn measure(peer: SocketAddr, bytes: usize, seconds: f64) -> std::io::Result<String> {
    let socket = blast::connected(peer)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    let mut request = vec![0u8; bytes];
    let mut response = vec![0u8; bytes];
    let mut samples: Vec<Duration> = Vec::with_capacity(1 << 20);
    let (mut number, mut lost) = (0u64, 0u64);
    let started = Instant::now();
    let end = WARM_UP + Duration::from_secs_f64(seconds);
    while started.elapsed() < end {
        number += 1;
        request[..8].copy_from_slice(&number.to_be_bytes());
        let sent = Instant::now();
        socket.send(&request)?;
        // A late answer to an earlier request is not this one's.
        let answered = loop {
            match socket.recv(&mut response) {
                Ok(n) if n >= 8 && response[..8] == request[..8] => break true,
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break false;
                }
                Err(error) => return Err(error),
            }
        };
        let took = sent.elapsed();
        if started.elapsed() < WARM_UP {
            continue;
        }
        if answered {
            samples.push(took);
        } else {
            lost += 1;
        }
    }
    samples.sort_unstable();
    if samples.is_empty() {
        return Err(std::io::Error::new(
            ErrorKind::TimedOut,
            "no request was answered",
        ));
    }
    Ok(format!(
        "{{\"requests\":{},\"lost\":{lost},\"p50Us\":{:.2},\"p90Us\":{:.2},\"p99Us\":{:.2},\"p999Us\":{:.2}}}",
        samples.len(),
        percentile(&samples, 0.5),
        percentile(&samples, 0.9),
        percentile(&samples, 0.99),
        percentile(&samples, 0.999),
    ))
}
