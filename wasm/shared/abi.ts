// Names and numbers that both sides speak. Lists are APPEND ONLY: the numbers travel in captures, traces and metrics.

/** Raised whenever a layout or a call changes; the host refuses a module with another number. */
export const ABI_VERSION = 7;

// ── Receive descriptor: native -> engine ─────────────────────────────────────────────────────────────────────────────
//
//   0        4        8      10       12       16
//   ┌────────┬────────┬──────┬────────┬────────┐
//   │ offset │ length │ port │ segment│ flags  │   segment: UDP_GRO's datagram size, 0 when there is one datagram
//   └────────┴────────┴──────┴────────┴────────┘
//
// From an underlay port the sender stands in the headroom: its address at offset - 32 (16 bytes, IPv4 as ::ffff:a.b.c.d),
// its port at offset - 16 (u16, host order), the address we were reached on at offset - 64 (16 bytes, zero if not known).
// From a TAP, offset is the vnet_hdr (VNET_HEADER_LENGTH bytes), the Ethernet frame follows.
// From a packet port likewise; the kernel has taken the outer VLAN tag out of the frame: flags say so, its TCI stands at 14.
export const RX_DESCRIPTOR_LENGTH = 16;
export const RX_OFFSET = 0;
export const RX_LENGTH = 4;
export const RX_PORT = 8;
export const RX_SEGMENT = 10;
export const RX_FLAGS = 12;
export const RX_SENDER_ADDRESS = -32;
export const RX_SENDER_PORT = -16;
export const RX_LOCAL_ADDRESS = -64;
/** The frame was truncated by native (longer than a slot): the engine drops it under its name. */
export const RX_FLAG_TRUNCATED = 1;
/** Put there by the host, not by native (trace probe): treat as received on `port`, mark TRACED. */
export const RX_FLAG_INJECTED = 2;
/** The frame had a VLAN tag, which the kernel took out; its PCP, DEI and VID stand at RX_VLAN_TCI. */
export const RX_FLAG_VLAN = 4;
/** ... and it was an S-tag (802.1ad). */
export const RX_FLAG_VLAN_SERVICE = 8;
export const RX_VLAN_TCI = 14;

// ── Transmit descriptor: engine -> native ────────────────────────────────────────────────────────────────────────────
//
//   0      2       4       8       12        16            20        24        28     30    32
//   ┌──────┬───────┬───────┬───────┬─────────┬─────────────┬─────────┬─────────┬──────┬─────┐
//   │ port │ socket│ iovec │ iovecs│ segment │ destination │ port:16 │ length  │ pkts │errno│
//   └──────┴───────┴───────┴───────┴─────────┴─────────────┴─────────┴─────────┴──────┴─────┘
//
// port: the port to send by (TAP: one writev of the iovecs; underlay, packet: one message). socket: which of the underlay port's
// transmit sockets (entropy); of a packet port, the uplink that the frame is counted at. iovec: index of the first of `iovecs` entries in IOVECS. segment: UDP_SEGMENT size, 0 for a
// single datagram. destination: where in memory the peer's 16-byte address stands (IPv4-mapped for IPv4); 0 for a TAP.
// pkts: how many packets of the graph ride in it. errno: 0 when handed over; native writes the errno of a refusal.
// iovecs == 0: a descriptor that became empty; native skips it.
export const TX_DESCRIPTOR_LENGTH = 32;
export const TX_PORT = 0;
export const TX_SOCKET = 2;
export const TX_IOVEC = 4;
export const TX_IOVECS = 8;
export const TX_SEGMENT = 12;
export const TX_DESTINATION = 16;
export const TX_DESTINATION_PORT = 20;
export const TX_LENGTH = 24;
export const TX_PACKETS = 28;
export const TX_ERRNO = 30;

export const IOVEC_LENGTH = 8;
export const IOVEC_OFFSET = 0;
export const IOVEC_BYTES = 4;

