// Who may be in an encrypted network: peers whose address has a secret. The rules that keep plaintext hosts out of it:
//
//   a peer of that network alone      refused without a secret
//   a peer of all networks            left out of encrypted ones, which is said wherever the network or the peer is shown
//   an address                        has one secret, whatever networks it is in: it comes with the first of its records and
//                                     goes with the last
//
// The key service stores secrets by itself, so that they and the peer's record are two writes. Adding writes the secret first,
// removing the record: what a crash leaves between is a secret without a record, which the next start removes. (Which is why
// an address that is there already is given none: what a crash left would be in force.)
import type { Driver } from "../../drivers/driver.ts";
import { alreadyExists, forbidden, unavailable } from "../../errors.ts";
import type { PeerSecret } from "../../keys/key-service.ts";
import type { NetworkRecord, PeerRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";
import { byName } from "../names.ts";

type Keyed = Pick<Context, "drivers" | "keys" | "state">;

export function isEncrypted({ drivers }: Pick<Context, "drivers">, network: NetworkRecord): boolean {
  const driver: Driver = drivers.get(network.driver);
  return driver.encrypts?.(network) ?? false;
}

const hasKeys = ({ keys }: Keyed, { address }: PeerRecord): boolean => keys?.hasPeer(address) ?? false;

/** All peers but those that may not be in this network, for its driver to choose from. */
export function admissiblePeers(context: Keyed, network: NetworkRecord): PeerRecord[] {
  const peers = [...context.state.peers.values()];
  return isEncrypted(context, network) ? peers.filter((peer) => hasKeys(context, peer)) : peers;
}

/** Addresses that would be in this network if they had keys. */
export function leftOut(context: Keyed, network: NetworkRecord): string[] {
  if (!isEncrypted(context, network)) return [];
  const peers = [...context.state.peers.values()].filter(({ networkId }) => networkId === null || networkId === network.id);
  return [...new Set(peers.filter((peer) => !hasKeys(context, peer)).map(({ address }) => address))].sort();
}

export const leftOutText = (network: NetworkRecord, address: string): string =>
  `network ${network.name} is encrypted and peer ${address} has no keys: it is left out; remove it and add it again with --key-file or --sa-file`;

/** Of all encrypted networks, for the daemon's operator. */
export function keyWarnings(context: Keyed & Pick<Context, "host">): string[] {
  const { by, reason } = context.host.cipher();
  return [...context.state.networks.values()]
    .filter((network) => isEncrypted(context, network))
    .sort(byName)
    .flatMap((network) => [
      ...(by === "none" ? [`network ${network.name} is encrypted and reaches no other host: this one has no cipher (${reason})`] : []),
      ...leftOut(context, network).map((address) => leftOutText(network, address)),
    ]);
}

/** Names of the encrypted networks that this peer is left out of. */
export function leftOutOf(context: Keyed, peer: PeerRecord): string[] {
  if (hasKeys(context, peer)) return [];
  return [...context.state.networks.values()]
    .filter((network) => (peer.networkId === null || peer.networkId === network.id) && isEncrypted(context, network))
    .map(({ name }) => name)
    .sort();
}

/** Throws if the peer, as it is to be added, can't be what is asked. `network` null: of all. */
export function checkPeerKeys(
  context: Context,
  address: string,
  port: number,
  network: NetworkRecord | null,
  secret: PeerSecret | undefined,
): void {
  const keyed = context.keys?.peers().find((one) => one.address === address);
  if (secret === undefined) {
    if (keyed !== undefined && keyed.vxlanPort !== port) {
      // ESP wraps the tunnel of one port.
      throw forbidden(
        `peer ${address} has keys and so one port for all its networks, which is ${keyed.vxlanPort}: give --port ${keyed.vxlanPort}, not ${port}`,
      );
    }
    if (keyed !== undefined || network === null || !isEncrypted(context, network)) return;
    throw forbidden(
      `network ${network.name} is encrypted and peer ${address} has no keys: give --key-file FILE (of \`weft cluster keys new\`, the same on both hosts), or --sa-file FILE for a peer that is not Weft`,
    );
  }
  if (keyed !== undefined)
    throw alreadyExists(
      `peer ${address} has keys already, and an address has one secret: leave out --key-file and --sa-file, or remove the peer and add it anew`,
    );
  const { by, reason } = context.host.cipher();
  if (context.keys === undefined || by === "none")
    throw unavailable(`peer ${address} can't have keys: this host has no cipher that passes its test (${reason}); change datapath.crypto`);
  const without = [...context.state.peers.values()].find((peer) => peer.address === address);
  if (without !== undefined) {
    const where =
      without.networkId === null ? "" : ` --network ${context.state.networks.get(without.networkId)?.name ?? without.networkId}`;
    throw forbidden(`peer ${address} is there without keys: remove it first (weft peer rm${where} ${address}), then add it with its keys`);
  }
}

/** Takes back secrets that no peer's record is for any more. `removed`: whose record has gone now; its secret may be one that was left out. */
export async function forgetKeys({ keys, state }: Pick<Context, "keys" | "state">, removed: readonly string[] = []): Promise<void> {
  const known = new Set([...state.peers.values()].map(({ address }) => address));
  const keyed = keys?.peers().map(({ address }) => address) ?? [];
  for (const address of new Set([...keyed, ...removed])) if (!known.has(address)) await keys?.removePeer(address);
}
