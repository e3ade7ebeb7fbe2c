// Where rings and arena are in the engine's memory, checked once at `attach`; the batch code then adds offsets without
// fear of overflow. Each access to the memory is still compared with its length (memory.rs).

use napi_derive::napi;
use nix::errno::Errno;

use crate::error::{SystemError, SystemResult};
use crate::layout::{IOVEC_LENGTH, RX_DESCRIPTOR_LENGTH, RX_LOCAL_ADDRESS, TX_DESCRIPTOR_LENGTH};
use crate::memory::Memory;

/// Room for the longest frame a TAP can hand over: vnet_hdr, Ethernet with two tags, 65535 bytes of IP; rounded up. A read
/// that fills it was cut.
pub const TAP_SLOT_BYTES: u32 = 65600;
/// A datagram, or a train of datagrams that UDP_GRO put together: never over 65535 bytes.
pub const UDP_SLOT_BYTES: u32 = 65536;
/// Slots start on a cache line.
pub const FRAME_ALIGN: u32 = 64;

#[napi(object)]
#[derive(Clone)]
pub struct PollerLayout {
    pub rx_ring: u32,
    pub rx_ring_count: u32,
    pub tx_ring: u32,
    pub tx_ring_count: u32,
    pub iovecs: u32,
    pub iovec_count: u32,
    pub arena: u32,
    pub arena_bytes: u32,
    pub headroom_bytes: u32,
    pub tailroom_bytes: u32,
    pub per_tap: u32,
    pub per_underlay: u32,
    pub batch_bytes: u32,
}

impl PollerLayout {
    /// Refuses what does not lie in the memory, or could not take a single frame.
    pub fn check(&self, memory: &Memory) -> SystemResult<()> {
        let inside = |name: &str, offset: u32, count: u32, each: i32| match count.checked_mul(each as u32) {
            Some(length) if count > 0 && memory.contains(offset, length) => Ok(()),
            _ => Err(refused(format!("{name}: {count} x {each} bytes at {offset} are not inside the memory"))),
        };
        inside("rxRing", self.rx_ring, self.rx_ring_count, RX_DESCRIPTOR_LENGTH)?;
        inside("txRing", self.tx_ring, self.tx_ring_count, TX_DESCRIPTOR_LENGTH)?;
        inside("iovecs", self.iovecs, self.iovec_count, IOVEC_LENGTH)?;
        inside("arena", self.arena, self.arena_bytes, 1)?;
        let least_headroom = RX_LOCAL_ADDRESS.unsigned_abs();
        if self.headroom_bytes < least_headroom {
            return Err(refused(format!("headroomBytes {} is less than {least_headroom}", self.headroom_bytes)));
        }
        let parts = [self.headroom_bytes, TAP_SLOT_BYTES, self.tailroom_bytes, FRAME_ALIGN];
        let slot: u64 = parts.into_iter().map(u64::from).sum();
        if u64::from(self.arena_bytes) < slot {
            return Err(refused(format!("arenaBytes {} is less than one slot of {slot}", self.arena_bytes)));
        }
        if self.per_tap == 0 || self.per_underlay == 0 || self.batch_bytes == 0 {
            return Err(refused("perTap, perUnderlay and batchBytes must be at least 1".to_owned()));
        }
        Ok(())
    }

    /// The first byte of the arena that no frame may reach.
    pub fn arena_end(&self) -> u32 {
        self.arena + self.arena_bytes - self.tailroom_bytes
    }
}

fn refused(rule: String) -> SystemError {
    SystemError::new("attach", rule, Errno::EINVAL)
}
