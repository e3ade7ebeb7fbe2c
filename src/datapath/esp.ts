// ESP's room of the datapath: its sockets, opened when the first association wants them and not before (the port may be
// another's on a host that encrypts nothing); keys on their way to the worker; and what the engine has to say of keys and peers.
//
// When a worker dies its keys die with it, and how far each was used: sending by one of them again might repeat a nonce. So its
// associations are gone, encrypted networks stand still, and whoever declared them is told to derive new ones.
import {
  ESP_EVENT_BYTES,
  ESP_EVENT_FIRST_USE,
  ESP_EVENT_HEADER_LENGTH,
  ESP_EVENT_KIND,
  ESP_EVENT_LOCAL,
  ESP_EVENT_MOVED,
  ESP_EVENT_NEARLY_EXHAUSTED,
  ESP_EVENT_PATH_MTU,
  ESP_EVENT_PLAIN_PATH_MTU,
  ESP_EVENT_PORT,
  ESP_EVENT_SA,
  ESP_EVENT_SENDER,
  ESP_EVENT_SPI,
  ESP_EVENT_UNKNOWN_SPI,
  PROBE_DUMMY,
  PROBE_KEEPALIVE,
} from "../../wasm/shared/abi.ts";
import { ESP_UDP_PORT } from "../../wasm/shared/protocol.ts";
import { unavailable } from "../errors.ts";
import { type EspTransport, openEsp } from "../ports/esp.ts";
import { closeFds } from "../ports/port.ts";
import type { Captures } from "./capture/captures.ts";
import type { AssociationEntry, EspEvent, EspListener } from "./datapath-api.ts";
import type { Declaration } from "./declarations.ts";
import type { Delta } from "./desired/delta.ts";
import { Standing } from "./desired/standing.ts";
import { ALGORITHM_NUMBERS } from "./esp-algorithms.ts";
import type { Plane } from "./plane.ts";
import type { EspPort } from "./tables/host-ports.ts";
import { associationRecords, readAddress } from "./tables/read-back.ts";
import type { AssociationKey } from "./tables/sync.ts";
import { addressBytes, addressText, isIpv6 } from "./words.ts";

interface OpenPort extends EspPort {
  readonly fd: number;
}

export class Esp {
  readonly #plane: Plane;
  readonly #captures: Captures;
  readonly #ports = new Map<string, OpenPort>();
  #listener: EspListener | null = null;

  constructor(plane: Plane, captures: Captures) {
    this.#plane = plane;
    this.#captures = captures;
  }

  onEvent(listener: EspListener): void {
    this.#listener = listener;
  }

