// Reads what the program writes until it has ended and nothing is left. Others may hold its output open for longer (a program
// that it left in the background): they are not waited for.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::log::Log;

const CHUNK_BYTES: usize = 64 * 1024;

pub fn run(output: &OwnedFd, mut log: Log, pid: u32) {
    // SAFETY: no pointers. Our child can't be another's pid before we wait for it.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) } as libc::c_int;
    // SAFETY: it was opened just now and nobody else knows it.
    let process = (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) });
    let mut open = true;
    let mut ended = process.is_none();
    let mut chunk = vec![0; CHUNK_BYTES];
    while open || !ended {
        // An ended program's output is taken as far as it is there, and no further.
        let timeout = if ended && process.is_some() { PollTimeout::ZERO } else { PollTimeout::NONE };
        let mut waited = Vec::with_capacity(2);
        if open {
            waited.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
        }
        if let (Some(fd), false) = (&process, ended) {
            waited.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waited, timeout) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        let readable = |at: usize| waited.get(at).is_some_and(|fd| fd.any().unwrap_or(false));
        let (has_output, has_ended) = (open && readable(0), !ended && readable(usize::from(open)));
        if has_output {
            // SAFETY: the kernel writes at most as many bytes as the buffer has.
            let count = unsafe { libc::read(output.as_raw_fd(), chunk.as_mut_ptr().cast(), chunk.len()) };
            match usize::try_from(count) {
                Ok(0) => open = false,
                Ok(count) => log.write(&chunk[..count]),
                Err(_) if matches!(Errno::last(), Errno::EINTR | Errno::EAGAIN) => {}
                // EIO: nobody has the terminal any more.
                Err(_) => open = false,
            }
        } else if has_ended {
            ended = true;
        }
    }
}
