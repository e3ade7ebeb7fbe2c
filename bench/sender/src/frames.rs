//! Ethernet frames of 64 bytes with many source and destination addresses, sent by a packet socket: what a switch's table of
//! addresses is filled with and measured by. Side 0 and side 1 have addresses of their own, 02:00:<side>:<24-bit number>.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::batch::Batch;

const FRAME_BYTES: usize = 64;
const BATCH: usize = 32;
/// Local experimental EtherType: nobody above Ethernet answers or looks inside.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// A packet socket that sends by one interface and receives nothing.
fn open(interface: &str) -> Result<OwnedFd> {
    let name = CString::new(interface)?;
    // SAFETY: `name` is a terminated string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: no pointers are involved; protocol 0 receives nothing.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_ll is plain data for which all zeros is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` is a sockaddr_ll of `length` bytes that outlives the call.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            length,
        )
    };
    if bound < 0 {
        return Err(Error::last_os_error());
    }
    Ok(socket)
}

fn mac(side: u8, number: u32) -> [u8; 6] {
    let [_, a, b, c] = number.to_be_bytes();
    [0x02, 0x00, side, a, b, c]
}

fn write(frame: &mut [u8], destination: [u8; 6], source: [u8; 6]) {
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&ETHERTYPE);
}

/// What the queue had no room for counts as offered, not as sent.
fn send(batch: &mut Batch, socket: &OwnedFd, count: usize) -> Result<usize> {
    match batch.send(socket, count) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN)) => Ok(0),
        other => other,
    }
}

/// Each address of the side once, as a source, at `rate` frames a second.
pub fn learn(interface: &str, macs: u32, side: u8, rate: f64) -> Result<String> {
    let socket = open(interface)?;
    let mut batch = Batch::new(BATCH, FRAME_BYTES);
    let started = Instant::now();
    let mut next = 0u32;
    while next < macs {
        let due = f64::from(next) / rate - started.elapsed().as_secs_f64();
        if due > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(due));
        }
        let count = BATCH.min((macs - next) as usize);
        for i in 0..count {
            write(
                batch.payload(i),
                mac(side ^ 1, 0),
                mac(side, next + i as u32),
            );
        }
        // Those that were refused are tried again: every address has to be heard once.
        next += send(&mut batch, &socket, count)? as u32;
    }
    Ok(format!("{{\"sent\":{next}}}"))
}

/// A small generator (xorshift32) with a fixed seed: every run asks for the same addresses.
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// From any address of the side to any of the other, as many as go.
pub fn blast(interface: &str, macs: u32, side: u8, seconds: f64) -> Result<String> {
    let socket = open(interface)?;
    let mut batch = Batch::new(BATCH, FRAME_BYTES);
    let mut random = Random(0x9e37_79b9);
    let started = Instant::now();
    let mut sent = 0u64;
    while started.elapsed().as_secs_f64() < seconds {
        for i in 0..BATCH {
            let (to, from) = (random.below(macs), random.below(macs));
            write(batch.payload(i), mac(side ^ 1, to), mac(side, from));
        }
        sent += send(&mut batch, &socket, BATCH)? as u64;
    }
    let elapsed = started.elapsed().as_secs_f64();
    Ok(format!("{{\"sent\":{sent},\"seconds\":{elapsed:.6}}}"))
}
