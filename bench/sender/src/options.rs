//! Socket options whose value is a number.

use std::io::{Error, Result};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

pub fn set(
    socket: &UdpSocket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<()> {
    // SAFETY: the option's value is a c_int that outlives the call, and its length is given.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome < 0 {
        return Err(Error::last_os_error());
    }
    Ok(())
}
