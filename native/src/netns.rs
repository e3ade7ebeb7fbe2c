// Network namespaces: making one, removing one, telling one from another.
//
// A namespace is known by the path of an nsfs file; a bind mount keeps it alive without any process in it, as `ip netns`
// does. Making one moves the calling thread into it for good, so that runs on a thread of its own (promise.rs), and the mount
// is of /proc/thread-self, not /proc/self: the latter is the main thread's namespace.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::error::{SystemError, SystemResult, check};
use crate::netlink;
use crate::promise::on_thread;
use crate::sysctl;
use crate::visit::Place;

/// ioctl_ns(2): the kind of namespace an nsfs file is.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// Makes a new network namespace with loopback up and these sysctls (those that the kernel has not are passed over), and keeps
/// it by a bind mount at `path`.
#[napi(catch_unwind)]
pub fn create_namespace(env: &Env, path: String, sysctls: Option<HashMap<String, String>>) -> napi::Result<Object<'_>> {
    on_thread(env, move || create(&path, &sysctls.unwrap_or_default()))
}

fn create(path: &str, sysctls: &HashMap<String, String>) -> SystemResult<()> {
    if let Some(parent) = Path::new(path).parent() {
        fs::create_dir_all(parent).map_err(|error| SystemError::io("mkdir", parent.to_string_lossy(), &error))?;
    }
    // An empty file without a mount is what a crash between open and mount leaves, or a reboot on a file system that is not
    // a tmpfs: it is taken over. A file with something in it is somebody's.
    match OpenOptions::new().write(true).create_new(true).mode(0o444).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_leftover(path) => {}
        Err(error) => return Err(SystemError::io("open", path, &error)),
    }
    let made = unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| SystemError::new("unshare", path, errno))
        .and_then(|()| netlink::loopback_up())
        .and_then(|()| sysctl::write_known(sysctls, &Place::new(Some(path.to_owned()))))
        .and_then(|()| {
            mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(|errno| SystemError::new("mount", path, errno))
        });
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

fn is_leftover(path: &str) -> bool {
    inode(path).is_none() && fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0)
}

/// Unmounts and unlinks. What still holds the namespace (a process, a TAP's descriptor) keeps it until it goes.
#[napi(catch_unwind)]
pub fn delete_namespace(env: &Env, path: String) -> napi::Result<Object<'_>> {
    on_thread(env, move || delete(&path))
}

fn delete(path: &str) -> SystemResult<()> {
    // More than once if mounts were stacked: two daemons that raced, or `ip netns` over ours.
    while inode(path).is_some() {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(SystemError::new("umount", path, errno)),
        }
    }
    if !Path::new(path).exists() && fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    if !is_leftover(path) {
        return Err(SystemError::new("unlink", format!("{path}, which is no network namespace"), Errno::EINVAL));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(SystemError::io("unlink", path, &error)),
        _ => Ok(()),
    }
}

/// The inode that identifies the network namespace at `path`; None if there is none.
#[napi(catch_unwind)]
pub fn namespace_inode(path: String) -> Option<f64> {
    inode(&path).map(|number| number as f64)
}

fn inode(path: &str) -> Option<u64> {
    // Not blocking: the path may name a fifo.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    // SAFETY: the ioctl takes no argument and the descriptor is open; other kinds of file answer ENOTTY.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    if check(kind, "NS_GET_NSTYPE", path).ok()? != libc::CLONE_NEWNET {
        return None;
    }
    file.metadata().ok().map(|found| found.ino())
}
