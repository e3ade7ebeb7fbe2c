// A log of bounded size in two files: what is written goes to PATH; when it is half of the bound, it becomes PATH.1 in the place
// of the one before, and PATH begins anew. So at least the last half is always there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

pub struct Log {
    path: String,
    file: File,
    written: u64,
    half: u64,
}

impl Log {
    pub fn open(path: &str, bytes: u64) -> io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, half: (bytes / 2).max(1) })
    }

    /// What can't be written (the disk is full) is lost: the program must not wait for it.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.written >= self.half && self.turn().is_err() {
                return;
            }
            let room = usize::try_from(self.half - self.written).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            if self.file.write_all(now).is_err() {
                return;
            }
            self.written += room as u64;
            bytes = later;
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        match fs::rename(&self.path, format!("{}.1", self.path)) {
            // Where the last attempt came no further: there was no room for a new file.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
