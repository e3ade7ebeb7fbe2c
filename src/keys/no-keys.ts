// The key service of a daemon that has none: no peer has keys, and whoever brings some hears why they can't be used.
import { unavailable } from "../errors.ts";
import type { AssociationView, KeyedPeer, KeyService } from "./key-service.ts";

export class NoKeys implements KeyService {
  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async setPeer(address: string): Promise<void> {
    throw unavailable(`peer ${address} can't have keys: this daemon derives none`);
  }

  async removePeer(): Promise<void> {}

  hasPeer(): boolean {
    return false;
  }

  peers(): readonly KeyedPeer[] {
    return [];
  }

  async rotate(): Promise<void> {}

  async list(): Promise<readonly AssociationView[]> {
    return [];
  }
}
