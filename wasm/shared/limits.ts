// How much of everything there is. A limit that a user can meet is named in an error or a drop reason.

export const PORT_MAX = 4096;
export const DOMAIN_MAX = 4096;
export const VTEP_MAX = 4096;
/** (bridge domain, VTEP) pairs in all flood lists. */
export const MEMBER_MAX = 65536;
/** Exceptions from the isolation of ports: a range of ports between two, each. */
export const PERMIT_MAX = 16384;
export const NEIGHBOR_SLOTS = 131072;
export const FDB_SLOTS_MAX = 2097152;
export const FDB_SLOTS_DEFAULT = 131072;
/** FDB entries a bridge domain may learn unless it says otherwise: a flood of MACs in one network can't evict another's. */
export const FDB_DOMAIN_LIMIT_DEFAULT = 16384;
export const FDB_AGE_S_DEFAULT = 300;

export const RX_BATCH_MAX = 256; // descriptors a poll may return
export const RX_PER_TAP = 64; // reads per TAP and turn, so that none starves
export const RX_PER_UNDERLAY = 16; // recvmmsg messages a turn: up to 64 datagrams each by UDP_GRO
export const RX_BATCH_BYTES = 131072; // a batch that stays in the second-level cache is copied in and out cheaper
export const HEADROOM = 64; // bytes before each received frame that the engine may write
/** Bytes native leaves readable after the rx arena's last frame, so that 16-byte loads near an end stay in bounds. */
export const TAILROOM = 64;
export const FRAME_LENGTH_MAX = 65550; // the largest super-frame: 65535 bytes of IP behind 14 + tag... rounded
export const TX_RING_MAX = 4096;
export const IOVEC_MAX = 65536;

export const ENTROPY_SOCKETS = 16; // transmit sockets of an underlay port: one source port each
export const RUN_SEGMENTS_MAX = 64; // UDP_MAX_SEGMENTS of older kernels
export const RUN_LENGTH_MAX = 65000;
export const GRO_SEGMENTS_MAX = 64;
export const GRO_SLOTS = 32;
export const RUN_SLOTS = 64;

export const MTU_MIN = 68;
export const MTU_MIN_IPV6 = 1280;
export const MTU_MAX = 65521;
/** What every link of IPv4 carries in one piece or two (RFC 791); a path that claims less is not believed. */
export const PATH_MTU_MIN_IPV4 = 576;
/** How long an ICMP error about a path is believed (RFC 1191 section 6.3, RFC 8201 section 4). */
export const PATH_MTU_AGE_S = 600;
/** ICMP errors (packet too big) that who sends by one port is told a second. */
export const ICMP_ERRORS_PER_SECOND = 100;

/** Security associations, both directions; SA 0 is never used. The AEAD key slot of an association has its number. */
export const SA_MAX = 8192;
/** Bits of a replay window, and how far behind the newest a datagram may be: one word less (RFC 6479). */
export const REPLAY_BITS = 8192;
export const REPLAY_WINDOW = 8128;
