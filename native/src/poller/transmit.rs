// From transmit descriptors to the kernel.
//
// A TAP's descriptor is one write. Datagrams, and frames for packet sockets, are gathered while (port, socket) stays the same and go by one sendmmsg; writes
// to TAPs in between don't break a run, since the order matters only within one socket. A descriptor whose size field is
// smaller than its bytes leaves as a train of datagrams (UDP_SEGMENT).
//
// A refused descriptor is marked with the errno and counted, and the rest goes on: a switch drops what it can't deliver.
// After EAGAIN the rest of the run is refused too, for the socket's buffer is full for all of it.

use std::mem::{size_of, zeroed};
use std::os::fd::RawFd;

use nix::errno::Errno;

use super::address::Peer;
use super::layout::PollerLayout;
use super::ports::{Kind, Port, Ports, State};
use super::stats::Stats;
use crate::layout::{
    IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET, TX_DESCRIPTOR_LENGTH, TX_DESTINATION, TX_DESTINATION_PORT, TX_ERRNO,
    TX_IOVEC, TX_IOVECS, TX_PORT, TX_SEGMENT, TX_SOCKET,
};
use crate::memory::Memory;

const MESSAGES: usize = 64;
/// The kernel takes no more a message (UIO_MAXIOV).
const IOVECS_PER_MESSAGE: u32 = 1024;
const IOVECS: usize = 4096;

/// One UDP_SEGMENT control message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 24]);

pub struct Transmitter {
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    peers: Box<[Peer]>,
    controls: Box<[Control]>,
    /// The descriptor (its offset in memory) that each message came from.
    descriptors: Box<[u32]>,
    run: Run,
}

/// The datagrams gathered and not yet sent.
#[derive(Clone, Copy, Default)]
struct Run {
    fd: RawFd,
    messages: usize,
    iovecs: usize,
}

/// What a flush works on, and how much of it was refused.
struct Batch<'a> {
    memory: &'a Memory,
    layout: &'a PollerLayout,
    stats: &'a mut Stats,
    refused: u32,
}

impl Batch<'_> {
    fn done(&self, descriptor: u32) {
        self.memory.write(descriptor + TX_ERRNO as u32, 0_u16);
    }

    fn refuse(&mut self, descriptor: u32, errno: Errno) {
        self.memory.write(descriptor + TX_ERRNO as u32, errno as u16);
        self.stats.send_errors.add(errno);
        self.refused += 1;
    }

    fn field<T: crate::memory::Integer>(&self, descriptor: u32, field: i32) -> Result<T, Errno> {
        self.memory.read(descriptor + field as u32).ok_or(Errno::EFAULT)
    }
}

impl Transmitter {
    pub fn new() -> Self {
        // SAFETY: mmsghdr and iovec are integers and pointers; all zero bytes are valid.
        let (header, iovec) = unsafe { (zeroed::<libc::mmsghdr>(), zeroed::<libc::iovec>()) };
        Self {
            headers: vec![header; MESSAGES].into_boxed_slice(),
            iovecs: vec![iovec; IOVECS].into_boxed_slice(),
            peers: vec![Peer::empty(); MESSAGES].into_boxed_slice(),
            controls: vec![Control([0; 24]); MESSAGES].into_boxed_slice(),
            descriptors: vec![0; MESSAGES].into_boxed_slice(),
            run: Run::default(),
        }
    }

    /// Sends the first `count` descriptors; how many were refused.
    pub fn flush(
        &mut self,
        count: u32,
        ports: &Ports,
        memory: &Memory,
        layout: &PollerLayout,
        stats: &mut Stats,
    ) -> u32 {
        let batch = &mut Batch { memory, layout, stats, refused: 0 };
        for index in 0..count.min(layout.tx_ring_count) {
            let descriptor = layout.tx_ring + index * TX_DESCRIPTOR_LENGTH as u32;
            if let Err(errno) = self.take(descriptor, ports, batch) {
                batch.refuse(descriptor, errno);
            }
        }
        self.send_run(batch);
        batch.refused
    }

    #[inline]
    fn take(&mut self, descriptor: u32, ports: &Ports, batch: &mut Batch) -> Result<(), Errno> {
        let iovecs: u32 = batch.field(descriptor, TX_IOVECS)?;
        if iovecs == 0 {
            return Ok(());
        }
        let port = ports.get(batch.field(descriptor, TX_PORT)?).ok_or(Errno::ENXIO)?;
        if port.state == State::Muted {
            return Err(Errno::ENODEV);
        }
        let first: u32 = batch.field(descriptor, TX_IOVEC)?;
        if first.checked_add(iovecs).is_none_or(|end| end > batch.layout.iovec_count) {
            return Err(Errno::EINVAL);
        }
        if iovecs > IOVECS_PER_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        match port.kind {
            Kind::Tap => self.write(descriptor, port, first, iovecs, batch),
            Kind::Udp { ipv6 } => self.gather(descriptor, port, Some(ipv6), first, iovecs, batch),
            Kind::Packet => self.gather(descriptor, port, None, first, iovecs, batch),
        }
    }

