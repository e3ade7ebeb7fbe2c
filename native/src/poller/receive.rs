// From a descriptor into the arena.
//
// The arena is a bump allocator, empty at the start of every poll. A frame from a TAP takes what it is long; a datagram's
// slot is taken whole, because recvmmsg wants all slots before it knows the lengths:
//
//        ┌ cursor                     offset of descriptor
//        ├──── headroom ─────────────┼── frame ──────── ─ ─┤ next cursor, aligned to 64
//              sender, local address
//
// Nothing is allocated: headers, iovecs, addresses and control buffers are made once. They point at each other, hence boxed
// and never moved; the kernel overwrites the lengths, which are set again for those that were used.

use std::mem::zeroed;
use std::os::fd::RawFd;

use nix::errno::Errno;

use super::address::{Peer, mapped};
use super::layout::{FRAME_ALIGN, PollerLayout, TAP_SLOT_BYTES, UDP_SLOT_BYTES};
use super::stats::Stats;
use crate::layout::{
    RX_DESCRIPTOR_LENGTH, RX_FLAG_TRUNCATED, RX_FLAG_VLAN, RX_FLAG_VLAN_SERVICE, RX_FLAGS, RX_LENGTH, RX_LOCAL_ADDRESS,
    RX_OFFSET, RX_PORT, RX_SEGMENT, RX_SENDER_ADDRESS, RX_SENDER_PORT, RX_VLAN_TCI,
};
use crate::memory::Memory;
use crate::packet::is_orphan;

/// Datagrams one recvmmsg asks for at most.
const MESSAGES: usize = 64;
/// UDP_GRO's int and either family's pktinfo, each with its header: 24 + 40 bytes.
const CONTROL_BYTES: usize = 96;
/// linux/if_ether.h
const ETH_P_8021AD: u16 = 0x88a8;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// The batch being filled.
pub struct Receiver {
    cursor: u32,
    bytes: u32,
    count: u32,
    headers: Box<[libc::mmsghdr]>,
    iovecs: Box<[libc::iovec]>,
    peers: Box<[Peer]>,
    controls: Box<[Control]>,
}

/// How a port's turn ended.
pub enum Turn {
    /// Nothing more there for now, or its share is used up.
    Done,
    /// The batch is full; the port may have more.
    Full,
    Failed(Errno),
}

