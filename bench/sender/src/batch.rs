//! What sendmmsg and recvmmsg want: headers that point at iovecs that point at payloads, set up once.

use std::io::{Error, Result};
use std::os::fd::AsRawFd;

/// `count` datagrams of `bytes` each. The three vectors never change length, so that the pointers among them stay good.
pub struct Batch {
    payloads: Vec<u8>,
    bytes: usize,
    _iovecs: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Batch {
    pub fn new(count: usize, bytes: usize) -> Self {
        let mut payloads = vec![0u8; count * bytes];
        let mut iovecs: Vec<libc::iovec> = payloads
            .chunks_mut(bytes)
            .map(|payload| libc::iovec {
                iov_base: payload.as_mut_ptr().cast(),
                iov_len: bytes,
            })
            .collect();
        let messages = iovecs
            .iter_mut()
            .map(|iovec| {
                // SAFETY: mmsghdr is plain data for which all zeros is valid: no name, no control, no buffers.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = iovec;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        Self {
            payloads,
            bytes,
            _iovecs: iovecs,
            messages,
        }
    }

    /// The bytes of one datagram or frame.
    pub fn payload(&mut self, index: usize) -> &mut [u8] {
        let start = index * self.bytes;
        &mut self.payloads[start..start + self.bytes]
    }

    /// Writes a datagram's number into its first eight bytes.
    pub fn set_number(&mut self, index: usize, number: u64) {
        self.payload(index)[..8].copy_from_slice(&number.to_be_bytes());
    }

    /// The number in a received datagram, or None if it is too short for one.
    pub fn number(&self, index: usize) -> Option<u64> {
        if self.messages[index].msg_len < 8 {
            return None;
        }
        let start = index * self.bytes;
        self.payloads[start..start + 8]
            .try_into()
            .ok()
            .map(u64::from_be_bytes)
    }

    /// Sends the first `count`; answers how many the kernel took.
    pub fn send(&mut self, socket: &impl AsRawFd, count: usize) -> Result<usize> {
        let count = count.min(self.messages.len()) as libc::c_uint;
        // SAFETY: `messages` has at least `count` headers; their iovecs and payloads live as long as self.
        let n = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.messages.as_mut_ptr(), count, 0) };
        usize::try_from(n).map_err(|_| Error::last_os_error())
    }

    /// Waits for one datagram and takes what is there.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> Result<usize> {
        let count = self.messages.len() as libc::c_uint;
        let (messages, flags) = (self.messages.as_mut_ptr(), libc::MSG_WAITFORONE);
        // SAFETY: `messages` has `count` headers; their iovecs and payloads live as long as self and are ours alone.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages,
                count,
                flags,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(n).map_err(|_| Error::last_os_error())
    }
}
