// The engine module's exports as the host calls them: raw WebAssembly functions, numbers only. wasm/index.ts implements
// them; wasm/shared/abi.ts holds the layouts. u32 results arrive signed in JavaScript: `>>> 0` where it matters.
// MACs travel as (high 16 bits, low 32 bits) of the six bytes read as one big-endian number; IP addresses as 16 bytes
// (IPv4 as ::ffff:a.b.c.d) that the caller writes at ARGUMENTS before the call.
//
// Table setters are upserts, deleters are silent about what is not there. They answer 0 (done) or a REFUSED_* code.

export interface EngineExports {
  abiVersion(): number;
  /** Empties everything and sizes the FDB (a power of two <= FDB_SLOTS_MAX). First call, and again after a rebuild. */
  reset(fdbSlots: number): void;

  // ── the batch ──
  /** Takes `count` receive descriptors; processes until they are used up or the transmit ring needs a flush. Transmit descriptors filled. */
  run(count: number): number;
  /**
   * Receive descriptors of the batch that `run` has not taken yet, at least 1 while a flood waits for room: flush, then call
   * `resume`, until it is 0. The receive arena must stay as it is until then.
   */
  pending(): number;
  /** Goes on with the batch after a flush. Transmit descriptors filled. */
  resume(): number;
  /** After a flush that refused something: moves packets of descriptors with an errno from tx to drops. `count` as flushed. */
  settle(count: number): void;
  /**
   * Once a second and before the first batch: the clock of ageing, rate limits and capture times. `nowMs` is monotonic, modulo
   * 2^32. It may be called as often as one likes, for finer capture times: a sweep happens when a second has passed.
   */
  tick(nowMs: number): void;

  // ── ESP: what the host has a cipher do, between poll and run, and between run and flush (wasm/shared/aead.ts) ──
  /** Before `run`, of the same `count`: operations in OPEN_OPS that are to run first; 0 if nothing came by an ESP port. */
  espPrepare(count: number): number;
  /** After `run` and after `resume`: operations in SEAL_OPS that are to run before the flush, all of them with success. */
  sealCount(): number;
  /** They have: captures of ESP ports are taken. */
  sealed(): void;
  /** Outside of a batch: composes a PROBE_* to the VTEP; transmit descriptors filled, after which `sealCount` and the flush. */
  espProbe(vtep: number, kind: number): number;
  /** The events in ESP_EVENTS were read. */
  espEventsClear(): void;

