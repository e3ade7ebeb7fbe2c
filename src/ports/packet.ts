// A packet socket on an interface of the host, the parent of macvlan networks: all their VLANs by one socket, since each packet
// socket on an interface is handed a copy of every frame.
//
// The parent's network card is told each sandbox's MAC (PACKET_MR_UNICAST) rather than made promiscuous: a card has filters for
// some dozens of MACs and takes to promiscuity by itself when they run out, so the kernel knows better than we when it is
// needed. Groups are let in all (PACKET_MR_ALLMULTI): which of them a sandbox listens to only its kernel knows. Promiscuous
// by request is a parent in passthru only. All of it belongs to the socket and ends with it, after a kill -9 too.
import { native } from "./native.ts";
import { portError } from "./port.ts";

/** A burst of super-frames; the kernel doubles it for its own bookkeeping. */
const BUFFER_BYTES = 8 * 1024 * 1024;

const REMEDIES: Readonly<Record<string, string>> = {
  ENODEV: "does the interface exist? `ip link` lists those there are",
  EPERM: "the daemon needs root, or CAP_NET_RAW and CAP_NET_ADMIN",
};

/** Which frames a socket lets in. */
export interface Listening {
  readonly macs: ReadonlySet<string>;
  readonly promiscuous: boolean;
}

export const DEAF: Listening = { macs: new Set(), promiscuous: false };

/** Opens a socket on the interface, which lets groups in and no unicast. */
export async function openPacketPort(interfaceName: string): Promise<number> {
  const options = { namespace: null, name: interfaceName, receiveBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES };
  try {
    return await native().openPacket(options);
  } catch (error) {
    throw portError(`cannot open a packet socket on interface ${interfaceName}`, error, REMEDIES);
  }
}

/** From `now` to `wanted`. */
export function listenPacketPort(fd: number, now: Listening, wanted: Listening): void {
  native().listenPacket(fd, {
    macs: [...wanted.macs],
    add: [...wanted.macs].filter((mac) => !now.macs.has(mac)),
    remove: [...now.macs].filter((mac) => !wanted.macs.has(mac)),
    promiscuous: wanted.promiscuous,
    wasPromiscuous: now.promiscuous,
  });
}

/** Whether the socket still has its interface. */
export const hasInterface = (fd: number): boolean => native().packetHasInterface(fd);
