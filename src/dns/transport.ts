// Questions to upstream servers over real sockets: a fresh one for each, so that its source port is the kernel's choice each
// time and an answer can't be guessed; connected, so that only the server's datagrams arrive and a closed port is heard of.
//
// Sockets in another namespace come from the addon as descriptors.
import { createSocket } from "node:dgram";
import { connect, isIPv6, Socket } from "node:net";
import type { Native } from "../ports/native.ts";
import { LengthReader, lengthFramed } from "./framing.ts";
import type { Exchange, Server } from "./upstream.ts";

const DNS_PORT = 53;

export type SocketSource = Pick<Native, "openUdp" | "connectTcp" | "closeFd">;

export function socketExchange(sockets: SocketSource): Exchange {
  return (server, bytes, overTcp, timeoutMs, accept) =>
    overTcp ? exchangeTcp(sockets, server, bytes, timeoutMs, accept) : exchangeUdp(sockets, server, bytes, timeoutMs, accept);
}

async function exchangeUdp(
  sockets: SocketSource,
  { address, namespacePath }: Server,
  bytes: Uint8Array,
  timeoutMs: number,
  accept: (answer: Uint8Array) => boolean,
): Promise<Uint8Array> {
  const ipv6 = isIPv6(address);
  const fd = namespacePath === null ? null : await openInside(sockets, namespacePath, ipv6);
  const socket = createSocket(ipv6 ? "udp6" : "udp4");
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((answered, failed) => {
      timer = setTimeout(() => failed(new Error(`${address} did not answer within ${timeoutMs} ms`)), timeoutMs);
      socket.on("error", failed);
      // Anything else on this port: a late or a forged answer.
      socket.on("message", (answer) => accept(answer) && answered(answer));
      const send = (): void => {
        socket.connect(DNS_PORT, address, (error?: Error) => (error === undefined ? socket.send(bytes) : failed(error)));
      };
      if (fd === null) send();
      else socket.bind({ fd }, send);
    });
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

const openInside = (sockets: SocketSource, namespace: string, ipv6: boolean): Promise<number> =>
  sockets.openUdp({
    namespace,
    address: ipv6 ? "::" : "0.0.0.0",
    port: 0,
    gro: false,
    packetInfo: false,
    reusePort: false,
    receiveBufferBytes: 0,
    sendBufferBytes: 0,
  });

async function exchangeTcp(
  sockets: SocketSource,
  { address, namespacePath }: Server,
  bytes: Uint8Array,
  timeoutMs: number,
  accept: (answer: Uint8Array) => boolean,
): Promise<Uint8Array> {
  const socket =
    namespacePath === null
      ? connect(DNS_PORT, address)
      : new Socket({ fd: await sockets.connectTcp(namespacePath, address, DNS_PORT, timeoutMs) });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((answered, failed) => {
      timer = setTimeout(() => failed(new Error(`${address} did not answer within ${timeoutMs} ms`)), timeoutMs);
      socket.on("error", failed);
      socket.on("close", () => failed(new Error(`${address} closed the connection`)));
      const reader = new LengthReader();
      socket.on("data", (chunk) => {
        for (const answer of reader.push(chunk)) if (accept(answer)) answered(answer);
      });
      socket.write(lengthFramed(bytes));
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
