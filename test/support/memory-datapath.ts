// The datapath's twin: keeps what is declared, refuses what a real one would refuse, and makes TAPs in a twin of the kernel.
// A new one on the same kernel is a daemon that was started again: its tables are empty, the TAPs are there.
import {
  type Datapath,
  type Declaration,
  domainOf,
  type PortDeclaration,
  type TapPortDeclaration,
} from "../../src/datapath/declarations.ts";
import { unavailable } from "../../src/errors.ts";
import type { MemoryNamespaces } from "./memory-namespaces.ts";

export class MemoryDatapath implements Datapath {
  readonly declared = new Map<string, Declaration>();
  /** Called before each change with "declare <owner>" or "withdraw <owner>"; throws to make it fail. */
  onChange: (what: string) => void | Promise<void> = () => {};
  readonly #namespaces: MemoryNamespaces;

  constructor(namespaces: MemoryNamespaces) {
    this.#namespaces = namespaces;
  }

  async declare(owner: string, declaration: Declaration, opened?: () => void): Promise<void> {
    await this.onChange(`declare ${owner}`);
    this.#refuse(owner, declaration);
    const before = this.declared.get(owner);
    this.declared.set(owner, declaration);
    for (const port of taps(declaration.ports)) this.#namespaces.addLink(port.namespacePath, port.interfaceName);
    opened?.();
    this.#closePorts(before?.ports ?? [], declaration.ports ?? []);
  }

  async withdraw(owner: string): Promise<void> {
    await this.onChange(`withdraw ${owner}`);
    const before = this.declared.get(owner);
    const permits = [...this.declared].filter(([name]) => name !== owner).flatMap(([, other]) => other.permits ?? []);
    for (const { id } of before?.ports ?? []) {
      if (permits.some(({ client, server }) => client === id || server === id)) throw unavailable(`a permit stands on port ${id}`);
    }
    this.declared.delete(owner);
    this.#closePorts(before?.ports ?? [], []);
  }

  async declareAll(declarations: ReadonlyMap<string, Declaration>): Promise<ReadonlyMap<string, Error>> {
    const failures = new Map<string, Error>();
    // Domains first: owners come in any order.
    const ordered = [...declarations].sort(([, a], [, b]) => (b.domains?.length ?? 0) - (a.domains?.length ?? 0));
    for (const [owner, declaration] of ordered) {
      try {
        await this.declare(owner, declaration);
      } catch (error) {
        failures.set(owner, error as Error);
      }
    }
    return failures;
  }

  all<K extends keyof Declaration>(kind: K): NonNullable<Declaration[K]>[number][] {
    return [...this.declared.values()].flatMap((declaration) => (declaration[kind] ?? []) as NonNullable<Declaration[K]>[number][]);
  }

  /** Of all owners. */
  get taps(): TapPortDeclaration[] {
    return taps(this.all("ports"));
  }

  #refuse(owner: string, declaration: Declaration): void {
    const others = [...this.declared].filter(([name]) => name !== owner).map(([, other]) => other);
    const everything = [...others, declaration];
    const domains = everything.flatMap((one) => one.domains ?? []);
    const ports = everything.flatMap((one) => taps(one.ports));
    refuseTwins(domains.filter(({ id }) => !id.startsWith("parent/")).map(({ id }) => `domain ${id}`));
    refuseTwins(domains.filter(({ vni }) => vni !== null).map(({ vni }) => `VNI ${vni}`));
    refuseTwins(ports.map(({ id }) => `port ${id}`));
    refuseTwins(ports.map(({ namespacePath, interfaceName }) => `interface ${interfaceName} in ${namespacePath}`));
    refuseTwins(everything.flatMap((one) => one.fdb ?? []).map(({ domain, mac }) => `MAC ${mac} in ${domain}`));
    const known = new Set(domains.map(({ id }) => id));
    const places = (declaration.ports ?? []).map(domainOf).filter((domain) => domain !== null);
    for (const { domain } of [
      ...places.map((domain) => ({ domain })),
      ...(declaration.fdb ?? []),
      ...(declaration.neighbors ?? []),
      ...(declaration.vteps ?? []),
    ]) {
      if (!known.has(domain)) throw unavailable(`domain ${domain} is not declared`);
    }
    const standing = new Set(ports.map(({ id }) => id));
    for (const { client, server } of everything.flatMap((one) => one.permits ?? [])) {
      if (!standing.has(client) || !standing.has(server))
        throw unavailable(`a permit is for port ${client} or ${server}, which is not declared`);
    }
    for (const port of taps(declaration.ports)) {
      if (Buffer.byteLength(port.interfaceName) > 15) throw unavailable(`interface name ${port.interfaceName} is too long`);
      if (!this.#namespaces.byPath.has(port.namespacePath)) throw unavailable(`${port.namespacePath} is not a network namespace`);
    }
  }

  #closePorts(before: readonly PortDeclaration[], after: readonly PortDeclaration[]): void {
    for (const port of taps(before)) {
      if (!after.some(({ id }) => id === port.id)) this.#namespaces.deleteLink(port.namespacePath, port.interfaceName);
    }
  }
}

const taps = (ports: readonly PortDeclaration[] = []): TapPortDeclaration[] => ports.filter((port) => port.kind === "tap");

function refuseTwins(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw unavailable(`${name} is declared twice`);
    seen.add(name);
  }
}
