// The map of the engine's linear memory. Both sides read it: the engine as compile-time addresses, the host to make its
// views and to tell native where to put frames. One line a region, in address order; the comment says who writes it.
// The memory is fixed (initial == maximum, MEMORY_LENGTH): it never grows, so a view made once stays good.
//
//   0x0000_0400  the compiler's own statics, below 64 KiB
//   0x0001_0000  control, counters, rings, vectors, packets: the batch in flight
//   0x0020_0000  tables the control plane writes
//   0x0040_0000  header arena, capture ring
//   0x0100_0000  rx arena: where native puts frames
//   0x0200_0000  the big tables: neighbours, security associations and their operations, FDB

export const MEMORY_PAGES = 1536;
export const MEMORY_LENGTH = 0x6000000; // 96 MiB

export const CONSTANTS = 0x10000; // v128 constants that hot loops load (core/checksum)
export const ARGUMENTS = 0x11000; // the host puts the arguments of table calls here (addresses, frames to inject)
export const ARGUMENTS_LENGTH = 0xf000;
export const COUNTERS = 0x20000; // u64 each; engine writes, host reads (shared/counters.ts)
export const COUNTERS_LENGTH = 0x10000;
export const RX_RING = 0x30000; // 16 B descriptors; native writes, engine reads
export const RX_RING_LENGTH = 0x10000;
export const TX_RING = 0x40000; // 32 B descriptors; engine writes, native reads and marks what failed
export const TX_RING_LENGTH = 0x20000;
export const IOVECS = 0x60000; // 8 B (offset, length) pairs that tx descriptors refer to
export const IOVECS_LENGTH = 0x80000;
export const VECTORS = 0xe0000; // packets waiting at each node (core/vector)
export const VECTORS_LENGTH = 0x40000;
export const PACKETS = 0x120000; // packet descriptors (core/packet)
export const PACKETS_LENGTH = 0x80000;
export const RUNS = 0x1a0000; // open UDP_SEGMENT runs (core/runs)
export const RUNS_LENGTH = 0x10000;
export const AGGREGATES = 0x1b0000; // open GRO aggregates (core/aggregates)
export const AGGREGATES_LENGTH = 0x10000;
export const TRACE_RING = 0x1c0000; // trace lines (core/trace)
export const TRACE_RING_LENGTH = 0x10000;
export const UPLINK_INDEX = 0x1d0000; // hash: packet port and VID -> uplink
export const UPLINK_INDEX_LENGTH = 0x10000;

export const PORTS = 0x200000; // 128 B each
export const PORTS_LENGTH = 0x80000;
export const DOMAINS = 0x280000; // 64 B each: bridge domains
export const DOMAINS_LENGTH = 0x40000;
export const VTEPS = 0x2c0000; // 64 B each
export const VTEPS_LENGTH = 0x40000;
export const VTEP_INDEX = 0x300000; // hash: underlay address -> VTEP
export const VTEP_INDEX_LENGTH = 0x10000;
export const VNI_INDEX = 0x310000; // hash: VNI -> bridge domain
export const VNI_INDEX_LENGTH = 0x20000;
export const MEMBERS = 0x330000; // flood lists: which VTEPs a bridge domain floods to
export const MEMBERS_LENGTH = 0xd0000;

export const HEADERS = 0x400000; // header arena: 128 B slots for headers the engine builds in this batch
export const HEADERS_LENGTH = 0x100000;
export const HEADER_SLOT_LENGTH = 128;
export const CAPTURE_RING = 0x500000; // copies of captured frames; engine writes, host drains
export const CAPTURE_RING_LENGTH = 0x400000;
export const SCRATCH = 0x900000; // frames the engine itself composes (ICMP errors, ARP replies) or must copy whole
export const SCRATCH_LENGTH = 0x700000;

export const RX_ARENA = 0x1000000; // native puts received frames here; a bump allocator reset at each poll
export const RX_ARENA_LENGTH = 0x1000000;

export const NEIGHBORS = 0x2000000; // 32 B each: who has this address (ARP, ND)
export const NEIGHBORS_LENGTH = 0x400000;
export const SAD = 0x2400000; // 128 B each: security associations (tables/sad)
export const SAD_LENGTH = 0x100000;
export const SPI_INDEX = 0x2500000; // hash: SPI -> inbound security association
export const SPI_INDEX_LENGTH = 0x20000;
export const SPD = 0x2520000; // 8 B each: by which security association a VTEP is sent to (tables/spd)
export const SPD_LENGTH = 0x8000;
export const ESP_EVENTS = 0x2528000; // what the control plane should hear of (core/esp-event); engine writes, host drains
export const ESP_EVENTS_LENGTH = 0x8000;
export const PERMITS = 0x2540000; // 16 B each: what isolated ports may send each other (tables/permit)
export const PERMITS_LENGTH = 0x80000;
export const SEAL_OPS = 0x2600000; // 48 B each: AEAD operations of what this run sends (shared/aead)
export const SEAL_OPS_LENGTH = 0xc0000;
export const OPEN_OPS = 0x26c0000; // of what this batch received, one per ESP datagram
export const OPEN_OPS_LENGTH = 0xc0000;
export const NOTES = 0x2780000; // 128 B each: what was sent to a VTEP whose path is in doubt (tables/doubt)
export const NOTES_LENGTH = 0x80000;
export const REPLAY_WINDOWS = 0x2800000; // 1 KiB each: one bit per sequence number (core/replay)
export const REPLAY_WINDOWS_LENGTH = 0x800000;
export const AEAD_STATE = 0x3000000; // wasm's own ciphers: key schedules, tables, scratch; unused where native has the keys
export const AEAD_STATE_LENGTH = 0x1000000;
export const FDB = 0x4000000; // 16 B each: where this MAC lives
export const FDB_LENGTH = 0x2000000;
