// weft-shim: what stays with a program of `weft run -d` when the command line has returned.
//
//   weft-shim NAMESPACE HOSTNAME LOG LOG_BYTES EXIT_FILE INPUT [SOURCE:TARGET]... -- PROGRAM [ARGUMENT]...
//
// It enters the sandbox, starts the program as its child, writes what the program says into a log of bounded size, and when it
// ends its exit code into a file, by which everybody can know that it has and how. Neither the daemon nor the command line need
// to be there for any of this. It is a program of its own, and not Node, because there is one for each such sandbox: it takes
// a megabyte.
//
// HOSTNAME "" leaves the host's. INPUT: "null", or "open" (a pipe in which nothing ever comes), or "terminal" (a
// pseudo-terminal for all three streams). On descriptor 3 it says one line, and closes it: "pid NUMBER", or "failed execve
// ERRNO", or "failed MESSAGE" where it didn't get so far.

#[path = "../fault.rs"]
mod fault;
#[path = "../isolation.rs"]
mod isolation;
#[path = "../terminal.rs"]
#[allow(dead_code)]
mod terminal;

mod log;
mod relay;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};

use fault::{SystemError, SystemResult};
use nix::sched::{CloneFlags, setns};

const REPORT_FD: i32 = 3;
const SIGNALLED: i32 = 128;
const FAILED: i32 = 125;
const FORWARDED: [libc::c_int; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

struct Order {
    namespace: String,
    hostname: String,
    domainname: String,
    log: String,
    log_bytes: u64,
    exit_file: String,
    input: String,
    files: Vec<(String, String)>,
    argv: Vec<String>,
}

/// The program's pid, for the signal handler; 0: there is none.
static PROGRAM: AtomicI32 = AtomicI32::new(0);

fn main() -> ExitCode {
    let Some(order) = read_order() else {
        eprintln!("weft-shim: started by `weft run -d`, not by hand");
        return ExitCode::from(2);
    };
    close_inherited();
    // SAFETY: our parent opened it for us; nobody else in this process knows it.
    let mut report = unsafe { File::from_raw_fd(REPORT_FD) };
    // SAFETY: no pointers; the program must not inherit it, or its reader would wait for its end.
    unsafe { libc::fcntl(REPORT_FD, libc::F_SETFD, libc::FD_CLOEXEC) };
    let (mut child, output, log) = match start(&order) {
        Ok(started) => started,
        Err(message) => {
            let _ = writeln!(report, "failed {message}");
            return ExitCode::FAILURE;
        }
    };
    PROGRAM.store(child.id() as i32, Ordering::SeqCst);
    forward_signals();
    let _ = writeln!(report, "pid {}", child.id());
    drop(report);
    relay::run(&output, log, child.id());
    let code = child.wait().map_or(FAILED, |status| status.code().unwrap_or(SIGNALLED + status.signal().unwrap_or(0)));
    PROGRAM.store(0, Ordering::SeqCst);
    let _ = record(&order.exit_file, code);
    ExitCode::SUCCESS
}

/// What the caller had open beside (a lock of flock(1), a pipe whose end somebody waits for) is not to be held for as long as the
/// program runs. A kernel before 5.9 can't: then it is held.
fn close_inherited() {
    // SAFETY: no pointers. This process has opened nothing yet, so nobody in it knows any of these.
    unsafe { libc::syscall(libc::SYS_close_range, REPORT_FD as libc::c_uint + 1, libc::c_uint::MAX, 0) };
}

fn read_order() -> Option<Order> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next();
    let (namespace, hostname, domainname, log) = (next()?, next()?, next()?, next()?);
    let (log_bytes, exit_file, input) = (next()?.parse().ok()?, next()?, next()?);
    let mut files = Vec::new();
    loop {
        let word = next()?;
        if word == "--" {
            break;
        }
        let (source, target) = word.rsplit_once(':')?;
        files.push((source.to_owned(), target.to_owned()));
    }
    let argv: Vec<String> = words.collect();
    (!argv.is_empty()).then_some(Order {
        namespace,
        hostname,
        domainname,
        log,
        log_bytes,
        exit_file,
        input,
        files,
        argv,
    })
}

fn start(order: &Order) -> Result<(Child, OwnedFd, log::Log), String> {
    let refused = |error: SystemError| format!("cannot enter the sandbox: {error}");
    let file =
        log::Log::open(&order.log, order.log_bytes).map_err(|error| format!("cannot write {}: {error}", order.log))?;
    enter(order).map_err(refused)?;
    let mut command = Command::new(&order.argv[0]);
    command.args(&order.argv[1..]);
    let output = streams(&mut command, &order.input).map_err(refused)?;
    let child = command
        .spawn()
        .map_err(|error| format!("execve {}", fault::errno_name(SystemError::io("execve", "", &error).errno)))?;
    Ok((child, output, file))
}

fn enter(order: &Order) -> SystemResult<()> {
    let path = &order.namespace;
    let file = File::open(path).map_err(|error| SystemError::io("open", path, &error))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| SystemError::new("setns", path, errno))?;
    if !order.hostname.is_empty() {
        isolation::own_hostname(&order.hostname, &order.domainname)?;
    }
    if !order.files.is_empty() {
        let pairs: Vec<_> = order.files.iter().map(|(source, target)| (source.as_str(), target.as_str())).collect();
        isolation::own_files(&pairs)?;
    }
    Ok(())
}

/// Sets the program's streams; answers where its output is read.
fn streams(command: &mut Command, input: &str) -> SystemResult<OwnedFd> {
    if input == "terminal" {
        let pair = terminal::open()?;
        terminal::give(command, pair.slave)?;
        return Ok(pair.master);
    }
    // One pipe for both, so that the log has their order.
    let (reader, writer) = pipe()?;
    let copy = writer.try_clone().map_err(|error| SystemError::io("dup", "a pipe", &error))?;
    command.stdout(Stdio::from(writer)).stderr(Stdio::from(copy));
    if input == "open" {
        let (empty, keeper) = pipe()?;
        command.stdin(Stdio::from(empty));
        // Held until this process ends.
        std::mem::forget(keeper);
    } else {
        command.stdin(Stdio::null());
    }
    Ok(reader)
}

fn pipe() -> SystemResult<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two integers into the array.
    fault::check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, "pipe2", "")?;
    // SAFETY: both were opened just now and nobody else knows them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn forward_signals() {
    extern "C" fn forward(signal: libc::c_int) {
        let program = PROGRAM.load(Ordering::SeqCst);
        if program > 0 {
            // SAFETY: kill(2) may be called in a handler, and takes no pointers.
            unsafe { libc::kill(program, signal) };
        }
    }
    for signal in FORWARDED {
        // SAFETY: the handler reads an atomic and makes one system call.
        unsafe { libc::signal(signal, forward as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// Whole or not at all.
fn record(path: &str, code: i32) -> io::Result<()> {
    let fresh = format!("{path}.new");
    fs::write(&fresh, format!("{code}\n"))?;
    fs::rename(&fresh, path)
}
