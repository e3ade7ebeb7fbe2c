// Counters and drop reasons: index, name, one sentence. The engine adds, the host reads. APPEND ONLY.
//
// The law, over packets (a UDP_GRO buffer counts as its datagrams, a super-frame as one, a clone as one):
//   rx + cloned + originated = tx + sum(drops)        after every batch.

export const COUNTER_RX = 0;
export const COUNTER_TX = 1;
export const COUNTER_CLONED = 2;
export const COUNTER_ORIGINATED = 3;
export const COUNTER_BATCHES = 4;
export const COUNTER_FDB_LEARNED = 5;
export const COUNTER_FDB_MOVED = 6;
export const COUNTER_FDB_AGED = 7;
export const COUNTER_FDB_REFUSED = 8; // not learned: domain limit or table full; the frame itself went on
export const COUNTER_FLOODED = 9;
export const COUNTER_PROXIED = 10;
export const COUNTER_MSS_CLAMPED = 11;
export const COUNTER_ICMP_TOO_BIG = 12;
export const COUNTER_GSO_SEGMENTED = 13; // super-frames segmented for the wire
export const COUNTER_GSO_SEGMENTS = 14; // segments made of them
export const COUNTER_GRO_COALESCED = 15; // segments merged into super-frames
export const COUNTER_CAPTURED = 16;
export const COUNTER_CAPTURE_LOST = 17; // capture ring full: copies lost, never packets
export const COUNTER_TRACE_LOST = 18;
export const COUNTER_MULTICAST = 19;
export const COUNTER_COUNT = 20;

export const COUNTER_NAMES = [
  "rx", "tx", "cloned", "originated", "batches", "fdb-learned", "fdb-moved", "fdb-aged", "fdb-refused", "flooded", "proxied",
  "mss-clamped", "icmp-too-big", "gso-segmented", "gso-segments", "gro-coalesced", "captured", "capture-lost", "trace-lost",
  "multicast",
];

// Drops: u64 at COUNTERS + 8 * (DROP_BASE + reason).
export const DROP_BASE = 64;
export const DROP_RUNT = 0;
export const DROP_GIANT = 1;
export const DROP_TRUNCATED = 2;
export const DROP_VNET_HEADER = 3;
export const DROP_BAD_GSO = 4;
export const DROP_SOURCE_MULTICAST = 5;
export const DROP_SOURCE_ZERO = 6;
export const DROP_PORT_UNKNOWN = 7;
export const DROP_PORT_DOWN = 8;
export const DROP_STATIC_MOVED = 9;
export const DROP_HAIRPIN = 10;
export const DROP_ISOLATED = 11;
export const DROP_SPLIT_HORIZON = 12;
export const DROP_NO_MEMBERS = 13;
export const DROP_RESERVED_MULTICAST = 14;
export const DROP_VXLAN_SHORT = 15;
export const DROP_VXLAN_FLAGS = 16;
export const DROP_VNI_UNKNOWN = 17;
export const DROP_VTEP_UNKNOWN = 18;
export const DROP_VXLAN_NESTED = 19;
export const DROP_MTU_EXCEEDED = 20;
export const DROP_BAD_CHECKSUM = 21; // nobody counts it: a bridge delivers wrong checksums as right ones
export const DROP_TX_RING_FULL = 22;
export const DROP_PROXY_CONSUMED = 23;
export const DROP_SEND_REFUSED = 24;
export const DROP_SEND_QUEUE_FULL = 25;
export const DROP_ENGINE_TRAP = 26;
export const DROP_NO_UNDERLAY = 27;
export const DROP_MALFORMED_IP = 28;
export const DROP_ENGINE_FULL = 29;
export const DROP_ESP_NO_SA = 30;
export const DROP_ESP_EXHAUSTED = 31;
export const DROP_ESP_PLAINTEXT = 32;
export const DROP_ESP_UNEXPECTED = 33;
export const DROP_ESP_SHORT = 34;
export const DROP_ESP_UNKNOWN_SPI = 35;
export const DROP_ESP_REPLAYED = 36;
export const DROP_ESP_LATE = 37;
export const DROP_ESP_FORGED = 38;
export const DROP_ESP_MALFORMED = 39;
export const DROP_ESP_SELECTOR = 40;
export const DROP_ESP_KEEPALIVE = 41;
export const DROP_ESP_NOT_ESP = 42;
export const DROP_ESP_DUMMY = 43;
export const DROP_VLAN_UNKNOWN = 44;
export const DROP_NOT_OURS = 45;
export const DROP_MACVLAN_MODE = 46;
export const DROP_VLAN_FORBIDDEN = 47;
export const DROP_PATH_MTU_LEARNED = 48;
export const DROP_PATH_MTU_SHORT = 49;
export const DROP_PATH_MTU_FOREIGN = 50;
export const DROP_PATH_MTU_SPI = 51;
export const DROP_PATH_MTU_SEQUENCE = 52;
export const DROP_PATH_MTU_VALUE = 53;
export const DROP_PATH_MTU_UNPROVEN = 54;
export const DROP_COUNT = 55;

