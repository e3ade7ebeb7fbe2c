// The underlay port of one address: the sockets that VXLAN datagrams cross the physical network by.
//
// One socket bound to address and VXLAN port receives. ENTROPY_SOCKETS others send, each from a source port of its own in
// 49152-65535: the engine chooses one by the hash of the inner flow, and so routers and network cards spread flows over
// paths and queues, as RFC 7348 section 5 asks, while the frames of one flow stay in order. The receiving socket never sends.
// One more hears what routers say of the paths; where it can't be had, the senders go on believing the kernel.
import { ENTROPY_SOCKETS } from "../../wasm/shared/limits.ts";
import { ENTROPY_PORT_MIN } from "../../wasm/shared/protocol.ts";
import { addressInUse, WeftError } from "../errors.ts";
import { native } from "./native.ts";
import { openPathErrors } from "./path-errors.ts";
import { closeFds, errnoOf, portError } from "./port.ts";

const ENTROPY_PORT_END = 65536;
/** A burst of 16 receives of 64 KB fits; the kernel doubles it for its own bookkeeping. */
const BUFFER_BYTES = 8 * 1024 * 1024;

export interface UnderlaySockets {
  readonly address: string;
  readonly port: number;
  /** [0] receives; the others send. */
  readonly fds: readonly number[];
  readonly sourcePorts: readonly number[];
  /** Hears of too long packets. */
  readonly errorsFd: number | null;
}

/** All descriptors of the port. */
export const descriptorsOf = ({ fds, errorsFd }: UnderlaySockets): number[] => (errorsFd === null ? [...fds] : [...fds, errorsFd]);

function open(namespace: string | null, address: string, port: number, receives: boolean): Promise<number> {
  return native().openUdp({
    namespace,
    address,
    port,
    gro: receives,
    packetInfo: receives, // the engine knows a tunnel in this tunnel by the address that was reached
    reusePort: false,
    receiveBufferBytes: receives ? BUFFER_BYTES : 4096,
    sendBufferBytes: BUFFER_BYTES,
  });
}

/** Source ports to try, spread over the range from a starting point that differs between daemons of one host. */
function* sourcePortCandidates(start: number): Generator<number> {
  const size = ENTROPY_PORT_END - ENTROPY_PORT_MIN;
  const stride = 1021; // odd, so it visits all of a range of 2^14
  for (let i = 0, at = start % size; i < size; i++, at = (at + stride) % size) yield ENTROPY_PORT_MIN + at;
}

/**
 * Opens all sockets of one underlay address. `seed` chooses where in the range the source ports begin; `warn` is told what was left
 * out.
 */
export async function openUnderlay(
  namespace: string | null,
  address: string,
  port: number,
  seed: number,
  warn: (message: string) => void,
): Promise<UnderlaySockets> {
  const fds: number[] = [];
  const sourcePorts: number[] = [];
  let errorsFd: number | null = null;
  try {
    fds.push(await open(namespace, address, port, true));
    const candidates = sourcePortCandidates(seed);
    while (sourcePorts.length < ENTROPY_SOCKETS) {
      const { value: candidate, done } = candidates.next();
      if (done)
        throw addressInUse(
          `${address}: no ${ENTROPY_SOCKETS} UDP ports free in ${ENTROPY_PORT_MIN}-${ENTROPY_PORT_END - 1} to send VXLAN from; end what holds them`,
        );
      if (candidate === port) continue;
      try {
        fds.push(await open(namespace, address, candidate, false));
        sourcePorts.push(candidate);
      } catch (error) {
        if (errnoOf(error) !== "EADDRINUSE") throw error;
      }
    }
    errorsFd = await hear(namespace, address, warn);
    if (errorsFd !== null) for (const fd of fds) native().ignorePathMtu(fd);
    return { address, port, fds, sourcePorts, errorsFd };
  } catch (error) {
    await closeFds(errorsFd === null ? fds : [...fds, errorsFd]);
    throw underlayError(address, port, error);
  }
}

async function hear(namespace: string | null, address: string, warn: (message: string) => void): Promise<number | null> {
  try {
    return await openPathErrors(namespace, address);
  } catch (error) {
    warn((error as Error).message);
    return null;
  }
}

function underlayError(address: string, port: number, error: unknown): WeftError {
  if (error instanceof WeftError) return error;
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return new WeftError(
        "ADDRESS_IN_USE",
        `UDP port ${port} on ${address} is in use by another process (another daemon, or a kernel VXLAN device); end it or choose another --vxlan-port`,
        { cause: error },
      );
    case "EADDRNOTAVAIL":
      return new WeftError(
        "INVALID_ARGUMENT",
        `underlay address ${address} is not an address of this host; \`ip address\` lists those it has, --underlay-address chooses one`,
        { cause: error },
      );
    default:
      return portError(`cannot open VXLAN sockets on ${address} port ${port}`, error);
  }
}