  // ── tables: written through these calls only, by src/datapath/tables/tables.ts ──
  /** kind: PORT_*; flags: PORT_FLAG_*. A port that changes its domain loses its learned entries. */
  portSet(port: number, kind: number, domain: number, flags: number, mtuBytes: number): number;
  /** What was learned on it goes with it; static entries stay (their frames are dropped as port-down) until `fdbDelete`. */
  portDelete(port: number): void;
  /** UDP port that an underlay port listens on (to recognise VXLAN in VXLAN). */
  underlaySet(port: number, udpPort: number, socketCount: number): number;
  /** Binds an uplink to a VLAN (0: what is untagged) of a packet port. One VLAN is one uplink, a domain has one at most. */
  uplinkSet(port: number, parent: number, vid: number): number;
  /** `flags`' HAS_VNI follows from `vni`. `fdbAgeS`: at most 65000, 0: entries stay. */
  domainSet(domain: number, vni: number, flags: number, mtuBytes: number, fdbLimit: number, fdbAgeS: number): number;
  /** Its ports, members, FDB entries (static too) and neighbours go with it. */
  domainDelete(domain: number): void;
  /** address at ARGUMENTS. VTEP 0 is never used. underlayPort: the port (of that address family) to send by. */
  vtepSet(vtep: number, udpPort: number, underlayPort: number): number;
  /** Its memberships and what was learned from it go with it; static entries stay (dropped as vtep-unknown) until `fdbDelete`. */
  vtepDelete(vtep: number): void;
  /** Puts the VTEP on the domain's flood list, and accepts frames of the domain from it. */
  memberSet(domain: number, vtep: number): number;
  /** ... and no more; what was learned from it in the domain is forgotten. */
  memberDelete(domain: number, vtep: number): void;
  /** Static entry: to a port, or to a VTEP if vtep != 0. */
  fdbSet(domain: number, macHigh: number, macLow: number, port: number, vtep: number): number;
  /** Static or learned. */
  fdbDelete(domain: number, macHigh: number, macLow: number): void;
  /**
   * A security association: `flagsAndIcv` SA_FLAG_* | ICV bytes << 16; `peer` VTEP | ESP port << 16; `udp` the peer's UDP port,
   * 0 for protocol 50 | the sum of both addresses << 16 (SA_FLAG_CHECKSUM). At ARGUMENTS two big-endian u64: most packets, most
   * bytes. Its sequence numbers go on behind `firstLow` and `firstHigh`, which is 0 without ESN. Its key has
   * to be in the AEAD slot of its number. Another SPI, direction or ESN is refused until `saDelete`.
   */
  saSet(sa: number, spi: number, flagsAndIcv: number, peer: number, udp: number, firstLow: number, firstHigh: number): number;
  /** What was sent by it is dropped as esp-no-sa until `spdSet` names another one. */
  saDelete(sa: number): void;
  /** From the next batch on, `vtep` is sent to by `sa`, at the address at ARGUMENTS: its own, or a NAT's. */
  spdSet(vtep: number, sa: number): number;
  spdDelete(vtep: number): void;
  /** address at ARGUMENTS. */
  neighborSet(domain: number, macHigh: number, macLow: number): number;
  neighborDelete(domain: number): void;
  /**
   * Lets `client` reach ports `first` to `last` of `server` (protocol: TCP, UDP or SCTP) and be answered from them, though both
   * are isolated. An entry is all of its numbers: there is no other one to replace. It goes with either port.
   */
  permitSet(client: number, server: number, protocol: number, first: number, last: number): number;
  permitDelete(client: number, server: number, protocol: number, first: number, last: number): void;

  // ── the engine's own ciphers (src/datapath/shard/aead.ts chooses between them and native's) ──
  /** Key and salt at ARGUMENTS, where zeros stand afterwards. `reset` forgets all keys. */
  aeadSetKey(slot: number, algorithm: number): number;
  aeadRemoveKey(slot: number): void;
  /** Carries out the `count` operations (shared/aead.ts) that stand at `at`; how many did not end in AEAD_DONE. */
  aeadRun(at: number, count: number): number;

  // ── reading back (audit, dumps): fills ARGUMENTS with entries, answers how many; cursor 0 starts, nextCursor() continues ──
  /** 16 B each as in tables/fdb.ts: domain, MAC, port, vtep, age in ticks (seconds), static flag. */
  fdbDump(cursor: number): number;
  neighborDump(cursor: number): number;
  memberDump(cursor: number): number;
  permitDump(cursor: number): number;
  /** Cursor for the next *Dump call, or 0 when the last one reached the end. */
  nextCursor(): number;

  // ── trace and capture ──
  /** Traces frames that come in by `port` (0xffff: any) and, if `count` address bytes stand at ARGUMENTS, only those to or from it. 0 budget: off. */
  traceSet(port: number, hasAddress: number, budget: number): void;
  /** Entries written since the start; the ring keeps the last TRACE_RING_LENGTH / 32. */
  traceCount(): number;
  /** snapLength 0: off. */
  captureSet(all: number, snapLength: number): void;
  /** Bytes in the capture ring now; the host reads them from CAPTURE_RING and calls captureClear. */
  captureLength(): number;
  captureClear(): void;

  // ── unchecked by design: for tests ──
  /** Executes `unreachable`: what a bug of ours would do. */
  trap(): void;
}

export const REFUSED_RANGE = 1; // an index or value out of range
export const REFUSED_FULL = 2; // the table is full
export const REFUSED_UNKNOWN = 3; // refers to a domain, port or VTEP that is not set
export const REFUSED_TAKEN = 4; // VNI or address is another entry's
