// What routers say of the underlay's paths: a raw socket that hears of too long packets, whose messages the engine holds against what
// it sent (node path-mtu). Sockets beside it leave aside what the kernel was told of paths, for it believes whoever names two addresses
// and ports, and they send whatever the interface takes, unfragmented.
import { native } from "./native.ts";
import { portError } from "./port.ts";

/** Errors are seldom, and whoever floods us with them shall not fill the memory. */
const ERRORS_BYTES = 64 * 1024;

/** Opens the socket by which an underlay address hears of too long packets. */
export async function openPathErrors(namespace: string | null, address: string): Promise<number> {
  try {
    return await native().openTooBig({ namespace, address, receiveBufferBytes: ERRORS_BYTES });
  } catch (error) {
    throw portError(
      `cannot open a raw socket for ICMP on ${address}: of narrow paths the kernel alone will hear, which believes everybody`,
      error,
      { EPERM: "the daemon needs root, or CAP_NET_RAW" },
    );
  }
}