// ── virtio-net header on every TAP frame (linux/virtio_net.h; 10 bytes, little-endian) ───────────────────────────────
export const VNET_HEADER_LENGTH = 10;
export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HEADER_BYTES = 2; // hdr_len
export const VNET_GSO_SIZE = 4;
export const VNET_CHECKSUM_START = 6;
export const VNET_CHECKSUM_OFFSET = 8;
export const VNET_FLAG_NEEDS_CHECKSUM = 1;
export const VNET_FLAG_DATA_VALID = 2;
export const VNET_GSO_NONE = 0;
export const VNET_GSO_TCPV4 = 1;
export const VNET_GSO_UDP = 3; // UFO: never asked for, so never valid
export const VNET_GSO_TCPV6 = 4;
export const VNET_GSO_UDP_L4 = 5; // USO, IPv4 or IPv6
export const VNET_GSO_ECN = 0x80;

// ── Ports ────────────────────────────────────────────────────────────────────────────────────────────────────────────
export const PORT_NONE = 0;
export const PORT_TAP = 1;
export const PORT_UNDERLAY = 2;
export const PORT_MEMORY = 3; // test double: frames without vnet_hdr semantics are not a thing; it speaks TAP framing

export const PORT_ESP = 5; // ESP datagrams of the underlay, in UDP or as IP protocol 50; in no domain, like PORT_UNDERLAY
/** An AF_PACKET socket on an interface of the host, the parent of macvlan networks. In no bridge domain: its uplinks are. */
export const PORT_PACKET = 4;
/** One VLAN of a packet port (or what of it is untagged), as a port of a bridge domain. A domain has one uplink at most. */
export const PORT_UPLINK = 6;
/** ICMP's "too big" as a raw socket of the underlay delivers it (node path-mtu); in no domain. */
export const PORT_PATH_MTU = 7;

/** Isolated ports reach non-isolated ones only (ICC off: sandboxes reach the gateway, not each other), but for permits. */
export const PORT_FLAG_ISOLATED = 1;
/** Frames out of this port go out under this domain's MTU check even when the port is a TAP (tunnel-facing). */
export const PORT_FLAG_CAPTURE = 2;
/** The engine neither learns from nor floods unknown unicast to this port (all its MACs are static). */
export const PORT_FLAG_NO_FLOOD = 4;
/** The port can't be given UDP super-frames (a TAP of a kernel before Linux 6.2): datagrams bound for it are not merged. */
export const PORT_FLAG_NO_UDP_GSO = 8;
/** Datagrams come with their IPv4 header: what a raw socket of that family delivers. */
export const PORT_FLAG_IPV4_HEADER = 16;
/** A macvlan station of mode vepa: its frames go to the uplink, also those for its neighbours, and theirs reach it from there. */
export const PORT_FLAG_VEPA = 32;
/** A macvlan station of mode private: as vepa, but it and its neighbours never hear of each other. */
export const PORT_FLAG_PRIVATE = 64;
/** Of an uplink: all that comes in goes to the domain, whoever it is for, and tags of the stations go out as they are. */
export const PORT_FLAG_PASSTHRU = 128;

// ── Bridge domains ───────────────────────────────────────────────────────────────────────────────────────────────────
export const DOMAIN_FLAG_LEARNING = 1;
export const DOMAIN_FLAG_PROXY_NEIGHBORS = 2; // answer ARP and ND from the neighbour table
export const DOMAIN_FLAG_HAS_VNI = 4;
export const DOMAIN_FLAG_CAPTURE = 8;
export const DOMAIN_FLAG_CLAMP_MSS = 16;
/** Its frames cross the underlay inside ESP only, both ways. */
export const DOMAIN_FLAG_ENCRYPTED = 32;

export const VNI_NONE = 0xffffffff;

// ── Nodes of the graph: id = index, name = NODE_NAMES[id] = the file's name ──────────────────────────────────────────
export const NODE_TAP_INPUT = 0;
export const NODE_UNDERLAY_INPUT = 1;
export const NODE_VXLAN_DECAP = 2;
export const NODE_ETHERNET_INPUT = 3;
export const NODE_POLICY = 4;
export const NODE_L2_LEARN = 5;
export const NODE_NEIGHBOR_PROXY = 6;
export const NODE_L2_FORWARD = 7;
export const NODE_L2_FLOOD = 8;
export const NODE_GRO = 9;
export const NODE_PORT_OUTPUT = 10;
export const NODE_VXLAN_ENCAP = 11;
export const NODE_UNDERLAY_OUTPUT = 12;
export const NODE_ESP_ENCRYPT = 13;
export const NODE_ESP_DECRYPT = 14;
export const NODE_PACKET_INPUT = 15;
export const NODE_PACKET_OUTPUT = 16;
export const NODE_PATH_MTU = 17;
export const NODE_COUNT = 18;
export const NODE_NAMES = [
  "tap-input", "underlay-input", "vxlan-decap", "ethernet-input", "policy", "l2-learn", "neighbor-proxy", "l2-forward", "l2-flood",
  "gro", "port-output", "vxlan-encap", "underlay-output", "esp-encrypt", "esp-decrypt", "packet-input", "packet-output",
  "path-mtu",
];