  /** Opens the ports that new associations need: before their rows, which name them. */
  async open(delta: Delta): Promise<void> {
    const running = this.#plane.require();
    const { cipher } = running.client;
    if (cipher.by === "none")
      throw unavailable(`there can be no encrypted traffic: no cipher passed (${cipher.reason}); change datapath.crypto, or build again`);
    const opened: OpenPort[] = [];
    try {
      const isOpen = (name: string): boolean => this.#ports.has(name) || opened.some((one) => one.name === name);
      for (const { after } of delta.associations.values()) {
        if (after === undefined) continue;
        const kind: EspTransport = after.udpPort === null ? "raw" : "udp";
        const address = running.addresses.find((own) => isIpv6(own) === isIpv6(after.peer));
        if (address === undefined)
          throw unavailable(`no underlay address of ${after.peer}'s family: --underlay-address gives the daemon one`);
        const name = `${kind === "raw" ? "esp-raw" : "esp"}/${address}`;
        if (isOpen(name)) continue;
        const namespace = running.options.underlayNamespacePath ?? null;
        const { vxlanPort } = running;
        opened.push({ name, kind, address, vxlanPort, fd: await openEsp(namespace, address, kind) });
      }
      if (opened.length > 0) await this.#attach(opened);
    } catch (error) {
      await closeFds(opened.filter(({ name }) => !this.#ports.has(name)).map(({ fd }) => fd));
      throw error;
    }
  }

  async #attach(opened: readonly OpenPort[]): Promise<void> {
    const { tables, standing } = this.#plane;
    const { sync } = this.#plane.require();
    tables.setEspPorts([...this.#ports.values(), ...opened]);
    const attach = opened.map(({ name, fd, kind }) => ({ port: this.#plane.portIndex(name), kind, fds: [fd] }));
    try {
      await sync.apply(tables.markPatch(standing, this.#captures.marks), { release: [], attach });
    } catch (error) {
      tables.setEspPorts([...this.#ports.values()]);
      throw error;
    }
    for (const port of opened) {
      this.#ports.set(port.name, port);
      const framing = port.kind === "raw" ? "raw-esp" : "udp-esp";
      this.#plane.espEnds.set(port.name, { address: addressBytes(port.address), port: ESP_UDP_PORT, sourcePorts: [ESP_UDP_PORT], framing });
    }
  }

  /** Keys of associations that the change brings; their indexes are given. */
  keys(delta: Delta): AssociationKey[] {
    const { associations } = this.#plane.tables.names;
    const keys: AssociationKey[] = [];
    for (const [id, { before, after }] of delta.associations) {
      if (after === undefined || before?.key === after.key) continue;
      keys.push({ slot: associations.indexOf(id)!, algorithm: ALGORITHM_NUMBERS[after.algorithm], key: after.key });
    }
    return keys;
  }

  /** Keys of all that stands: an engine that starts anew has none. */
  allKeys(): AssociationKey[] {
    const { tables, standing } = this.#plane;
    return [...standing.associations.values()].map(({ id, algorithm, key }) => {
      return { slot: tables.names.associations.ensure(id), algorithm: ALGORITHM_NUMBERS[algorithm], key };
    });
  }

  /** The events of one drain of ESP_EVENTS. */
  take(events: Uint8Array): void {
    const view = new DataView(events.buffer, events.byteOffset, events.byteLength);
    for (let at = 8; at + ESP_EVENT_HEADER_LENGTH <= events.length; ) {
      const length = view.getUint32(at + ESP_EVENT_BYTES, true);
      const start = at + ESP_EVENT_HEADER_LENGTH;
      const event = this.#event(view, at, events.slice(start, start + length));
      if (event !== null) this.#listener?.(event);
      at = start + ((length + 7) & ~7);
    }
  }

  /** Null if its association has gone meanwhile. */
  #event(view: DataView, at: number, datagram: Uint8Array): EspEvent | null {
    const address = (field: number): string => addressText(readAddress(view, at + field));
    const sender = { sender: address(ESP_EVENT_SENDER), senderPort: view.getUint16(at + ESP_EVENT_PORT, true) };
    const kind = view.getUint32(at + ESP_EVENT_KIND, true);
    if (kind === ESP_EVENT_UNKNOWN_SPI) {
      return { kind: "unknown-spi", spi: view.getUint32(at + ESP_EVENT_SPI, true), ...sender, local: address(ESP_EVENT_LOCAL), datagram };
    }
    if (kind === ESP_EVENT_PLAIN_PATH_MTU) {
      const peer = this.#plane.tables.names.vteps.nameOf(view.getUint16(at + ESP_EVENT_SA, true));
      const bytes = view.getUint16(at + ESP_EVENT_PORT, true);
      const text = `the path to ${peer} carries packets of ${bytes} bytes only, in the clear, says ${address(ESP_EVENT_SENDER)}`;
      this.#plane.log("warn", text, { peer, bytes });
      return null;
    }
    const id = this.#plane.tables.names.associations.nameOf(view.getUint16(at + ESP_EVENT_SA, true));
    const association = id === undefined ? undefined : this.#plane.standing.associations.get(id);
    if (association === undefined || association.spi !== view.getUint32(at + ESP_EVENT_SPI, true)) return null;
    switch (kind) {
      case ESP_EVENT_FIRST_USE:
        return { kind: "first-use", association: association.id };
      case ESP_EVENT_NEARLY_EXHAUSTED:
        return { kind: "nearly-exhausted", association: association.id };
      case ESP_EVENT_MOVED:
        return { kind: "moved", association: association.id, ...sender };
      case ESP_EVENT_PATH_MTU:
        return {
          kind: "path-mtu",
          association: association.id,
          router: address(ESP_EVENT_SENDER),
          bytes: view.getUint16(at + ESP_EVENT_PORT, true),
        };
      default:
        return null;
    }
  }

  /** What stands, with how far it is used. */
  async associations(): Promise<readonly AssociationEntry[]> {
    const { tables, standing } = this.#plane;
    const { client } = this.#plane.require();
    const limits = { domains: 0, ports: 0, vteps: tables.names.vteps.limit, associations: tables.names.associations.limit };
    const entries: AssociationEntry[] = [];
    for (const { index, ...figures } of associationRecords(await client.request({ kind: "entries", ...limits }))) {
      const declared = standing.associations.get(tables.names.associations.nameOf(index) ?? "");
      if (declared === undefined) continue;
      const { key: _, ...rest } = declared;
      entries.push({ ...rest, ...figures });
    }
    return entries;
  }

  /** Sends a datagram of the tunnel's own to a peer, by its current association; false if it has none. */
  async probe(peer: string, what: "dummy" | "keepalive"): Promise<boolean> {
    const vtep = this.#plane.tables.names.vteps.indexOf(peer);
    if (vtep === undefined) return false;
    const { client } = this.#plane.require();
    const { sent } = await client.request({ kind: "probe", vtep, what: what === "dummy" ? PROBE_DUMMY : PROBE_KEEPALIVE });
    return sent > 0;
  }

  /** The worker died: nothing is sent by its keys again. Answers descriptors that are to be closed. */
  lose(): number[] {
    const fds = [...this.#ports.values()].map(({ fd }) => fd);
    this.#ports.clear();
    this.#plane.espEnds.clear();
    this.#plane.tables.setEspPorts([]);
    const { standing } = this.#plane;
    if (standing.associations.size === 0) return fds;
    const owners = new Map<string, Declaration>();
    for (const [owner, declaration] of standing.declarations) owners.set(owner, { ...declaration, associations: [] });
    this.#plane.standing = Standing.of(owners);
    this.#listener?.({ kind: "lost" });
    return fds;
  }

  /** The datapath stops, and the worker has let go of its descriptors. */
  async close(): Promise<void> {
    const fds = [...this.#ports.values()].map(({ fd }) => fd);
    this.#ports.clear();
    this.#plane.espEnds.clear();
    await closeFds(fds);
  }
}
