// The sockets by which ESP crosses the underlay: UDP port 4500 (RFC 3948), which passes NATs and may be sent and received many
// datagrams at a time, or IP protocol 50 for peers that want it bare. Each both sends and receives: a NAT's mapping is of one
// port, and so there is no entropy in the source port as VXLAN's own sockets have it.
//
// What the kernel was told of paths they leave aside, as VXLAN's do (path-errors.ts).
import { ESP_UDP_PORT, IP_PROTOCOL_ESP } from "../../wasm/shared/protocol.ts";
import { WeftError } from "../errors.ts";
import { native } from "./native.ts";
import { closeFds, errnoOf, portError } from "./port.ts";

/** As the underlay's: a burst of a batch from several senders fits. */
const BUFFER_BYTES = 8 * 1024 * 1024;

const REMEDIES = { EPERM: "the daemon needs root, or CAP_NET_RAW" };

export type EspTransport = "udp" | "raw";

/** Opens the socket of one underlay address. */
export async function openEsp(namespace: string | null, address: string, transport: EspTransport): Promise<number> {
  const buffers = { receiveBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES };
  let fd: number;
  try {
    fd = await (transport === "raw"
      ? native().openRaw({ namespace, address, protocol: IP_PROTOCOL_ESP, ...buffers })
      : native().openUdp({ namespace, address, port: ESP_UDP_PORT, gro: true, packetInfo: true, reusePort: false, ...buffers }));
  } catch (error) {
    throw espError(address, transport, error);
  }
  try {
    native().ignorePathMtu(fd);
    return fd;
  } catch (error) {
    await closeFds([fd]);
    throw espError(address, transport, error);
  }
}

function espError(address: string, transport: EspTransport, error: unknown): WeftError {
  if (errnoOf(error) === "EADDRINUSE") {
    return new WeftError(
      "ADDRESS_IN_USE",
      `UDP port ${ESP_UDP_PORT} on ${address} is in use by another process (an IKE daemon, or another Weft); end it: encrypted networks need the port`,
      { cause: error },
    );
  }
  const what = transport === "raw" ? `a raw socket for IP protocol ${IP_PROTOCOL_ESP}` : `UDP port ${ESP_UDP_PORT}`;
  return portError(`cannot open ${what} on ${address} for ESP`, error, REMEDIES);
}
