// Numbers that standards assign.

export const ETHERTYPE_IPV4 = 0x0800; // IEEE 802, RFC 894
export const ETHERTYPE_ARP = 0x0806; // RFC 826
export const ETHERTYPE_VLAN = 0x8100; // IEEE 802.1Q
export const ETHERTYPE_IPV6 = 0x86dd; // RFC 2464
export const ETHERTYPE_QINQ = 0x88a8; // IEEE 802.1ad

export const IP_PROTOCOL_ICMP = 1;
export const IP_PROTOCOL_TCP = 6;
export const IP_PROTOCOL_UDP = 17;
export const IP_PROTOCOL_ESP = 50;
export const IP_PROTOCOL_ICMPV6 = 58;
export const IP_PROTOCOL_SCTP = 132;
/** "No next header": in ESP a dummy packet (RFC 4303 section 2.6). */
export const IP_PROTOCOL_NONE = 59;

export const ETHERNET_HEADER_LENGTH = 14;
export const VLAN_TAG_LENGTH = 4;
export const VID_MAX = 4094; // IEEE 802.1Q table 9-2: 0 is a priority tag, 4095 reserved
export const IPV4_HEADER_LENGTH = 20;
export const IPV6_HEADER_LENGTH = 40;
export const UDP_HEADER_LENGTH = 8;
export const VXLAN_HEADER_LENGTH = 8;

export const VXLAN_PORT = 4789; // RFC 7348, IANA
/** Source ports that VXLAN should use for entropy (RFC 7348 section 5). */
export const ENTROPY_PORT_MIN = 49152;
export const VNI_MAX = 16777215;

export const ESP_UDP_PORT = 4500; // RFC 3948, IANA
/** SPI and sequence number. */
export const ESP_HEADER_LENGTH = 8;
/** The explicit IV of AES-GCM (RFC 4106) and ChaCha20-Poly1305 (RFC 7634). */
export const ESP_IV_LENGTH = 8;
/** Pad length and next header. */
export const ESP_TRAILER_LENGTH = 2;
/** SPIs 1-255 are reserved, 0 means none (RFC 4303 section 2.1). */
export const SPI_MIN = 256;
