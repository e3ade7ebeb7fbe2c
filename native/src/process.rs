// Programs inside a namespace: forked from a thread that entered it, so the child is in it from its first instruction. The
// thread then waits for that child alone; Node's own children are none of its business.
//
// What a program gets of its own beside the network is isolation.rs's, a terminal of its own terminal.rs's.

use std::collections::HashMap;
use std::io::{stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use napi::Env;
use napi::bindgen_prelude::{Function, Object};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult};
use crate::isolation::{FilePair, own_files, own_hostname};
use crate::terminal;
use crate::visit::in_namespace;

#[napi(object)]
pub struct RunOptions {
    pub env: Option<HashMap<String, String>>,
    pub cwd: Option<String>,
    pub hostname: Option<String>,
    /// Counts with a hostname only.
    pub domainname: Option<String>,
    pub files: Option<Vec<FileMount>>,
    /// Whether this process's standard input is its own too; without it reads end at once.
    pub input: Option<bool>,
    /// The slave of a pseudo-terminal, for its three streams; a copy is taken.
    pub terminal: Option<i32>,
}

/// The file `source` is seen at `target`, if there is a file at `target`.
#[napi(object)]
pub struct FileMount {
    pub source: String,
    pub target: String,
}

#[napi(object, use_nullable = true)]
pub struct ChildExit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

/// Runs a program in the namespace with this process's output streams, and its input if asked to; resolves when it has ended.
#[napi(catch_unwind)]
pub fn run_in_namespace<'env>(
    env: &'env Env,
    namespace: String,
    argv: Vec<String>,
    options: RunOptions,
    on_spawn: Function<'_, u32, ()>,
) -> napi::Result<Object<'env>> {
    let spawned = on_spawn.build_threadsafe_function::<u32>().build()?;
    in_namespace(env, Some(namespace), move |place| {
        let (program, arguments) = argv
            .split_first()
            .ok_or_else(|| SystemError::new("execve", place.object("an empty argv"), Errno::EINVAL))?;
        let mut command = Command::new(program);
        let input = if options.input == Some(true) { shared(stdin()) } else { Stdio::null() };
        command.args(arguments).stdin(input).stdout(shared(stdout())).stderr(shared(stderr()));
        if let Some(variables) = &options.env {
            command.env_clear().envs(variables);
        }
        if let Some(folder) = &options.cwd {
            // execve's ENOENT would not say which of the two is missing.
            if !Path::new(folder).is_dir() {
                return Err(SystemError::new("chdir", place.object(folder), Errno::ENOENT));
            }
            command.current_dir(folder);
        }
        if let Some(slave) = options.terminal {
            terminal::give(&mut command, copy_of(slave, &place.object("a terminal"))?)?;
        }
        if let Some(hostname) = &options.hostname {
            own_hostname(hostname, options.domainname.as_deref().unwrap_or_default())?;
        }
        if let Some(files) = &options.files {
            let pairs: Vec<FilePair<'_>> =
                files.iter().map(|file| (file.source.as_str(), file.target.as_str())).collect();
            own_files(&pairs)?;
        }
        let mut child = command.spawn().map_err(|error| SystemError::io("execve", place.object(program), &error))?;
        let (reported, report) = channel();
        spawned.call_with_return_value(child.id(), ThreadsafeFunctionCallMode::Blocking, move |answer, _| {
            let _ = reported.send(());
            answer
        });
        let status = child.wait().map_err(|error| SystemError::io("waitpid", place.object(program), &error))?;
        // The pid is heard of before the end, however short the program's life. Fails when the environment is going down.
        let _ = report.recv();
        Ok(ChildExit { code: status.code(), signal: status.signal() })
    })
}

/// One of our standard streams for the child. Not plain inheritance: Node marks its own close-on-exec when it starts, and a
/// pipe or socket non-blocking, for the child too, which would take EAGAIN for a failure wherever its reader is slow. Node puts
/// back what there was when it ends.
fn shared(stream: impl AsFd) -> Stdio {
    let fd = stream.as_fd();
    if let Ok(flags) = fcntl(fd, FcntlArg::F_GETFL) {
        let blocking = OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK;
        let _ = fcntl(fd, FcntlArg::F_SETFL(blocking));
    }
    fd.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

fn copy_of(raw: i32, object: &str) -> SystemResult<OwnedFd> {
    if raw < 0 {
        return Err(SystemError::new("dup", object, Errno::EBADF));
    }
    // SAFETY: borrowed for the length of this call only; a descriptor that is not open makes the copying fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    borrowed.try_clone_to_owned().map_err(|error| SystemError::io("dup", object, &error))
}

#[napi(object)]
pub struct TerminalPair {
    pub master: i32,
    pub slave: i32,
}

#[napi(catch_unwind)]
pub fn open_terminal(env: &Env) -> napi::Result<TerminalPair> {
    let pair = terminal::open().map_err(|error| error.into_js(env))?;
    Ok(TerminalPair { master: hand_out(pair.master), slave: hand_out(pair.slave) })
}

#[napi(object)]
pub struct TerminalSize {
    pub rows: u32,
    pub columns: u32,
}

/// None: the descriptor is no terminal.
#[napi(catch_unwind)]
pub fn terminal_size(fd: i32) -> Option<TerminalSize> {
    terminal::size(fd).map(|(rows, columns)| TerminalSize { rows: rows.into(), columns: columns.into() })
}

/// Whether a read of the terminal's master would give something now.
#[napi(catch_unwind)]
pub fn terminal_has_output(env: &Env, master: i32) -> napi::Result<bool> {
    terminal::has_output(master).map_err(|error| error.into_js(env))
}

static BEFORE_RAW: Mutex<Option<libc::termios>> = Mutex::new(None);

/// Raw: every byte of the terminal goes through as it is; false puts back the settings that were before.
#[napi(catch_unwind)]
pub fn raw_terminal(env: &Env, fd: i32, raw: bool) -> napi::Result<()> {
    let mut before = BEFORE_RAW.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let change = match before.take() {
        Some(settings) if !raw => terminal::restore(fd, &settings),
        None if raw => terminal::make_raw(fd).map(|settings| *before = Some(settings)),
        same => {
            *before = same;
            Ok(())
        }
    };
    change.map_err(|error| error.into_js(env))
}

#[napi(catch_unwind)]
pub fn resize_terminal(env: &Env, fd: i32, rows: u32, columns: u32) -> napi::Result<()> {
    let fitted = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    terminal::resize(fd, fitted(rows), fitted(columns)).map_err(|error| error.into_js(env))
}