/** Packets that one node can hold. A chunk of RX_CHUNK frames fits; floods stop and go on when a vector is full. */
export const MAX_VECTOR = 1024;
/** Packets taken from the receive ring at a time: they stay in the first-level cache while they cross the graph. */
export const RX_CHUNK = 256;

// ── Trace ring entry: 32 B ───────────────────────────────────────────────────────────────────────────────────────────
//   0        4      6       8        12      16      20       24      32
//   ┌────────┬──────┬───────┬────────┬───────┬───────┬────────┬───────┐
//   │ packet │ node │ event │ domain │ a     │ b     │ length │ c:u64 │
//   └────────┴──────┴───────┴────────┴───────┴───────┴────────┴───────┘
export const TRACE_ENTRY_LENGTH = 32;
export const TRACE_PACKET = 0;
export const TRACE_NODE = 4;
export const TRACE_EVENT = 6;
export const TRACE_DOMAIN = 8;
export const TRACE_A = 12;
export const TRACE_B = 16;
export const TRACE_LENGTH = 20;
export const TRACE_C = 24;

export const EVENT_ENTER = 0; // a: port, b: flags; c: unused
export const EVENT_NEXT = 1; // a: next node
export const EVENT_DROP = 2; // a: drop reason
export const EVENT_TO_PORT = 3; // a: port
export const EVENT_TO_VTEP = 4; // a: VTEP, b: VNI
export const EVENT_FDB_HIT = 5; // a: port, b: VTEP; c: MAC
export const EVENT_FDB_MISS = 6; // c: MAC
export const EVENT_LEARNED = 7; // a: port, b: VTEP; c: MAC
export const EVENT_CLONED = 8; // a: port, b: VTEP
export const EVENT_SEGMENTED = 9; // a: segments, b: bytes of payload a segment
export const EVENT_COALESCED = 10; // a: segments so far
export const EVENT_ANSWERED = 11; // neighbour proxy answered; c: MAC
export const EVENT_CLAMPED = 12; // a: MSS before, b: MSS after
export const EVENT_TOO_BIG = 13; // a: MTU told
export const EVENT_FROM_VTEP = 14; // a: VTEP, b: VNI
export const EVENT_SENT = 15; // a: port, b: datagrams
export const EVENT_SEALED = 16; // a: security association, b: datagrams; c: sequence number of the last
export const EVENT_OPENED = 17; // a: security association, b: VTEP; c: sequence number
export const EVENT_PATH_MTU = 18; // a: VTEP, b: bytes that its path carries

