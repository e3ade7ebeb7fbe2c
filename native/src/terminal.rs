// Pseudo-terminals: the pair of descriptors, their size, and how a program gets one as its controlling terminal. What goes
// through them is relayed elsewhere.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};

use crate::fault::{SystemError, SystemResult, check};

pub struct Pair {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Both close-on-exec.
pub fn open() -> SystemResult<Pair> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the kernel's answers are written into two integers of ours; no name, settings or size are asked for.
    let made = unsafe { libc::openpty(&mut master, &mut slave, null_mut(), null(), null()) };
    check(made, "openpty", "/dev/ptmx")?;
    // SAFETY: both were opened just now and nobody else knows them.
    let pair = unsafe { Pair { master: OwnedFd::from_raw_fd(master), slave: OwnedFd::from_raw_fd(slave) } };
    for fd in [&pair.master, &pair.slave] {
        // SAFETY: no pointers; the descriptor is open.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }, "fcntl", "a terminal")?;
    }
    Ok(pair)
}

/// (rows, columns) of the terminal behind `fd`; None if it is none.
pub fn size(fd: RawFd) -> Option<(u16, u16)> {
    let mut found = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel fills the structure of ours.
    let result = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut found) };
    (result == 0).then_some((found.ws_row, found.ws_col))
}

/// The program on it is told by SIGWINCH.
pub fn resize(fd: RawFd, rows: u16, columns: u16) -> SystemResult<()> {
    let wanted = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the structure of ours.
    check(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &wanted) }, "TIOCSWINSZ", "a terminal").map(|_| ())
}

/// Whether a read of the master would give something now.
pub fn has_output(master: RawFd) -> SystemResult<bool> {
    let mut asked = libc::pollfd { fd: master, events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel fills the structure of ours; with a time of 0 it does not wait.
    check(unsafe { libc::poll(&mut asked, 1, 0) }, "poll", "a terminal")?;
    Ok(asked.revents & libc::POLLIN != 0)
}

/// Every byte goes through as it is, in both directions; answers the settings that were.
pub fn make_raw(fd: RawFd) -> SystemResult<libc::termios> {
    // SAFETY: a structure of integers, for which all zeros is a value.
    let mut before: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure of ours.
    check(unsafe { libc::tcgetattr(fd, &mut before) }, "tcgetattr", "a terminal")?;
    let mut raw = before;
    // SAFETY: changes the structure alone.
    unsafe { libc::cfmakeraw(&mut raw) };
    restore(fd, &raw)?;
    Ok(before)
}

pub fn restore(fd: RawFd, settings: &libc::termios) -> SystemResult<()> {
    // SAFETY: the kernel reads the structure of ours.
    check(unsafe { libc::tcsetattr(fd, libc::TCSADRAIN, settings) }, "tcsetattr", "a terminal").map(|_| ())
}

/// The program's three streams are `slave`, which becomes the controlling terminal of a session of its own.
pub fn give(command: &mut Command, slave: OwnedFd) -> SystemResult<()> {
    let copy = || slave.try_clone().map_err(|error| SystemError::io("dup", "a terminal", &error));
    command.stdin(Stdio::from(copy()?)).stdout(Stdio::from(copy()?)).stderr(Stdio::from(copy()?));
    // SAFETY: between fork and exec nothing but two system calls without pointers; standard input is the terminal by then.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    Ok(())
}
