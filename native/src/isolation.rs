// What a program in a sandbox has of its own beside the network: a hostname (a UTS namespace) and files in the place of the
// host's (/etc/resolv.conf, by bind mounts in a mount namespace). What the host mounts later still appears there, what is
// mounted there the host never sees.
//
// All of it changes the calling thread alone, so that the thread's children are born into it.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use crate::fault::{SystemError, SystemResult};

/// A file and where it is to be seen: (source, target).
pub type FilePair<'a> = (&'a str, &'a str);

/// `domainname` (NIS's, which getdomainname(2) answers): empty: as the host's.
pub fn own_hostname(hostname: &str, domainname: &str) -> SystemResult<()> {
    leave(CloneFlags::CLONE_NEWUTS)?;
    sethostname(hostname).map_err(|errno| SystemError::new("sethostname", hostname, errno))?;
    if domainname.is_empty() {
        return Ok(());
    }
    // SAFETY: the kernel reads that many bytes.
    match unsafe { libc::setdomainname(domainname.as_ptr().cast(), domainname.len()) } {
        0 => Ok(()),
        _ => Err(SystemError::last("setdomainname", domainname)),
    }
}

pub fn own_files(files: &[FilePair<'_>]) -> SystemResult<()> {
    leave(CloneFlags::CLONE_NEWNS)?;
    let bind = |source: Option<&str>, target: &str, flags: MsFlags| {
        mount(source, target, None::<&str>, flags, None::<&str>)
            .map_err(|errno| SystemError::new("mount", format!("{} at {target}", source.unwrap_or("nothing")), errno))
    };
    // Or else the mounts would show in the host.
    bind(None, "/", MsFlags::MS_SLAVE | MsFlags::MS_REC)?;
    // A mount needs something to lie upon, and what the host lacks (/etc/hostname is optional) can't be made just here.
    for (source, target) in files.iter().filter(|(_, target)| Path::new(target).exists()) {
        bind(Some(source), target, MsFlags::MS_BIND)?;
    }
    Ok(())
}

/// The calling thread leaves the process's namespace of this kind for a new one.
fn leave(kind: CloneFlags) -> SystemResult<()> {
    unshare(kind).map_err(|errno| SystemError::new("unshare", format!("{kind:?}"), errno))
}
