// Numbers that standards assign.

export const ETHERTYPE_IPV4 = 0x0800; // IEEE 802, RFC 894
export const ETHERTYPE_ARP = 0x0806; // RFC 826
export const ETHERTYPE_VLAN = 0x8100; // IEEE 802.1Q
export const ETHERTYPE_IPV6 = 0x86dd; // RFC 2464
export const ETHERTYPE_QINQ = 0x88a8; // IEEE 802.1ad

export const IP_PROTOCOL_ICMP = 1;
export const IP_PROTOCOL_TCP = 6;
export const IP_PROTOCOL_UDP = 17;
export const IP_PROTOCOL_ICMPV6 = 58;

export const ETHERNET_HEADER_LENGTH = 14;
export const VLAN_TAG_LENGTH = 4;
export const IPV4_HEADER_LENGTH = 20;
export const IPV6_HEADER_LENGTH = 40;
export const UDP_HEADER_LENGTH = 8;
export const TCP_HEADER_LENGTH = 20;
export const VXLAN_HEADER_LENGTH = 8;

export const VXLAN_PORT = 4789; // RFC 7348, IANA
/** Outer Ethernet 14 is not counted: IPv4 20 + UDP 8 + VXLAN 8 + inner Ethernet 14. */
export const VXLAN_OVERHEAD_IPV4 = 50;
export const VXLAN_OVERHEAD_IPV6 = 70;
/** Source ports that VXLAN should use for entropy (RFC 7348 section 5). */
export const ENTROPY_PORT_MIN = 49152;
export const VNI_MAX = 16777215;