export const DROP_NAMES = [
  "runt", "giant", "truncated", "vnet-header", "bad-gso", "source-multicast", "source-zero", "port-unknown", "port-down",
  "static-moved", "hairpin", "isolated", "split-horizon", "no-members", "reserved-multicast", "vxlan-short", "vxlan-flags",
  "vni-unknown", "vtep-unknown", "vxlan-nested", "mtu-exceeded", "bad-checksum", "tx-ring-full", "proxy-consumed",
  "send-refused", "send-queue-full", "engine-trap", "no-underlay", "malformed-ip", "engine-full",
  "esp-no-sa", "esp-exhausted", "esp-plaintext", "esp-unexpected", "esp-short", "esp-unknown-spi", "esp-replayed", "esp-late",
  "esp-forged", "esp-malformed", "esp-selector", "esp-keepalive", "esp-not-esp", "esp-dummy",
  "vlan-unknown", "not-ours", "macvlan-mode", "vlan-forbidden",
  "path-mtu-learned", "path-mtu-short", "path-mtu-foreign", "path-mtu-spi", "path-mtu-sequence", "path-mtu-value",
  "path-mtu-unproven",
];

export const DROP_TEXTS = [
  "shorter than an Ethernet header",
  "longer than the largest frame a port may hand in",
  "the frame did not fit its receive slot",
  "the virtio-net header of a TAP frame contradicts its frame",
  "a segmentation offload size or type that the frame can't have",
  "the source MAC is a multicast address",
  "the source MAC is all zeros",
  "received on a port that the engine does not have",
  "received on, or bound for, a port that is down",
  "the source MAC is pinned to another port (spoofed, or moved without the control plane)",
  "the destination is behind the port that the frame came from",
  "both ports are isolated (inter-container communication is off), and no link between the two permits it",
  "came from a VTEP and would go to a VTEP: every host already has its own copy",
  "a flood with nobody else in the network",
  "a link-local protocol address that bridges must not forward (802.1D 01:80:c2:00:00:0x)",
  "a UDP datagram too short for VXLAN and an Ethernet header",
  "VXLAN flags without a valid VNI (RFC 7348 section 5)",
  "VXLAN for a VNI that no network here has",
  "VXLAN from an address that is no VTEP of the network",
  "VXLAN inside VXLAN of the same underlay port",
  "longer than the network's MTU, or than what the path to the peer carries; the sender was told by ICMP where there is one",
  "nobody counts it: a bridge delivers wrong checksums as right ones, and the receiver judges",
  "no room left in the transmit ring for this batch",
  "an ARP or neighbour solicitation answered here instead of flooded",
  "the kernel refused to send it (the interface is down or gone, or no route to the VTEP)",
  "the kernel's queue for the port was full",
  "in the batch during which the engine trapped and was rebuilt",
  "bound for a VTEP while no underlay port is open",
  "an IP header whose lengths contradict the frame",
  "the engine ran out of packet descriptors or header slots in this batch",
  "bound for a VTEP of an encrypted network for which there is no key to send by",
  "the security association has sent as many packets or bytes as its key may protect, and no new one is there yet",
  "plaintext VXLAN for a VNI whose network is encrypted",
  "VXLAN out of ESP for a VNI whose network is not encrypted",
  "too short for ESP, its IV and its ICV",
  "ESP for an SPI that no key here belongs to",
  "ESP with a sequence number that was received before (a replay, or a duplicate of the network's)",
  "ESP with a sequence number older than the replay window",
  "ESP whose ICV is wrong: damaged, forged, or sealed by another key",
  "authentic ESP whose padding, length or next header is not what RFC 4303 allows",
  "authentic ESP that carries something else than VXLAN for our tunnel",
  "a NAT keepalive (RFC 3948 section 2.3): expected, and of no further use",
  "IKE, or something else that is not ESP, on ESP's UDP port",
  "a dummy packet of ESP (RFC 4303 section 2.6): authentic, and meant to be dropped",
  "came in on a macvlan parent with a VLAN tag that no network here has (or without one, where none is untagged)",
  "came in on a macvlan parent for a MAC that no sandbox of its VLAN has: the host's own traffic, or a switch's flood",
  "between two sandboxes that the mode of their macvlan network (private, vepa) keeps apart",
  "a VLAN tag from a sandbox of an untagged macvlan network: on the wire it would be in another network",
  "ICMP \"too big\" that quotes a datagram of ours, by SPI and sequence number or, of VXLAN, by its content: believed, and of no further use",
  "ICMP \"too big\" that is malformed, or quotes too little to tell whose packet it was",
  "ICMP \"too big\" about neither ESP nor VXLAN to a peer of a network: another program's",
  "ICMP \"too big\" about ESP to where, or by an SPI by which, no VTEP is sent to (forged, or older than the last change of keys)",
  "ICMP \"too big\" about ESP with a sequence number that was not sent lately (forged)",
  "ICMP \"too big\" that tells no less than is known, or less than any link must carry",
  "ICMP \"too big\" about VXLAN that does not quote the datagram of ours that is waited for: forged, or the first of a narrow path",
];