// ── Capture ring record ──────────────────────────────────────────────────────────────────────────────────────────────
//   0        4        8      10          12       16        24         28     32
//   ┌────────┬────────┬──────┬───────────┬────────┬─────────┬──────────┬──────┬───── bytes, padded to 8
//   │ record │ length │ port │ direction │ domain │ time ns │ original │ kind │
//   └────────┴────────┴──────┴───────────┴────────┴─────────┴──────────┴──────┴─────
// record: bytes of the whole record, padding and headers included. length: bytes that follow the headers. original: how many
// there were before they were cut to the snap length. domain: CAPTURE_DOMAIN_NONE for datagrams, which are in none.
//
// kind CAPTURE_FRAME: an Ethernet frame. CAPTURE_DATAGRAM: the payload of a datagram of the underlay, whose outer headers
// only the kernel sees; what is known of them stands before it:
//   32               48              64           66       68    70   72
//   ┌────────────────┬───────────────┬────────────┬────────┬─────┬────┬───── bytes
//   │ remote address │ local address │ remotePort │ socket │ sum │    │
//   └────────────────┴───────────────┴────────────┴────────┴─────┴────┴─────
// Addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d; the local one is zero where only the host knows it. remotePort: host order.
// socket: as in the transmit descriptor; of sent ones. sum: of the whole datagram, folded, in memory order.
export const CAPTURE_HEADER_LENGTH = 32;
export const CAPTURE_RECORD = 0;
export const CAPTURE_LENGTH = 4;
export const CAPTURE_PORT = 8;
export const CAPTURE_DIRECTION = 10;
export const CAPTURE_DOMAIN = 12;
export const CAPTURE_TIME_NS = 16;
export const CAPTURE_ORIGINAL = 24;
export const CAPTURE_KIND = 28;
export const CAPTURE_REMOTE_ADDRESS = 32;
export const CAPTURE_LOCAL_ADDRESS = 48;
export const CAPTURE_REMOTE_PORT = 64;
export const CAPTURE_SOCKET = 66;
export const CAPTURE_SUM = 68;
export const CAPTURE_DATAGRAM_HEADER_LENGTH = 72;
export const CAPTURE_FRAME = 0;
export const CAPTURE_DATAGRAM = 1;
export const CAPTURE_DOMAIN_NONE = 0xffffffff;
export const DIRECTION_RX = 0; // from the port's view: the engine received it
export const DIRECTION_TX = 1;

// ── Entries in PORTS, DOMAINS and VTEPS: what the host reads of them (pictures and the rest: tables/*.ts) ─────────────
export const PORT_LENGTH = 128;
export const PORT_KIND = 0; // u8
export const PORT_FLAGS = 1; // u8
export const PORT_DOMAIN = 2; // u16
export const PORT_MTU = 4; // u32
export const PORT_UDP_PORT = 12; // u16
export const PORT_SOCKETS = 14; // u16
export const PORT_PARENT = 20; // u16: of an uplink, its packet port
export const PORT_VID = 22; // u16: of an uplink, 0 for untagged frames
export const PORT_RX_PACKETS = 24; // u64 each
export const PORT_RX_BYTES = 32;
export const PORT_TX_PACKETS = 40;
export const PORT_TX_BYTES = 48;
export const PORT_DROPS = 56; // of frames that came in by it, or that the kernel refused to take on it

export const DOMAIN_LENGTH = 64;
export const DOMAIN_FLAGS = 0; // u32 each
export const DOMAIN_MTU = 4;
export const DOMAIN_VNI = 8;
export const DOMAIN_FDB_LIMIT = 12;
export const DOMAIN_FDB_AGE_S = 16;
export const DOMAIN_USED = 36;

export const VTEP_LENGTH = 64;
export const VTEP_ADDRESS = 0; // 16 B
export const VTEP_UDP_PORT = 16; // u16
export const VTEP_PORT = 18; // u16
export const VTEP_USED = 20; // u32
export const VTEP_PATH_MTU = 28; // u32: the longest IP packet of ESP that the path carries, 0 if nothing narrower was heard of

// ── Dump entries in ARGUMENTS ────────────────────────────────────────────────────────────────────────────────────────
//   FDB, 16 B:      key:u64 = domain << 48 | MAC   vtep:u16   flags:u16   port:u16   ageS:u16     vtep != 0: remote
//   neighbour, 32 B: address:16 B   key:u64 = domain << 48 | MAC   (8 unused)
//   member, 4 B:    vtep:u16   domain:u16
//   permit, 16 B:   client:u16   server:u16   protocol:u16   first:u16   last:u16   (6 unused)
export const FDB_ENTRY_LENGTH = 16;
export const FDB_KEY = 0;
export const FDB_VTEP = 8;
export const FDB_FLAGS = 10;
export const FDB_PORT = 12;
export const FDB_AGE_S = 14;
export const FDB_FLAG_STATIC = 1;
export const NEIGHBOR_ENTRY_LENGTH = 32;
export const NEIGHBOR_ADDRESS = 0;
export const NEIGHBOR_KEY = 16;
export const MEMBER_ENTRY_LENGTH = 4;
export const MEMBER_VTEP = 0;
export const MEMBER_DOMAIN = 2;
export const PERMIT_ENTRY_LENGTH = 16;
export const PERMIT_CLIENT = 0;
export const PERMIT_SERVER = 2;
export const PERMIT_PROTOCOL = 4;
export const PERMIT_FIRST = 6;
export const PERMIT_LAST = 8;

