// Changes of one nftables table that are not ours, by the kernel's notifications (netlink's multicast group of nf_tables).
//
// A transaction is heard as its changes and then one NEWGEN, which says what thread made it. Ours has a name of its own
// (`OUR_THREAD`), so that what we put back does not count as somebody's change. It is not proof of who it was, nor need it be:
// who takes the name is found by the next audit by the clock.
//
// Where more came than the socket holds, the kernel says so and not what was lost: that is a change, too. One thread waits, in the
// namespace where the socket was opened, for as long as the process lives; it keeps no event loop alive.

use std::os::fd::AsRawFd;
use std::thread;

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use nix::errno::Errno;

use super::socket::Netlink;
use super::wire::{Message, attributes, text_of, u8_at};
use crate::error::{SystemError, SystemResult};
use crate::udp::set_buffers;

/// What threads that run nftables are called; the kernel has room for 15 bytes.
pub const OUR_THREAD: &str = "weft-nft";

const GROUP_NFTABLES: libc::c_int = 7;
const SUBSYSTEM: u16 = 10;
const NEW_GENERATION: u16 = (SUBSYSTEM << 8) | 15;
const GENERATION_PROCESS_NAME: u16 = 3;
/// Of tables, and of all that is in one.
const TABLE_NAME: u16 = 1;
const FAMILY_INET: u8 = 1;
const BODY_BYTES: usize = 4;

/// Some ten thousand elements.
const BUFFER_BYTES: u32 = 4 << 20;
const STACK_BYTES: usize = 64 * 1024;

type Changed = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Calls `on_change` after each transaction of others that changed the table of family inet, in the caller's namespace.
#[napi(catch_unwind)]
pub fn watch_nftables(env: &Env, table: String, on_change: Function<'_, (), ()>) -> napi::Result<()> {
    let changed = on_change.build_threadsafe_function::<()>().weak::<true>().build()?;
    start(table, changed).map_err(|error| error.into_js(env))
}

fn start(table: String, changed: Changed) -> SystemResult<()> {
    let mut netlink = Netlink::open_netfilter()?;
    netlink.join(GROUP_NFTABLES, "nftables")?;
    set_buffers(netlink.as_raw_fd(), BUFFER_BYTES, 0, "nftables")?;
    let follow = move || {
        let mut transaction = Transaction::default();
        loop {
            let foreign = match netlink.receive("recv", "nftables") {
                Ok(length) => netlink
                    .received(length)
                    .fold(false, |foreign, message| transaction.hear(&message, &table) | foreign),
                Err(error) if matches!(error.errno, Errno::ENOBUFS | Errno::EMSGSIZE) => true,
                Err(_) => return,
            };
            if foreign {
                changed.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        }
    };
    thread::Builder::new()
        .name("weft-rules".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(follow)
        .map(drop)
        .map_err(|error| SystemError::io("pthread_create", "", &error))
}

/// What was heard of the one under way.
#[derive(Default)]
struct Transaction {
    touched: bool,
}

impl Transaction {
    /// Whether a transaction ended with this message that somebody else made, and that changed the table.
    fn hear(&mut self, message: &Message<'_>, table: &str) -> bool {
        let text = |wanted| {
            attributes(message.body, BODY_BYTES).find(|(kind, _)| *kind == wanted).map(|(_, value)| text_of(value))
        };
        if message.kind == NEW_GENERATION {
            let touched = std::mem::take(&mut self.touched);
            return touched && text(GENERATION_PROCESS_NAME).as_deref() != Some(OUR_THREAD);
        }
        self.touched |= message.kind >> 8 == SUBSYSTEM
            && u8_at(message.body, 0) == Some(FAMILY_INET)
            && text(TABLE_NAME).as_deref() == Some(table);
        false
    }
}
