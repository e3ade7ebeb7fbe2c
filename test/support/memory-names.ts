// A name service that only notes whom it serves. Like the real one it dies with its daemon, while a sandbox's files stay.

import type { NameRecords, NameService } from "../../src/dns/names.ts";
import type { SandboxRecord } from "../../src/records/records.ts";
import type { MemoryNamespaces } from "./memory-namespaces.ts";

export class MemoryNames implements NameService {
  /** Names of sandboxes, with the networks that they were told they are on. */
  readonly served = new Map<string, readonly string[]>();
  readonly #namespaces: MemoryNamespaces;
  records: NameRecords | undefined;

  constructor(namespaces: MemoryNamespaces) {
    this.#namespaces = namespaces;
  }

  follow(records: NameRecords): void {
    this.records = records;
  }

  async open(sandbox: SandboxRecord): Promise<void> {
    this.#namespaces.onChange(`serve names ${sandbox.namespacePath}`);
    this.#namespaces.at(sandbox.namespacePath);
    this.#tell(sandbox);
  }

  async refresh(sandbox: SandboxRecord): Promise<void> {
    this.#namespaces.onChange(`write files ${sandbox.name}`);
    this.#tell(sandbox);
  }

  async close(sandbox: SandboxRecord, namespaceStays: boolean): Promise<void> {
    this.#namespaces.onChange(`serve no names ${sandbox.namespacePath}`);
    if (namespaceStays) this.#namespaces.at(sandbox.namespacePath);
    this.served.delete(sandbox.name);
    this.#namespaces.sandboxFiles.delete(sandbox.id);
  }

  async prune(): Promise<void> {}

  hasFiles(id: string): boolean {
    return this.#namespaces.sandboxFiles.has(id);
  }

  #tell(sandbox: SandboxRecord): void {
    this.#namespaces.sandboxFiles.add(sandbox.id);
    this.served.set(
      sandbox.name,
      this.records!.attachments(sandbox.id).map(({ network }) => network.name),
    );
  }
}
