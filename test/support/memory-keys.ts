// The key service's twin: remembers which peers have secrets, and gives figures that a test sets. `stored` outlives a restart.
import type { AssociationView, KeyedPeer, KeyService, PeerSecret } from "../../src/keys/key-service.ts";

export interface StoredSecret {
  readonly vxlanPort: number;
  readonly secret: PeerSecret;
}

export class MemoryKeys implements KeyService {
  readonly stored: Map<string, StoredSecret>;
  associations: AssociationView[] = [];
  rotations = 0;
  /** Called before each change; throws to make it fail. */
  onChange: () => void = () => {};
  /** Thrown by the next call that changes something. */
  failNext: Error | undefined;
  /** Where peers are that are sent to by UDP; null: at home. */
  remote: { readonly address: string; readonly port: number } | null = null;

  /** Whether peers were. */
  heard = true;

  constructor(stored: Map<string, StoredSecret> = new Map()) {
    this.stored = stored;
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async setPeer(address: string, vxlanPort: number, secret: PeerSecret): Promise<void> {
    this.#fail();
    this.stored.set(address, { vxlanPort, secret });
  }

  async removePeer(address: string): Promise<void> {
    this.#fail();
    this.stored.delete(address);
  }

  hasPeer(address: string): boolean {
    return this.stored.has(address);
  }

  peers(): readonly KeyedPeer[] {
    return [...this.stored].sort().map(([address, { secret, vxlanPort }]) => {
      const transport = secret.kind === "seed" ? secret.transport : secret.out.transport;
      return {
        address,
        kind: secret.kind,
        transport,
        vxlanPort,
        index: secret.kind === "seed" ? 7 : null,
        since: "2026-01-31T12:00:00.000Z",
        heard: this.heard,
        remote: transport === "raw" ? null : (this.remote ?? { address, port: 4500 }),
      };
    });
  }

  async rotate(): Promise<void> {
    this.#fail();
    this.rotations++;
  }

  async list(): Promise<readonly AssociationView[]> {
    return this.associations;
  }

  #fail(): void {
    this.onChange();
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw failure;
  }
}
