// The stored objects in memory, with the ways to find them. Fed by the store alone: read once at start, then by its watch,
// which tells of each commit before the commit's promise resolves. Nothing else writes here.

import { damagedRecord, readRecord } from "../records/read.ts";
import type { EndpointRecord, Id, NetworkRecord, PeerRecord, SandboxRecord } from "../records/records.ts";
import { ENDPOINT_PREFIX, IPAM_PREFIX, NETWORK_PREFIX, PEER_PREFIX, SANDBOX_PREFIX } from "../store/keys.ts";
import type { Change, Json, Store } from "../store/store.ts";

type Group = Map<Id, Map<Id, EndpointRecord>>;

export class State {
  readonly networks = new Map<Id, NetworkRecord>();
  readonly endpoints = new Map<Id, EndpointRecord>();
  readonly sandboxes = new Map<Id, SandboxRecord>();
  /** By key. */
  readonly peers = new Map<string, PeerRecord>();
  /** Grows with every change of a network, a sandbox or an endpoint. */
  generation = 0;
  /** What IPAM remembers, by key. */
  readonly ipam = new Map<string, Json>();
  readonly #revisions = new Map<string, number>();
  readonly #networkIds = new Map<string, Id>();
  readonly #sandboxIds = new Map<string, Id>();
  readonly #byNetwork: Group = new Map();
  readonly #bySandbox: Group = new Map();
  readonly #store: string;

  private constructor(store: string) {
    this.#store = store;
  }

  /** Throws DATA_LOSS if what is stored is not whole: an endpoint of a network that isn't there, a name used twice. */
  static async load(store: Store): Promise<State> {
    const state = new State(store.description);
    store.watch("", (changes) => state.#apply(changes));
    state.#apply((await store.list("")).map((entry) => ({ ...entry, deleted: false })));
    state.#check();
    return state;
  }

  /** 0: there is no such entry. */
  revision(key: string): number {
    return this.#revisions.get(key) ?? 0;
  }

  networkByName(name: string): NetworkRecord | undefined {
    const id = this.#networkIds.get(name);
    return id === undefined ? undefined : this.networks.get(id);
  }

  sandboxByName(name: string): SandboxRecord | undefined {
    const id = this.#sandboxIds.get(name);
    return id === undefined ? undefined : this.sandboxes.get(id);
  }

  endpointsOfNetwork(id: Id): EndpointRecord[] {
    return [...(this.#byNetwork.get(id)?.values() ?? [])];
  }

  endpointsOfSandbox(id: Id): EndpointRecord[] {
    return [...(this.#bySandbox.get(id)?.values() ?? [])];
  }

  #apply(changes: readonly Change[]): void {
    for (const { key, value, deleted, revision } of changes) {
      if (deleted) this.#revisions.delete(key);
      else this.#revisions.set(key, revision);
      this.#applyOne(key, deleted ? null : value);
    }
  }

  #applyOne(key: string, value: Json): void {
    const slash = key.indexOf("/") + 1;
    const id = key.slice(slash);
    const prefix = key.slice(0, slash);
    if (prefix === NETWORK_PREFIX || prefix === SANDBOX_PREFIX || prefix === ENDPOINT_PREFIX) this.generation++;
    switch (prefix) {
      case NETWORK_PREFIX: {
        const before = this.networks.get(id);
        if (before !== undefined) this.#networkIds.delete(before.name);
        if (value === null) return void this.networks.delete(id);
        const network = readRecord("network", key, value, this.#store);
        this.networks.set(id, network);
        this.#networkIds.set(network.name, id);
        return;
      }
      case SANDBOX_PREFIX: {
        const before = this.sandboxes.get(id);
        if (before !== undefined) this.#sandboxIds.delete(before.name);
        if (value === null) return void this.sandboxes.delete(id);
        const sandbox = readRecord("sandbox", key, value, this.#store);
        this.sandboxes.set(id, sandbox);
        this.#sandboxIds.set(sandbox.name, id);
        return;
      }
      case ENDPOINT_PREFIX: {
        const before = this.endpoints.get(id);
        if (before !== undefined) {
          remove(this.#byNetwork, before.networkId, id);
          if (before.sandboxId !== null) remove(this.#bySandbox, before.sandboxId, id);
        }
        if (value === null) return void this.endpoints.delete(id);
        const endpoint = readRecord("endpoint", key, value, this.#store);
        this.endpoints.set(id, endpoint);
        add(this.#byNetwork, endpoint.networkId, endpoint);
        if (endpoint.sandboxId !== null) add(this.#bySandbox, endpoint.sandboxId, endpoint);
        return;
      }
      case PEER_PREFIX:
        if (value === null) this.peers.delete(key);
        else this.peers.set(key, readRecord("peer", key, value, this.#store));
        return;
      case IPAM_PREFIX:
        if (value === null) this.ipam.delete(key);
        else this.ipam.set(key, value);
        return;
    }
  }

  #check(): void {
    for (const endpoint of this.endpoints.values()) {
      const key = `${ENDPOINT_PREFIX}${endpoint.id}`;
      if (!this.networks.has(endpoint.networkId)) throw damagedRecord(this.#store, key, `its network ${endpoint.networkId} is not there`);
      if (endpoint.sandboxId !== null && !this.sandboxes.has(endpoint.sandboxId)) {
        throw damagedRecord(this.#store, key, `its sandbox ${endpoint.sandboxId} is not there`);
      }
    }
    for (const network of this.networks.values()) {
      if (this.#networkIds.get(network.name) !== network.id)
        throw damagedRecord(this.#store, `${NETWORK_PREFIX}${network.id}`, "its name is used twice");
    }
    for (const sandbox of this.sandboxes.values()) {
      if (this.#sandboxIds.get(sandbox.name) !== sandbox.id)
        throw damagedRecord(this.#store, `${SANDBOX_PREFIX}${sandbox.id}`, "its name is used twice");
    }
  }
}

function add(group: Group, key: Id, endpoint: EndpointRecord): void {
  const members = group.get(key);
  if (members === undefined) group.set(key, new Map([[endpoint.id, endpoint]]));
  else members.set(endpoint.id, endpoint);
}

function remove(group: Group, key: Id, endpointId: Id): void {
  const members = group.get(key);
  members?.delete(endpointId);
  if (members?.size === 0) group.delete(key);
}
