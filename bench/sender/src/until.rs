//! Ends with its parent: a flag that is set when stdin ends. The parent closes the pipe, or dies; either way nothing stays.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a receive may block before the flag is looked at again.
pub const RECEIVE_TIMEOUT: Duration = Duration::from_millis(50);

pub fn stdin_ends() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || {
        let mut sink = [0u8; 64];
        let mut stdin = std::io::stdin();
        while matches!(stdin.read(&mut sink), Ok(n) if n > 0) {}
        flag.store(true, Ordering::Relaxed);
    });
    ended
}

/// Tells the parent that the socket is bound.
pub fn say_ready() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(b"ready\n")?;
    out.flush()
}
