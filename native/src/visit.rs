// Visits to network namespaces. Entering one changes the calling thread only and for good, so every visit is made on a thread of
// its own (promise.rs) and ends with it. Who makes and removes namespaces is netns.rs.

use std::fs::File;

use napi::Env;
use napi::bindgen_prelude::{Object, ToNapiValue};
use nix::sched::{CloneFlags, setns};

use crate::error::{SystemError, SystemResult};
use crate::promise::on_thread;

/// Where a call takes place, for messages: "eth0" at home, "eth0 in /run/netns/a" elsewhere.
#[derive(Clone)]
pub struct Place(Option<String>);

impl Place {
    pub fn new(namespace: Option<String>) -> Self {
        Self(namespace)
    }

    pub fn object(&self, name: &str) -> String {
        match &self.0 {
            Some(path) if name.is_empty() => format!("in {path}"),
            Some(path) => format!("{name} in {path}"),
            None => name.to_owned(),
        }
    }
}

/// Runs `work` inside a namespace (None: the daemon's own) on a new thread.
pub fn in_namespace<T, Work>(env: &Env, namespace: Option<String>, work: Work) -> napi::Result<Object<'_>>
where
    T: ToNapiValue + Send + 'static,
    Work: FnOnce(&Place) -> SystemResult<T> + Send + 'static,
{
    on_thread(env, move || {
        if let Some(path) = &namespace {
            enter(path)?;
        }
        work(&Place(namespace))
    })
}

/// Moves the calling thread into the namespace at `path`.
pub fn enter(path: &str) -> SystemResult<()> {
    let file = File::open(path).map_err(|error| SystemError::io("open", path, &error))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| SystemError::new("setns", path, errno))
}