// ── Security associations: entries of SAD that the host reads (picture: core/sa.ts) ──────────────────────────────────
export const SA_LENGTH = 128;
export const SA_SPI = 0; // u32
export const SA_FLAGS = 4; // u32
export const SA_VTEP = 8; // u16
export const SA_PORT = 10; // u16
export const SA_UDP_PORT = 12; // u16
export const SA_ICV_BYTES = 16; // u8
export const SA_USED = 20; // u32
export const SA_SEQUENCE = 24; // u64 each
export const SA_PACKETS = 32;
export const SA_BYTES = 40;
export const SA_PACKET_LIMIT = 48;
export const SA_BYTE_LIMIT = 56;
export const SA_REPLAYED = 64;
export const SA_LATE = 72;
export const SA_FORGED = 80;
export const SA_MALFORMED = 88;
export const SA_PSEUDO = 96; // u32
export const SA_REMOTE = 104; // 16 B
export const SA_FIRST = 120; // u64

export const SPD_ENTRY_LENGTH = 8;
export const SPD_SA = 0; // u16

/** We send by it; without the flag it is one that we receive by. */
export const SA_FLAG_OUTBOUND = 1;
/** Sequence numbers have 64 bits, of which 32 travel (RFC 4303 section 2.2.1). */
export const SA_FLAG_ESN = 2;
/** The UDP header inside gets a checksum: for peers that want one over IPv6. */
export const SA_FLAG_CHECKSUM = 4;
/** The host wants to hear of its first authentic datagram. */
export const SA_FLAG_NOTIFY = 8;

// ── ESP events in ESP_EVENTS: what the control plane should hear of ──────────────────────────────────────────────────
//   0      4       8     ESP_EVENTS: bytes used (these eight included), events lost since they were drained; then events
//
//   0      4      6        8     12     16           32          48 ─── bytes, padded to 8
//   ┌──────┬──────┬────────┬─────┬──────┬────────────┬───────────┬─────
//   │ kind │ SA   │ port   │ SPI │ bytes│ sender     │ local     │ the datagram, for ESP_EVENT_UNKNOWN_SPI
//   └──────┴──────┴────────┴─────┴──────┴────────────┴───────────┴─────
// port: the sender's UDP port, host order, 0 for protocol 50; of a path's MTU the bytes.
export const ESP_EVENT_HEADER_LENGTH = 48;
export const ESP_EVENT_KIND = 0; // u32
export const ESP_EVENT_SA = 4; // u16
export const ESP_EVENT_PORT = 6; // u16
export const ESP_EVENT_SPI = 8; // u32
export const ESP_EVENT_BYTES = 12; // u32
export const ESP_EVENT_SENDER = 16; // 16 B
export const ESP_EVENT_LOCAL = 32; // 16 B
/** A datagram for an SPI that no security association has: the control plane may know how to derive one. */
export const ESP_EVENT_UNKNOWN_SPI = 1;
/** The first authentic datagram of an inbound association with SA_FLAG_NOTIFY. */
export const ESP_EVENT_FIRST_USE = 2;
/** An outbound association has used seven eighths of what it may: time for the next one. */
export const ESP_EVENT_NEARLY_EXHAUSTED = 3;
/** Where an inbound association's peer is, by UDP: the newest datagram came from there, the first or from elsewhere than before. */
export const ESP_EVENT_MOVED = 4;
/** A router, `sender`, can't pass on datagrams as long as an outbound association's were. */
export const ESP_EVENT_PATH_MTU = 5;
/** The same of what is sent to a VTEP in the clear; its index stands in the place of the association's. */
export const ESP_EVENT_PLAIN_PATH_MTU = 6;

/** What espProbe sends. */
export const PROBE_DUMMY = 0; // an ESP datagram that carries nothing (RFC 4303 section 2.6): proof of life and of the key
export const PROBE_KEEPALIVE = 1; // one byte 0xff, unauthenticated (RFC 3948 section 2.3): keeps a NAT's mapping
