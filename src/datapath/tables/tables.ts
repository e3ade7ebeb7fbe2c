// The only writer of engine tables. What shall be true becomes an image, or what of it changes a patch; and the image of what the
// engine has is kept here, so that the difference of the two is what the worker is sent.
//
// Not here: one entry's rows (rows.ts), sending (sync.ts), merging owners (desired/), TAPs (taps.ts).
import type { Change, Delta } from "../desired/delta.ts";
import type { Desired } from "../desired/desired.ts";
import { emptyImage, emptyPatch, type Image, type KeyedRow, keyed, type Patch, put, putKeyed } from "./diff.ts";
import { type EspPort, HostPorts, type UnderlayPort } from "./host-ports.ts";
import type { CaptureMarks } from "./marks.ts";
import { Names } from "./names.ts";
import type { Row } from "./ops.ts";
import { Rows } from "./rows.ts";

export class Tables {
  readonly names = new Names();
  /** What the engine has, as far as we know. */
  image: Image = emptyImage();
  readonly #hostPorts = new HostPorts();
  readonly #rows = new Rows(this.names, this.#hostPorts);

  /** The host's own ports; before anything is declared. */
  setUnderlays(underlays: readonly UnderlayPort[]): void {
    this.#hostPorts.underlays = underlays;
    for (const { name, errors } of underlays) {
      this.names.ports.ensure(name);
      if (errors !== null) this.names.ports.ensure(errors);
    }
  }

  /** The ESP ports that are open; before an association is declared that needs one. */
  setEspPorts(ports: readonly EspPort[]): void {
    this.#hostPorts.espPorts = ports;
    for (const { name } of ports) this.names.ports.ensure(name);
  }

  /** As new: the engine is gone. */
  clear(): void {
    this.#hostPorts.clear();
    this.names.clear();
    this.image = emptyImage();
  }

  get espPorts(): readonly EspPort[] {
    return this.#hostPorts.espPorts;
  }

  get underlays(): readonly UnderlayPort[] {
    return this.#hostPorts.underlays;
  }

  /** The engine's tables when `desired` is true. Names that are new get indexes; throws RESOURCE_EXHAUSTED if there are none left. */
  imageOf(desired: Desired, marks: CaptureMarks): Image {
    const image = emptyImage();
    for (const row of this.#markedRows(desired, marks)) put(image, row);
    for (const host of desired.hosts.values()) put(image, this.#rows.host(host));
    for (const association of desired.associations.values()) {
      put(image, this.#rows.association(association));
      if (association.current) put(image, this.#rows.policy(association));
    }
    for (const vtep of desired.vteps.values()) put(image, this.#rows.member(vtep));
    for (const entry of desired.fdb.values()) putKeyed(image, this.#rows.fdb(entry));
    for (const neighbor of desired.neighbors.values()) putKeyed(image, this.#rows.neighbor(neighbor));
    for (const permit of desired.permits.values()) put(image, this.#rows.permit(permit));
    return image;
  }

  /** What of the image becomes another by a change, of a state whose names have their indexes. New ones get theirs. */
  patchOf(delta: Delta, marks: CaptureMarks): Patch {
    const patch = emptyPatch();
    const add = <T>(changes: ReadonlyMap<string, Change<T>>, rowOf: (entry: T) => KeyedRow): void => {
      for (const { before, after } of changes.values()) {
        const { table, key, row } = rowOf((after ?? before)!);
        patch[table].set(key, after === undefined ? null : row);
      }
    };
    add(delta.domains, (domain) => keyed(this.#rows.domain(domain, marks)));
    add(delta.ports, (port) => keyed(this.#rows.port(port, marks)));
    for (const { before, after } of delta.ports.values()) {
      const bound = [after, before].find((port) => port?.kind === "uplink");
      if (bound === undefined) continue;
      const row = this.#rows.uplink(bound);
      if (row !== null) patch.uplinks.set(row[1]!, bound === after ? row : null);
    }
    add(delta.hosts, (host) => keyed(this.#rows.host(host)));
    add(delta.associations, (association) => keyed(this.#rows.association(association)));
    this.#addPolicies(patch, delta);
    add(delta.vteps, (vtep) => keyed(this.#rows.member(vtep)));
    add(delta.fdb, (entry) => this.#rows.fdb(entry));
    add(delta.neighbors, (neighbor) => this.#rows.neighbor(neighbor));
    add(delta.permits, (permit) => keyed(this.#rows.permit(permit)));
    return patch;
  }

  /** What becomes another when the marks of captures do. */
  markPatch(desired: Desired, marks: CaptureMarks): Patch {
    const patch = emptyPatch();
    for (const made of this.#markedRows(desired, marks)) {
      const { table, key, row } = keyed(made);
      patch[table].set(key, row);
    }
    return patch;
  }

  /** Rows of what bears a capture's marks: domains and ports, the underlay's included. */
  *#markedRows(desired: Desired, marks: CaptureMarks): Generator<Row> {
    for (const domain of desired.domains.values()) yield this.#rows.domain(domain, marks);
    for (const underlay of this.#hostPorts.underlays) yield* this.#rows.underlay(underlay, marks);
    for (const esp of this.#hostPorts.espPorts) yield* this.#rows.esp(esp, marks);
    for (const port of desired.ports.values()) {
      yield this.#rows.port(port, marks);
      const uplink = this.#rows.uplink(port);
      if (uplink !== null) yield uplink;
    }
  }

  /** Peers that get another association, and those that are left with none. */
  #addPolicies(patch: Patch, delta: Delta): void {
    for (const { before } of delta.associations.values()) {
      if (before?.current) patch.policies.set(this.names.vteps.ensure(before.peer), null);
    }
    for (const { after } of delta.associations.values()) {
      if (after?.current) patch.policies.set(this.names.vteps.ensure(after.peer), this.#rows.policy(after));
    }
  }
}
