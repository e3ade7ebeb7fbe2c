// Peers' addresses: 16 bytes in the engine's memory, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2); sockaddr_in or sockaddr_in6
// for the kernel. One union holds either, so that the arrays of a batch are made once for both families.
//
// A scope id is not carried: link-local underlay addresses can't be used.

use std::mem::size_of;

const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

#[repr(C)]
#[derive(Clone, Copy)]
pub union Peer {
    any: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Peer {
    pub const LENGTH: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    pub fn empty() -> Self {
        // SAFETY: sockaddr_in6 is integers only, and the largest member.
        unsafe { std::mem::zeroed() }
    }

    /// The peer of a datagram to send, and its length; None if the socket's family can't reach the address.
    #[inline]
    pub fn to(address: [u8; 16], port: u16, ipv6: bool) -> Option<(Self, libc::socklen_t)> {
        let mut peer = Self::empty();
        let mapped = address[..12] == MAPPED_PREFIX;
        if ipv6 == mapped {
            return None;
        }
        if ipv6 {
            peer.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: port.to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address },
                sin6_scope_id: 0,
            };
            return Some((peer, size_of::<libc::sockaddr_in6>() as libc::socklen_t));
        }
        let [.., a, b, c, d] = address;
        peer.v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([a, b, c, d]) },
            sin_zero: [0; 8],
        };
        Some((peer, size_of::<libc::sockaddr_in>() as libc::socklen_t))
    }

    /// Address and port of a sender the kernel wrote here; zeros for another family.
    #[inline]
    pub fn from(&self) -> ([u8; 16], u16) {
        // SAFETY: every member starts with the family, and all bytes of the union are always set.
        match i32::from(unsafe { self.any }) {
            libc::AF_INET => {
                // SAFETY: integers, valid for any bytes.
                let v4 = unsafe { self.v4 };
                (mapped(v4.sin_addr), u16::from_be(v4.sin_port))
            }
            libc::AF_INET6 => {
                // SAFETY: integers, valid for any bytes.
                let v6 = unsafe { self.v6 };
                (v6.sin6_addr.s6_addr, u16::from_be(v6.sin6_port))
            }
            _ => ([0; 16], 0),
        }
    }
}

#[inline]
pub fn mapped(address: libc::in_addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..12].copy_from_slice(&MAPPED_PREFIX);
    bytes[12..].copy_from_slice(&address.s_addr.to_ne_bytes());
    bytes
}
