// Programs inside a namespace: forked from a thread that entered it, so the child is in it from its first instruction. The
// thread then waits for that child alone; Node's own children are none of its business.

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

use crate::error::SystemError;
use crate::netns::in_namespace;

#[napi(object)]
pub struct RunOptions {
    pub env: Option<HashMap<String, String>>,
    pub cwd: Option<String>,
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

/// One of our standard streams for the child. Not plain inheritance: Node marks its own close-on-exec when it starts.
fn shared(stream: impl AsFd) -> Stdio {
    stream.as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}
