// Bulk TCP and UDP between namespaces, every byte compared. The programs are in stream.py; servers stand as long as the lab.
import { fileURLToPath } from "node:url";
import type { Background, Host, Lab } from "./hosts.ts";

const PROGRAM = ["/usr/bin/python3", fileURLToPath(new URL("stream.py", import.meta.url))];

export const TCP_PORT = 5001;
export const UDP_PORT = 5002;
const MEGABYTE = 1_000_000;

/** TCP and UDP servers in `host`, for both families; resolves when they listen. */
export async function servers(lab: Lab, host: Host): Promise<void> {
  const commands = ["4", "6"].flatMap((family) => [
    ["serve", family, String(family === "4" ? TCP_PORT : TCP_PORT + 10)],
    ["echo", family, String(family === "4" ? UDP_PORT : UDP_PORT + 10)],
  ]);
  await Promise.all(commands.map((command) => lab.background(host, [...PROGRAM, ...command]).until(/listening/)));
}

function portFor(address: string, port: number): string {
  return String(address.includes(":") ? port + 10 : port);
}

/** Moves megabytes by TCP; throws if the far end saw other bytes. Answers Gbit/s. */
export async function transfer(from: Host, address: string, megabytes: number): Promise<number> {
  const bytes = String(megabytes * MEGABYTE);
  const text = await from.must([...PROGRAM, "send", address, portFor(address, TCP_PORT), bytes], { timeoutMs: 60_000 });
  return Number(/equal ([\d.]+)/.exec(text)![1]);
}

/** One datagram of every size there and back; throws naming the sizes that failed. */
export function datagramSizes(from: Host, address: string, first: number, last: number): Promise<string> {
  return from.must([...PROGRAM, "sizes", address, portFor(address, UDP_PORT), String(first), String(last)], { timeoutMs: 60_000 });
}

/** A stream of numbered datagrams to the echo at `address`, one each `intervalMs`. */
export function sequence(lab: Lab, from: Host, address: string, intervalMs: number): Background {
  return lab.background(from, [...PROGRAM, "sequence", address, portFor(address, UDP_PORT), String(intervalMs)]);
}
