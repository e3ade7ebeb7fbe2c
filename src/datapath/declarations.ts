// What drivers declare and the datapath makes true: bridge domains, ports, static FDB entries, neighbours and VTEPs, named
// by strings that the control plane chooses. Indexes into engine tables are the datapath's own business.
//
// The law of state: a declaration is a pure function of stored objects. Whoever owns it says the whole of it each time
// (`declare(owner, everything)`); the datapath computes the difference, sends it to the worker and audits it later.

import type { KeyMaterial } from "./key-material.ts";

/** Canonical text forms: MAC "02:42:ac:11:00:02", addresses as ipaddr.js prints them ("10.0.0.2", "fd00::2"). */
export type MacText = string;
export type AddressText = string;

export interface DomainDeclaration {
  /** Name of the bridge domain, unique on the host: the network's id, with `/<n>` behind it where a network has several. */
  readonly id: string;
  /** VXLAN network identifier 0..2^24-1, or null: a local bridge. */
  readonly vni: number | null;
  /** Largest IP packet (bytes) that crosses; the Ethernet header is not counted. */
  readonly mtuBytes: number;
  readonly learning: boolean;
  /** Answer ARP and neighbour solicitations from declared neighbours. */
  readonly proxyNeighbors: boolean;
  /** Rewrite the MSS option of TCP SYNs down to what fits mtuBytes. */
  readonly clampMss: boolean;
  /** Its frames cross the underlay inside ESP only, both ways; absent: in the clear only. */
  readonly encrypted?: boolean;
  readonly fdbLimit: number;
  readonly fdbAgeS: number;
}

export interface TapPortDeclaration {
  readonly kind: "tap";
  /** Name of the port, unique on the host: the endpoint's id, or `<network id>/gateway`. */
  readonly id: string;
  readonly domain: string;
  /** Path of the network namespace in which the TAP lives (`/run/netns/a`), or null: the daemon's own. */
  readonly namespacePath: string | null;
  /** At most 15 bytes. */
  readonly interfaceName: string;
  readonly mac: MacText;
  readonly mtuBytes: number;
  /** Reaches non-isolated ports only. */
  readonly isolated: boolean;
  /** It is a station of a macvlan, of this mode: what of its neighbours it reaches, and by which way. */
  readonly macvlan?: MacvlanMode;
}

export type MacvlanMode = "bridge" | "private" | "vepa" | "passthru";

/** An interface of the host that macvlans have as their parent, as a packet socket. In no bridge domain: its uplinks are. */
export interface PacketPortDeclaration {
  readonly kind: "packet";
  /** `parent/<interface>`: all that have this parent declare it in the same words. */
  readonly id: string;
  readonly interfaceName: string;
}

/** One VLAN of a packet port as a port of a bridge domain, which has one at most. */
export interface UplinkPortDeclaration {
  readonly kind: "uplink";
  /** `parent/<interface>.<VID>` */
  readonly id: string;
  readonly domain: string;
  /** Id of the packet port. */
  readonly parent: string;
  /** 1..4094, or 0: frames without a tag. */
  readonly vid: number;
  /** What is for nobody here comes in too, and tags that stations send go out as they are. */
  readonly passthru: boolean;
}

/** A port kind that has descriptors is one file under ports/. */
export type PortDeclaration = TapPortDeclaration | PacketPortDeclaration | UplinkPortDeclaration;

/** Those that have descriptors. */
export type OpenPortDeclaration = TapPortDeclaration | PacketPortDeclaration;

/** Null: it is in none. */
export const domainOf = (port: PortDeclaration): string | null => (port.kind === "packet" ? null : port.domain);

/** A MAC pinned to a port or to a VTEP: never aged, never moved. */
export interface FdbDeclaration {
  readonly domain: string;
  readonly mac: MacText;
  readonly to: { readonly port: string } | { readonly vtep: AddressText };
}

export interface NeighborDeclaration {
  readonly domain: string;
  readonly address: AddressText;
  readonly mac: MacText;
}

/**
 * What an isolated port may send another one all the same, and be answered: `client` reaches ports `first` to `last` of `server`.
 * Both are in one domain. It has no effect where one of them is not isolated.
 */
export interface PermitDeclaration {
  readonly client: string;
  readonly server: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly first: number;
  readonly last: number;
}

/** A remote VTEP that floods of `domain` go to and from which its frames are accepted. */
export interface VtepDeclaration {
  readonly domain: string;
  readonly address: AddressText;
  /** UDP port it listens on. */
  readonly port: number;
}

/** Names as node:crypto has them. All with 16 bytes of ICV unless a peer of other make wants fewer. */
export type EspAlgorithm = "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";

/**
 * How one direction of the traffic with one peer is protected (RFC 4303). One that is sent by must never be declared again
 * once it is gone: the engine forgets how far its key was used.
 */
export interface AssociationDeclaration {
  /** Unique on the host, and as short-lived as the key: another key is another association. */
  readonly id: string;
  readonly direction: "in" | "out";
  /** The VTEP, and the UDP port at which its tunnel listens inside ESP. */
  readonly peer: AddressText;
  readonly vxlanPort: number;
  /** 256 to 2^32-1; of those that come in, unique on this host. */
  readonly spi: number;
  readonly algorithm: EspAlgorithm;
  readonly icvBytes: 8 | 12 | 16;
  readonly esn: boolean;
  /** UDP port of the peer that ESP is sent to, or null: IP protocol 50. */
  readonly udpPort: number | null;
  /** Out: the address that ESP is sent to where that is not the peer's own but a NAT's; of the same family. */
  readonly remote?: AddressText;
  /** Give the UDP header inside a checksum: kernels want one over IPv6. */
  readonly innerChecksum: boolean;
  /** The key protects at most so many packets, and bytes; at most 2^32-1 packets without `esn`. */
  readonly packetLimit: number;
  readonly byteLimit: number;
  /**
   * Where its sequence numbers go on when the key was used before, 0 if it was not: nothing is sent by a number up to it, and
   * nothing is taken by one. Looked at only when the association is new.
   */
  readonly firstSequence: number;
  /** Tell of its first authentic datagram. */
  readonly notify: boolean;
  /** Out: what the peer is sent by. At most one of a peer's. */
  readonly current: boolean;
  readonly key: KeyMaterial;
}

/** All that one owner (a network, an endpoint) wants to be true. */
export interface Declaration {
  readonly domains?: readonly DomainDeclaration[];
  readonly ports?: readonly PortDeclaration[];
  readonly fdb?: readonly FdbDeclaration[];
  readonly neighbors?: readonly NeighborDeclaration[];
  readonly vteps?: readonly VtepDeclaration[];
  readonly permits?: readonly PermitDeclaration[];
  readonly associations?: readonly AssociationDeclaration[];
}

/** The one way from the control plane into the data plane. */
export interface Datapath {
  /**
   * Replaces all that `owner` declared before. Resolves when interfaces exist and the engine forwards accordingly; rejects
   * with a WeftError and leaves the owner's former declaration in force. `opened` is called once all TAPs are there, before the
   * engine knows of them: what they need beside can be done meanwhile. If the engine then refuses, they go again.
   */
  declare(owner: string, declaration: Declaration, opened?: () => void): Promise<void>;
  /** Same as declaring nothing: ports are closed and their TAPs deleted. Unknown owners are fine. */
  withdraw(owner: string): Promise<void>;
  /** Several owners in one step (start-up): one diff, TAPs opened in parallel. Failures are reported by owner, the rest stands. */
  declareAll(declarations: ReadonlyMap<string, Declaration>): Promise<ReadonlyMap<string, Error>>;
}
