// A blocking rtnetlink socket, in the namespace of the thread that opened it. Requests are acknowledged one by one: setting
// up an interface takes some ten of them at a few microseconds each.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::wire::{Message, Request, messages, u32_at};
use crate::error::{SystemError, SystemResult, check};
use crate::udp::set_option;

/// The kernel fills at most 32 KiB a datagram of a dump.
const RECEIVE_BYTES: usize = 64 * 1024;
/// A dump during which the tables changed is taken again; a host whose tables never rest gets the last one.
const DUMP_ATTEMPTS: usize = 4;
/// linux/netlink.h
const NETLINK_GET_STRICT_CHK: libc::c_int = 12;

pub struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One object of a dump.
pub struct Entry {
    pub kind: u16,
    pub body: Vec<u8>,
}

impl Netlink {
    pub fn open() -> SystemResult<Self> {
        Self::open_for(libc::NETLINK_ROUTE, "NETLINK_ROUTE")
    }

    pub fn open_netfilter() -> SystemResult<Self> {
        Self::open_for(libc::NETLINK_NETFILTER, "NETLINK_NETFILTER")
    }

    fn open_for(protocol: libc::c_int, name: &str) -> SystemResult<Self> {
        // SAFETY: no pointers.
        let raw = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
        check(raw, "socket", name)?;
        // SAFETY: `raw` was opened above and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) }, sequence: 0, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Has the kernel heed what a request for all objects says of them; one before Linux 4.20 answers with all.
    pub fn filter_dumps(&self) {
        let on: libc::c_int = 1;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        let value = (&raw const on).cast();
        // SAFETY: the kernel reads one int.
        unsafe { libc::setsockopt(self.fd.as_raw_fd(), libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, value, length) };
    }

    /// Hears what the kernel tells all who joined `group`. Bound first: a socket without an address of its own is passed over.
    pub fn join(&self, group: libc::c_int, object: &str) -> SystemResult<()> {
        let address = any();
        // SAFETY: the pointer and the length are those of `address`, which outlives the call.
        let bound = unsafe {
            libc::bind(self.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t)
        };
        check(bound, "bind", object)?;
        let call = "NETLINK_ADD_MEMBERSHIP";
        set_option(self.as_raw_fd(), libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group, call, object)
    }

    /// Sends a request and waits for its acknowledgement. `call` and `object` name it in an error.
    pub fn change(&mut self, request: Request, call: &'static str, object: &str) -> SystemResult<()> {
        let sequence = self.send(request, call, object)?;
        loop {
            let length = self.receive(call, object)?;
            for message in messages(&self.buffer[..length]) {
                if message.sequence == sequence && i32::from(message.kind) == libc::NLMSG_ERROR {
                    return acknowledged(message.body, call, object);
                }
            }
        }
    }

    /// Asks for one object.
    pub fn ask(&mut self, request: Request, call: &'static str, object: &str) -> SystemResult<Entry> {
        let sequence = self.send(request, call, object)?;
        loop {
            let length = self.receive(call, object)?;
            let Some(message) = messages(&self.buffer[..length]).find(|message| message.sequence == sequence) else {
                continue;
            };
            if i32::from(message.kind) == libc::NLMSG_ERROR {
                acknowledged(message.body, call, object)?;
                return Err(SystemError::new(call, object, Errno::EBADMSG));
            }
            return Ok(Entry { kind: message.kind, body: message.body.to_vec() });
        }
    }

    /// Sends requests as one datagram, which netfilter takes as one transaction, and waits for the acknowledgements of those
    /// that ask for one. The first refusal is the transaction's.
    pub fn transact(&mut self, requests: Vec<Request>, call: &'static str, object: &str) -> SystemResult<()> {
        let mut awaited = requests.iter().filter(|request| request.is_acknowledged()).count();
        let mut bytes = Vec::new();
        for request in requests {
            self.sequence += 1;
            bytes.extend(request.finish(self.sequence));
        }
        self.send_bytes(&bytes, call, object)?;
        while awaited > 0 {
            let length = self.receive(call, object)?;
            for message in messages(&self.buffer[..length]) {
                if i32::from(message.kind) == libc::NLMSG_ERROR {
                    acknowledged(message.body, call, object)?;
                    awaited = awaited.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// All objects of a kind.
    pub fn dump(
        &mut self,
        request: impl Fn() -> Request,
        call: &'static str,
        object: &str,
    ) -> SystemResult<Vec<Entry>> {
        let mut entries = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            let consistent;
            (entries, consistent) = self.dump_once(request(), call, object)?;
            if consistent {
                break;
            }
        }
        Ok(entries)
    }

    fn dump_once(&mut self, request: Request, call: &'static str, object: &str) -> SystemResult<(Vec<Entry>, bool)> {
        let sequence = self.send(request, call, object)?;
        let mut entries = Vec::new();
        let mut consistent = true;
        loop {
            let length = self.receive(call, object)?;
            for message in messages(&self.buffer[..length]).filter(|message| message.sequence == sequence) {
                consistent &= i32::from(message.flags) & libc::NLM_F_DUMP_INTR == 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return whole(message.body, call, object).map(|()| (entries, consistent)),
                    libc::NLMSG_ERROR => {
                        return acknowledged(message.body, call, object).map(|()| (entries, consistent));
                    }
                    _ => entries.push(Entry { kind: message.kind, body: message.body.to_vec() }),
                }
            }
        }
    }

    /// The messages of the datagram received last.
    pub fn received(&self, length: usize) -> impl Iterator<Item = Message<'_>> {
        messages(&self.buffer[..length])
    }

    fn send(&mut self, request: Request, call: &'static str, object: &str) -> SystemResult<u32> {
        self.sequence += 1;
        self.send_bytes(&request.finish(self.sequence), call, object)?;
        Ok(self.sequence)
    }

    fn send_bytes(&self, bytes: &[u8], call: &'static str, object: &str) -> SystemResult<()> {
        let kernel = any();
        // SAFETY: pointers and lengths are those of `bytes` and `kernel`, which outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw const kernel).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        if sent == -1 { Err(SystemError::last(call, object)) } else { Ok(()) }
    }

    /// Waits for a datagram; answers its length.
    pub fn receive(&mut self, call: &'static str, object: &str) -> SystemResult<usize> {
        loop {
            // SAFETY: the kernel writes at most `len` bytes into the buffer; MSG_TRUNC only changes what is returned.
            let received = unsafe {
                libc::recv(self.fd.as_raw_fd(), self.buffer.as_mut_ptr().cast(), self.buffer.len(), libc::MSG_TRUNC)
            };
            match usize::try_from(received) {
                Ok(length) if length <= self.buffer.len() => return Ok(length),
                // Cut, and the rest is lost.
                Ok(_) => return Err(SystemError::new(call, object, Errno::EMSGSIZE)),
                Err(_) if Errno::last() == Errno::EINTR => {}
                Err(_) => return Err(SystemError::last(call, object)),
            }
        }
    }
}

/// As a destination the kernel, as an own address one of the kernel's choice.
fn any() -> libc::sockaddr_nl {
    // SAFETY: sockaddr_nl is integers only.
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address
}

impl AsRawFd for Netlink {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// NLMSG_DONE of a dump: a negated errno where it ended early, else 0 or nothing.
fn whole(body: &[u8], call: &'static str, object: &str) -> SystemResult<()> {
    if body.is_empty() { Ok(()) } else { acknowledged(body, call, object) }
}

/// NLMSG_ERROR: a negated errno, 0 for "done".
fn acknowledged(body: &[u8], call: &'static str, object: &str) -> SystemResult<()> {
    match u32_at(body, 0).map(|code| code as i32) {
        Some(0) => Ok(()),
        Some(code) => Err(SystemError::new(call, object, Errno::from_raw(-code))),
        None => Err(SystemError::new(call, object, Errno::EBADMSG)),
    }
}
