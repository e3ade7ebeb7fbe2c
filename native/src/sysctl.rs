// /proc/sys as seen inside a namespace: which values /proc/sys/net shows depends on the namespace of the thread that looks.
//
// Names are sysctl(8)'s: whichever of '.' and '/' comes first separates, the other one is part of a name, so that
// "net/ipv4/conf/eth0.100/forwarding" can be written.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult};
use crate::visit::{Place, in_namespace};

#[napi(catch_unwind)]
pub fn write_sysctls(
    env: &Env,
    namespace: Option<String>,
    values: HashMap<String, String>,
) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, move |place| write_each(&values, place, |outcome| outcome))
}

/// In the namespace of the calling thread; those that the kernel has not are passed over.
pub fn write_known(values: &HashMap<String, String>, place: &Place) -> SystemResult<()> {
    write_each(values, place, |outcome| match outcome {
        Err(error) if error.errno == Errno::ENOENT => Ok(()),
        written => written,
    })
}

fn write_each(
    values: &HashMap<String, String>,
    place: &Place,
    judge: impl Fn(SystemResult<()>) -> SystemResult<()>,
) -> SystemResult<()> {
    let mut sorted: Vec<_> = values.iter().collect();
    // "all" and "default" come before an interface's own, and the order does not change from run to run.
    sorted.sort();
    let mut each = sorted.into_iter();
    each.try_for_each(|(name, value)| judge(write(name, value, &place.object(&format!("{name}={value}")))))
}

fn write(name: &str, value: &str, object: &str) -> SystemResult<()> {
    let path = path_of(name).ok_or_else(|| SystemError::new("open", object, Errno::EINVAL))?;
    let mut file =
        OpenOptions::new().write(true).open(path).map_err(|error| SystemError::io("open", object, &error))?;
    file.write_all(value.as_bytes()).map_err(|error| SystemError::io("write", object, &error))
}

fn path_of(name: &str) -> Option<String> {
    let separator = name.chars().find(|letter| matches!(letter, '.' | '/'))?;
    let relative: String = if separator == '/' {
        name.to_owned()
    } else {
        name.chars()
            .map(|letter| {
                if letter == '.' {
                    '/'
                } else if letter == '/' {
                    '.'
                } else {
                    letter
                }
            })
            .collect()
    };
    let is_plain = relative.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_plain.then(|| format!("/proc/sys/{relative}"))
}
