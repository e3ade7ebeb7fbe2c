// Sockets of the relay, all non-blocking and close-on-exec. What std::net can't say is said by system calls: IPv6 alone, a
// connection begun and not awaited, a reset, and for datagrams the address that the sender had asked (RFC 3542, section 6).

use std::mem::{size_of, zeroed};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use crate::error::{SystemResult, check};
use crate::udp::{bind, set_option};

/// The longest datagram.
pub const DATAGRAM_BYTES: usize = 65535;
/// As many as Node has.
const BACKLOG: libc::c_int = 511;
const KEEP_ALIVE_S: libc::c_int = 30;
/// A pktinfo and its header, with room to spare.
const CONTROL_BYTES: usize = 64;

pub fn listen(local: SocketAddr, object: &str) -> SystemResult<TcpListener> {
    let fd = open(local, libc::SOCK_STREAM, object)?;
    // What is left of connections of before must not keep the port.
    set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1, "SO_REUSEADDR", object)?;
    bind(fd.as_raw_fd(), local, object)?;
    // SAFETY: no pointers; the descriptor is open.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) }, "listen", object)?;
    Ok(fd.into())
}

pub fn bind_datagrams(local: SocketAddr, object: &str) -> SystemResult<UdpSocket> {
    let fd = open(local, libc::SOCK_DGRAM, object)?;
    if local.is_ipv6() {
        set_option(fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO", object)?;
    }
    bind(fd.as_raw_fd(), local, object)?;
    Ok(fd.into())
}

/// A socket that speaks with `place` alone.
pub fn datagrams_to(place: SocketAddrV4) -> SystemResult<UdpSocket> {
    connected(place, libc::SOCK_DGRAM).map(UdpSocket::from)
}

/// A connection begun; it is there when it has a peer.
pub fn connecting_to(place: SocketAddrV4) -> SystemResult<TcpStream> {
    connected(place, libc::SOCK_STREAM).map(TcpStream::from)
}

fn open(address: SocketAddr, kind: libc::c_int, object: &str) -> SystemResult<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    check(raw, "socket", object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    if address.is_ipv6() {
        set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1, "IPV6_V6ONLY", object)?;
    }
    Ok(fd)
}

fn connected(place: SocketAddrV4, kind: libc::c_int) -> SystemResult<OwnedFd> {
    let fd = open(place.into(), kind, "")?;
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: place.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(place.ip().octets()) },
        sin_zero: [0; 8],
    };
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: `name` is a whole sockaddr_in and the length is its size.
    let result = unsafe { libc::connect(fd.as_raw_fd(), (&raw const name).cast(), length) };
    if result == -1 && Errno::last() == Errno::EINPROGRESS {
        return Ok(fd);
    }
    check(result, "connect", "").map(|_| fd)
}

/// No waiting for more to send, and an end for peers that vanish.
pub fn keep_lively(stream: &TcpStream) {
    // Without these it works as well, only later.
    let _ = stream.set_nodelay(true);
    let raw = stream.as_raw_fd();
    let _ = set_option(raw, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1, "SO_KEEPALIVE", "");
    let _ = set_option(raw, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, KEEP_ALIVE_S, "TCP_KEEPIDLE", "");
}

/// Ends it so that the other side knows that something went wrong.
pub fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel reads one linger from the pointer, as the length says.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), length)
    };
}

/// A client, and the address of ours that it asks: to both the answer must be true.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    address: [u8; 16],
    port: u16,
    scope: u32,
    asked: [u8; 16],
    interface: u32,
}

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// A datagram for an IPv6 socket; None: there is none now. Those sent to many, or to nobody knows whom, have no client.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, Option<Client>)>, Errno> {
    // SAFETY: integers and pointers; all zero bytes are valid.
    let (mut name, mut header) = unsafe { (zeroed::<libc::sockaddr_in6>(), zeroed::<libc::msghdr>()) };
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES;
    // SAFETY: all that the header points to outlives the call, with the lengths it gives.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let Ok(length) = usize::try_from(got) else {
        return match Errno::last() {
            Errno::EAGAIN => Ok(None),
            errno => Err(errno),
        };
    };
    let client = information(&header).filter(|info| !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_multicast());
    Ok(Some((
        length,
        client.map(|info| Client {
            address: name.sin6_addr.s6_addr,
            port: name.sin6_port,
            scope: name.sin6_scope_id,
            asked: info.ipi6_addr.s6_addr,
            interface: info.ipi6_ifindex,
        }),
    )))
}

fn information(header: &libc::msghdr) -> Option<libc::in6_pktinfo> {
    // SAFETY: the kernel has filled the control buffer, and the macros keep within the length that the header gives.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while !next.is_null() {
            if (*next).cmsg_level == libc::IPPROTO_IPV6 && (*next).cmsg_type == libc::IPV6_PKTINFO {
                return Some(libc::CMSG_DATA(next).cast::<libc::in6_pktinfo>().read_unaligned());
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    None
}

/// Sends from the address that the client asked; what can't be sent is lost, as datagrams are.
pub fn send(socket: &UdpSocket, bytes: &[u8], client: &Client) {
    // SAFETY: integers and pointers; all zero bytes are valid.
    let (mut name, mut header) = unsafe { (zeroed::<libc::sockaddr_in6>(), zeroed::<libc::msghdr>()) };
    name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    name.sin6_addr.s6_addr = client.address;
    name.sin6_port = client.port;
    name.sin6_scope_id = client.scope;
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    // An interface is part of link-local addresses only; others leave by the routes.
    let link_local = Ipv6Addr::from(client.asked).is_unicast_link_local();
    let information = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: client.asked },
        ipi6_ifindex: if link_local { client.interface } else { 0 },
    };
    let length = size_of::<libc::in6_pktinfo>() as libc::c_uint;
    // SAFETY: CONTROL_BYTES hold one pktinfo and its header; all that the header points to outlives the call. The kernel does
    // not write to the datagram.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(length) as usize;
        let first = libc::CMSG_FIRSTHDR(&header);
        (*first).cmsg_level = libc::IPPROTO_IPV6;
        (*first).cmsg_type = libc::IPV6_PKTINFO;
        (*first).cmsg_len = libc::CMSG_LEN(length) as usize;
        libc::CMSG_DATA(first).cast::<libc::in6_pktinfo>().write_unaligned(information);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    }
}
