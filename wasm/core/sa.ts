// A security association: how one direction of the traffic with one peer is protected (RFC 4301 section 4.4.2). This is the
// entry; tables/sad keeps and finds them. What the control plane decides stands first, what the path counts behind it.
//
//   0     4       8      10     12        14         16    17     18     20     24         32        40
//   ┌─────┬───────┬──────┬──────┬─────────┬──────────┬─────┬──────┬──────┬──────┬──────────┬─────────┬───────┐
//   │ SPI │ flags │ VTEP │ port │ udpPort │ seenPort │ ICV │ told │      │ used │ sequence │ packets │ bytes │
//   └─────┴───────┴──────┴──────┴─────────┴──────────┴─────┴──────┴──────┴──────┴──────────┴─────────┴───────┘
//   48             56          64         72     80       88          96       100  104      120
//   ┌─────────────┬───────────┬──────────┬──────┬────────┬───────────┬────────┬────┬────────┬───────┐
//   │ packetLimit │ byteLimit │ replayed │ late │ forged │ malformed │ pseudo │    │ remote │ first │ 128
//   └─────────────┴───────────┴──────────┴──────┴────────┴───────────┴────────┴────┴────────┴───────┘
//
// remote: where it is sent, which may be a NAT and not the VTEP's own address; or, with seenPort, where the peer was last heard
// from. Neither has a part in the protection, so it changes while the association stands.
//
// sequence: the last one sent, or the newest received. It survives an engine's reset: a sequence number that is used twice
// under one key gives the key away (a repeated nonce), so tables/sad goes on where the former engine stopped.
//
import {
  SA_BYTE_LIMIT, SA_BYTES, SA_FIRST, SA_FLAGS, SA_FORGED, SA_ICV_BYTES, SA_LATE, SA_LENGTH, SA_MALFORMED, SA_PACKET_LIMIT, SA_PACKETS, SA_PORT,
  SA_PSEUDO, SA_REMOTE, SA_REPLAYED, SA_SEQUENCE, SA_SPI, SA_UDP_PORT, SA_USED, SA_VTEP,
} from "../shared/abi";

@unmanaged export class SecurityAssociation {
  spi: u32;
  flags: u32; // SA_FLAG_*
  vtep: u16; // the peer
  port: u16; // ESP port to send by
  udpPort: u16; // the peer's, 0 for protocol 50
  seenPort: u16; // the UDP port it was last heard from, 0: not yet
  icvBytes: u8;
  told: u8; // which events the host has heard of: bits 1 << ESP_EVENT_*
  pad: u16;
  used: u32;
  sequence: u64;
  packets: u64;
  bytes: u64; // of frames, without what ESP adds
  packetLimit: u64;
  byteLimit: u64;
  replayed: u64;
  late: u64;
  forged: u64;
  malformed: u64;
  pseudo: u32; // with SA_FLAG_CHECKSUM: the sum of both addresses, folded, in memory order
  pad2: u32;
  remoteLow: u64; // the address's bytes 0..8 as loaded
  remoteHigh: u64; // 8..16
  first: u64; // behind which, the host said, its numbers go on
}

if (offsetof<SecurityAssociation>() != SA_LENGTH) ERROR("a security association is not SA_LENGTH bytes");
if (offsetof<SecurityAssociation>("spi") != SA_SPI) ERROR("spi is not at SA_SPI");
if (offsetof<SecurityAssociation>("flags") != SA_FLAGS) ERROR("flags is not at SA_FLAGS");
if (offsetof<SecurityAssociation>("vtep") != SA_VTEP) ERROR("vtep is not at SA_VTEP");
if (offsetof<SecurityAssociation>("port") != SA_PORT) ERROR("port is not at SA_PORT");
if (offsetof<SecurityAssociation>("udpPort") != SA_UDP_PORT) ERROR("udpPort is not at SA_UDP_PORT");
if (offsetof<SecurityAssociation>("icvBytes") != SA_ICV_BYTES) ERROR("icvBytes is not at SA_ICV_BYTES");
if (offsetof<SecurityAssociation>("packetLimit") != SA_PACKET_LIMIT) ERROR("packetLimit is not at SA_PACKET_LIMIT");
if (offsetof<SecurityAssociation>("byteLimit") != SA_BYTE_LIMIT) ERROR("byteLimit is not at SA_BYTE_LIMIT");
if (offsetof<SecurityAssociation>("pseudo") != SA_PSEUDO) ERROR("pseudo is not at SA_PSEUDO");
if (offsetof<SecurityAssociation>("first") != SA_FIRST) ERROR("first is not at SA_FIRST");
if (offsetof<SecurityAssociation>("remoteLow") != SA_REMOTE) ERROR("remoteLow is not at SA_REMOTE");
if (offsetof<SecurityAssociation>("used") != SA_USED) ERROR("used is not at SA_USED");
if (offsetof<SecurityAssociation>("sequence") != SA_SEQUENCE) ERROR("sequence is not at SA_SEQUENCE");
if (offsetof<SecurityAssociation>("packets") != SA_PACKETS) ERROR("packets is not at SA_PACKETS");
if (offsetof<SecurityAssociation>("bytes") != SA_BYTES) ERROR("bytes is not at SA_BYTES");
if (offsetof<SecurityAssociation>("replayed") != SA_REPLAYED) ERROR("replayed is not at SA_REPLAYED");
if (offsetof<SecurityAssociation>("late") != SA_LATE) ERROR("late is not at SA_LATE");
if (offsetof<SecurityAssociation>("forged") != SA_FORGED) ERROR("forged is not at SA_FORGED");
if (offsetof<SecurityAssociation>("malformed") != SA_MALFORMED) ERROR("malformed is not at SA_MALFORMED");

/** Where the 16 bytes of its remote address stand: what TX_DESTINATION refers to. */
// @ts-ignore: decorator
@inline export function remoteOf(sa: SecurityAssociation): usize {
  return changetype<usize>(sa) + SA_REMOTE;
}

/** Whether it may protect `count` more packets of `length` bytes together: behind either limit its key is used up. */
// @ts-ignore: decorator
@inline export function allows(sa: SecurityAssociation, count: u32, length: u32): bool {
  return sa.sequence + <u64>count <= sa.packetLimit && sa.bytes + <u64>length <= sa.byteLimit;
}

/** Whether seven eighths of either limit are used. */
// @ts-ignore: decorator
@inline export function nearlyExhausted(sa: SecurityAssociation): bool {
  return sa.sequence > sa.packetLimit - (sa.packetLimit >> 3) || sa.bytes > sa.byteLimit - (sa.byteLimit >> 3);
}
