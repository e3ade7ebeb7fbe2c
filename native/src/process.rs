// Programs inside a namespace: forked from a thread that entered it, so the child is in it from its first instruction. The
// thread then waits for that child alone; Node's own children are none of its business.
//
// A program may get files of its own in the place of the host's (/etc/resolv.conf): then the thread gets a mount namespace
// too, in which they are bind-mounted. What the host mounts later still appears there, what is mounted there the host never
// sees. With a hostname of its own comes a UTS namespace.

use std::collections::HashMap;
use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use napi::Env;
use napi::bindgen_prelude::{Function, Object};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use crate::error::{SystemError, SystemResult};
use crate::netns::{Place, in_namespace};

#[napi(object)]
pub struct RunOptions {
    pub env: Option<HashMap<String, String>>,
    pub cwd: Option<String>,
    pub hostname: Option<String>,
    pub files: Option<Vec<FileMount>>,
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

/// Runs a program in the namespace with this process's standard streams; resolves when it has ended.
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
        command.args(arguments).stdin(shared(stdin())).stdout(shared(stdout())).stderr(shared(stderr()));
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
        if let Some(hostname) = &options.hostname {
            isolate(CloneFlags::CLONE_NEWUTS, place)?;
            sethostname(hostname).map_err(|errno| SystemError::new("sethostname", place.object(hostname), errno))?;
        }
        if let Some(files) = &options.files {
            isolate(CloneFlags::CLONE_NEWNS, place)?;
            mount_files(files)?;
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

/// The calling thread leaves the process's namespace of this kind for a new one.
fn isolate(kind: CloneFlags, place: &Place) -> SystemResult<()> {
    unshare(kind).map_err(|errno| SystemError::new("unshare", place.object(&format!("{kind:?}")), errno))
}

fn mount_files(files: &[FileMount]) -> SystemResult<()> {
    let bind = |source: Option<&str>, target: &str, flags: MsFlags| {
        mount(source, target, None::<&str>, flags, None::<&str>)
            .map_err(|errno| SystemError::new("mount", format!("{} at {target}", source.unwrap_or("nothing")), errno))
    };
    // Or else the mounts would show in the host.
    bind(None, "/", MsFlags::MS_SLAVE | MsFlags::MS_REC)?;
    // A mount needs something to lie upon, and what the host lacks (/etc/hostname is optional) can't be made just here.
    for FileMount { source, target } in files.iter().filter(|file| Path::new(&file.target).exists()) {
        bind(Some(source), target, MsFlags::MS_BIND)?;
    }
    Ok(())
}

/// One of our standard streams for the child. Not plain inheritance: Node marks its own close-on-exec when it starts.
fn shared(stream: impl AsFd) -> Stdio {
    stream.as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}