impl Receiver {
    pub fn new() -> Self {
        // SAFETY: mmsghdr and iovec are integers and pointers; all zero bytes are valid.
        let (header, iovec) = unsafe { (zeroed::<libc::mmsghdr>(), zeroed::<libc::iovec>()) };
        Self {
            cursor: 0,
            bytes: 0,
            count: 0,
            headers: vec![header; MESSAGES].into_boxed_slice(),
            iovecs: vec![iovec; MESSAGES].into_boxed_slice(),
            peers: vec![Peer::empty(); MESSAGES].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_BYTES]); MESSAGES].into_boxed_slice(),
        }
    }

    pub fn begin(&mut self, layout: &PollerLayout) {
        self.cursor = layout.arena.next_multiple_of(FRAME_ALIGN);
        self.bytes = 0;
        self.count = 0;
    }

    /// Descriptors filled since `begin`.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Slots of `slot_bytes` that still fit, by ring, arena and byte bound.
    #[inline]
    fn room(&self, layout: &PollerLayout, slot_bytes: u32) -> u32 {
        if self.bytes >= layout.batch_bytes {
            return 0;
        }
        let in_arena = layout.arena_end().saturating_sub(self.cursor) / slot_stride(layout, slot_bytes);
        in_arena.min(layout.rx_ring_count - self.count)
    }

    /// Reads frames until the TAP is empty, has had its share, or the batch is full.
    pub fn tap(&mut self, port: u16, fd: RawFd, memory: &Memory, layout: &PollerLayout, stats: &mut Stats) -> Turn {
        for _ in 0..layout.per_tap {
            if self.room(layout, TAP_SLOT_BYTES) == 0 {
                return Turn::Full;
            }
            let offset = self.cursor + layout.headroom_bytes;
            let Some(pointer) = memory.pointer(offset, TAP_SLOT_BYTES) else { return Turn::Full };
            stats.receive_calls += 1;
            // SAFETY: `pointer` is good for TAP_SLOT_BYTES bytes of the engine's memory.
            let got = unsafe { libc::read(fd, pointer.cast(), TAP_SLOT_BYTES as usize) };
            let length = match u32::try_from(got) {
                Ok(0) => return Turn::Done,
                Ok(length) => length,
                Err(_) => return ended(Errno::last(), stats),
            };
            let flags = if length >= TAP_SLOT_BYTES { RX_FLAG_TRUNCATED as u16 } else { 0 };
            self.describe(memory, layout, offset, length, port, 0, flags);
            self.cursor = (offset + length).next_multiple_of(FRAME_ALIGN);
        }
        Turn::Done
    }

    /// One recvmmsg.
    pub fn udp(&mut self, port: u16, fd: RawFd, memory: &Memory, layout: &PollerLayout, stats: &mut Stats) -> Turn {
        let most = layout.per_underlay;
        let (first, received) = match self.messages(fd, UDP_SLOT_BYTES, most, memory, layout, stats) {
            Ok(received) => received,
            Err(turn) => return turn,
        };
        let stride = slot_stride(layout, UDP_SLOT_BYTES);
        for index in 0..received {
            self.datagram(index as usize, first + index * stride, port, memory, layout);
        }
        Turn::Done
    }

    /// One recvmmsg of frames, each behind a virtio-net header as a TAP's.
    pub fn packet(&mut self, port: u16, fd: RawFd, memory: &Memory, layout: &PollerLayout, stats: &mut Stats) -> Turn {
        let most = layout.per_tap;
        let (first, received) = match self.messages(fd, TAP_SLOT_BYTES, most, memory, layout, stats) {
            Ok(received) => received,
            // A socket whose interface was deleted says what one says whose interface is down, and only once.
            Err(Turn::Failed(Errno::ENETDOWN)) if is_orphan(fd) => return Turn::Failed(Errno::ENODEV),
            Err(turn) => return turn,
        };
        let stride = slot_stride(layout, TAP_SLOT_BYTES);
        for index in 0..received {
            let header = &self.headers[index as usize];
            let length = header.msg_len.min(TAP_SLOT_BYTES);
            let (mut flags, tci) = read_tag(&header.msg_hdr);
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                flags |= RX_FLAG_TRUNCATED as u16;
            }
            let descriptor = layout.rx_ring + self.count * RX_DESCRIPTOR_LENGTH as u32;
            self.describe(memory, layout, first + index * stride, length, port, 0, flags);
            memory.write(descriptor + RX_VLAN_TCI as u32, tci);
        }
        Turn::Done
    }

    /// One recvmmsg of up to `most` messages into slots of their own: where the first slot's bytes are, and how many came.
    fn messages(
        &mut self,
        fd: RawFd,
        slot_bytes: u32,
        most: u32,
        memory: &Memory,
        layout: &PollerLayout,
        stats: &mut Stats,
    ) -> Result<(u32, u32), Turn> {
        let stride = slot_stride(layout, slot_bytes);
        let slots = self.room(layout, slot_bytes).min(most).min(MESSAGES as u32);
        if slots == 0 {
            return Err(Turn::Full);
        }
        let first = self.cursor + layout.headroom_bytes;
        for index in 0..slots {
            let Some(pointer) = memory.pointer(first + index * stride, slot_bytes) else { return Err(Turn::Full) };
            let at = index as usize;
            self.iovecs[at] = libc::iovec { iov_base: pointer.cast(), iov_len: slot_bytes as usize };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = (&raw mut self.peers[at]).cast();
            header.msg_namelen = Peer::LENGTH;
            header.msg_iov = &raw mut self.iovecs[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[at]).cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
        }
        stats.receive_calls += 1;
        let headers = self.headers.as_mut_ptr();
        // SAFETY: the first `slots` headers were set up above: names, iovecs and controls point into our boxed arrays, which
        // nothing touches during the call, and the iovecs at checked bytes of the engine's memory.
        let got = unsafe { libc::recvmmsg(fd, headers, slots, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        let Ok(received) = u32::try_from(got) else { return Err(ended(Errno::last(), stats)) };
        self.cursor += received * stride;
        Ok((first, received))
    }

    #[inline]
    fn datagram(&mut self, at: usize, offset: u32, port: u16, memory: &Memory, layout: &PollerLayout) {
        let length = self.headers[at].msg_len.min(UDP_SLOT_BYTES);
        let header = &self.headers[at].msg_hdr;
        let (segment, local) = read_control(header);
        let flags = if header.msg_flags & libc::MSG_TRUNC != 0 { RX_FLAG_TRUNCATED as u16 } else { 0 };
        let (address, sender_port) = self.peers[at].from();
        memory.write(offset.wrapping_add_signed(RX_SENDER_ADDRESS), address);
        memory.write(offset.wrapping_add_signed(RX_SENDER_PORT), sender_port);
        memory.write(offset.wrapping_add_signed(RX_LOCAL_ADDRESS), local);
        // One datagram alone has no segment size, or one that is not smaller than itself.
        let segment = if u32::from(segment) < length { segment } else { 0 };
        self.describe(memory, layout, offset, length, port, segment, flags);
    }

    #[inline]
    #[allow(clippy::too_many_arguments)] // the fields of the descriptor
    fn describe(
        &mut self,
        memory: &Memory,
        layout: &PollerLayout,
        offset: u32,
        length: u32,
        port: u16,
        segment: u16,
        flags: u16,
    ) {
        let descriptor = layout.rx_ring + self.count * RX_DESCRIPTOR_LENGTH as u32;
        memory.write(descriptor + RX_OFFSET as u32, offset);
        memory.write(descriptor + RX_LENGTH as u32, length);
        memory.write(descriptor + RX_PORT as u32, port);
        memory.write(descriptor + RX_SEGMENT as u32, segment);
        memory.write(descriptor + RX_FLAGS as u32, u32::from(flags));
        self.count += 1;
        self.bytes += length;
    }
}

#[inline]
fn slot_stride(layout: &PollerLayout, slot_bytes: u32) -> u32 {
    (layout.headroom_bytes + slot_bytes).next_multiple_of(FRAME_ALIGN)
}

fn ended(errno: Errno, stats: &mut Stats) -> Turn {
    if matches!(errno, Errno::EAGAIN | Errno::EINTR) {
        return Turn::Done;
    }
    stats.receive_errors.add(errno);
    Turn::Failed(errno)
}

/// UDP_GRO's segment size (0 if the message has none) and the address the datagram was sent to (zeros if not asked for).
#[inline]
fn read_control(header: &libc::msghdr) -> (u16, [u8; 16]) {
    let mut segment = 0;
    let mut local = [0; 16];
    // SAFETY: the kernel filled `msg_controllen` bytes of the control buffer with whole, aligned messages; the CMSG macros
    // stay within them, and each payload is at least as long as the type that its level and type stand for.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_UDP, libc::UDP_GRO) => segment = data.cast::<libc::c_int>().read_unaligned() as u16,
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    local = mapped(data.cast::<libc::in_pktinfo>().read_unaligned().ipi_addr);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    local = data.cast::<libc::in6_pktinfo>().read_unaligned().ipi6_addr.s6_addr;
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (segment, local)
}

/// The tag that the kernel took out of a frame: RX_FLAG_VLAN* and its TCI, or zeros.
#[inline]
fn read_tag(header: &libc::msghdr) -> (u16, u16) {
    // SAFETY: as in `read_control`; PACKET_AUXDATA's payload is a tpacket_auxdata.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
                let auxiliary = libc::CMSG_DATA(message).cast::<libc::tpacket_auxdata>().read_unaligned();
                if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
                    return (0, 0);
                }
                let service = if auxiliary.tp_vlan_tpid == ETH_P_8021AD { RX_FLAG_VLAN_SERVICE } else { 0 };
                return ((RX_FLAG_VLAN | service) as u16, auxiliary.tp_vlan_tci);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (0, 0)
}