    /// Translates `count` iovecs into ours from `at`; the bytes they hold together.
    #[inline]
    fn translate(&mut self, at: usize, first: u32, count: u32, batch: &Batch) -> Result<usize, Errno> {
        let mut bytes = 0;
        let source = batch.layout.iovecs + first * IOVEC_LENGTH as u32;
        for (index, target) in self.iovecs[at..at + count as usize].iter_mut().enumerate() {
            let entry = source + index as u32 * IOVEC_LENGTH as u32;
            let length: u32 = batch.field(entry, IOVEC_BYTES)?;
            let pointer = batch.memory.pointer(batch.field(entry, IOVEC_OFFSET)?, length).ok_or(Errno::EFAULT)?;
            *target = libc::iovec { iov_base: pointer.cast(), iov_len: length as usize };
            bytes += length as usize;
        }
        Ok(bytes)
    }

    #[inline]
    fn write(&mut self, descriptor: u32, port: &Port, first: u32, count: u32, batch: &mut Batch) -> Result<(), Errno> {
        // Behind the run's iovecs, which still wait for their sendmmsg.
        if self.run.iovecs + count as usize > IOVECS {
            self.send_run(batch);
        }
        let at = self.run.iovecs;
        let bytes = self.translate(at, first, count, batch)?;
        let fd = port.receiver();
        batch.stats.send_calls += 1;
        let written = match &self.iovecs[at..at + count as usize] {
            // SAFETY: the iovec was translated from checked offsets of the engine's memory.
            [only] => unsafe { libc::write(fd, only.iov_base, only.iov_len) },
            // SAFETY: as above, for each; the slice has `count` of them.
            several => unsafe { libc::writev(fd, several.as_ptr(), count as libc::c_int) },
        };
        match usize::try_from(written) {
            Ok(length) if length == bytes => {
                batch.done(descriptor);
                Ok(())
            }
            Ok(_) => Err(Errno::EIO),
            Err(_) => Err(Errno::last()),
        }
    }

    #[inline]
    fn gather(
        &mut self,
        descriptor: u32,
        port: &Port,
        ipv6: Option<bool>,
        first: u32,
        count: u32,
        batch: &mut Batch,
    ) -> Result<(), Errno> {
        let fd = if ipv6.is_some() { port.sender(batch.field(descriptor, TX_SOCKET)?) } else { port.receiver() };
        let is_full = self.run.messages == MESSAGES || self.run.iovecs + count as usize > IOVECS;
        if self.run.messages > 0 && (is_full || self.run.fd != fd) {
            self.send_run(batch);
        }
        let bytes = self.translate(self.run.iovecs, first, count, batch)?;
        let segment: u32 = batch.field(descriptor, TX_SEGMENT)?;
        let segment = u16::try_from(segment).map_err(|_| Errno::EMSGSIZE)?;

        let at = self.run.messages;
        self.descriptors[at] = descriptor;
        let header = &mut self.headers[at].msg_hdr;
        if let Some(ipv6) = ipv6 {
            let address = batch.memory.read(batch.field(descriptor, TX_DESTINATION)?).ok_or(Errno::EFAULT)?;
            let udp_port = batch.field(descriptor, TX_DESTINATION_PORT)?;
            (self.peers[at], header.msg_namelen) = Peer::to(address, udp_port, ipv6).ok_or(Errno::EAFNOSUPPORT)?;
            header.msg_name = (&raw mut self.peers[at]).cast();
        } else {
            // A packet socket is bound to its interface.
            header.msg_name = std::ptr::null_mut();
            header.msg_namelen = 0;
        }
        header.msg_iov = &raw mut self.iovecs[self.run.iovecs];
        header.msg_iovlen = count as usize;
        header.msg_flags = 0;
        if segment > 0 && usize::from(segment) < bytes {
            write_segment(header, &mut self.controls[at], segment);
        } else {
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
        }
        self.run = Run { fd, messages: at + 1, iovecs: self.run.iovecs + count as usize };
        Ok(())
    }

    fn send_run(&mut self, batch: &mut Batch) {
        let Run { fd, messages, .. } = std::mem::take(&mut self.run);
        let mut at = 0;
        while at < messages {
            batch.stats.send_calls += 1;
            let headers = self.headers[at..messages].as_mut_ptr();
            // SAFETY: the headers at..messages were set up by `gather`; names, iovecs and controls point into our boxed
            // arrays, the iovecs at checked bytes of the engine's memory. The kernel writes msg_len only.
            let sent = unsafe { libc::sendmmsg(fd, headers, (messages - at) as libc::c_uint, libc::MSG_DONTWAIT) };
            if let Ok(sent) = usize::try_from(sent) {
                self.descriptors[at..at + sent].iter().for_each(|descriptor| batch.done(*descriptor));
                at += sent;
                continue;
            }
            let errno = Errno::last();
            let refused = match errno {
                Errno::EINTR => 0,
                Errno::EAGAIN => messages - at,
                _ => 1,
            };
            self.descriptors[at..at + refused].iter().for_each(|descriptor| batch.refuse(*descriptor, errno));
            at += refused;
        }
    }
}

#[inline]
fn write_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = (&raw mut *control).cast();
    // SAFETY: a u16's control message takes CMSG_SPACE(2) = 24 bytes, the size of the aligned buffer it is written to.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as usize;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::IPPROTO_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as usize;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(segment);
    }
}
