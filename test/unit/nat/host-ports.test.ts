// Ports held on this host's loopback: what is refused, and with what words.
import { afterEach, expect, it } from "vitest";
import { HostPorts } from "../../../src/nat/host-ports.ts";
import type { HostPort, Publication } from "../../../src/nat/types.ts";
import { native } from "../../../src/ports/native.ts";

const made: HostPorts[] = [];
afterEach(() => {
  for (const ports of made.splice(0)) ports.close();
});
const holding = (files: number): HostPorts => {
  const ports = new HostPorts(native(), files);
  made.push(ports);
  return ports;
};
/** Addresses of the loopback that nothing else of this machine uses. */
const at = (last: number, count = 1): HostPort => ({ protocol: "tcp", hostAddress: `127.9.9.${last}`, hostPort: 9, count });
const published = (port: HostPort): Publication => ({
  ...port,
  ...{ family: 4, interfaceName: "br", mode: "nat", target: "10.0.0.2", targetPort: 9 },
});

it("holds no more than half of the files that may be open, and says what to do", () => {
  const ports = holding(6);
  for (const last of [1, 2, 3]) ports.reserve(at(last));
  expect(() => ports.reserve(at(4))).toThrow(
    /failed to bind host port 127\.9\.9\.4:9\/tcp: the daemon holds 3 ports, half of the files that it may open: publish a range/,
  );
  ports.reserve(at(4, 2)); // ranges are not held
  ports.reserve(at(3)); // it has that one
  const lost = ports.follow(
    [1, 2, 3, 4].map((last) => published(at(last))),
    [],
  );
  expect(lost).toEqual([{ ...published(at(4)), reason: expect.stringContaining("the daemon holds 3 ports") }]);
  // What is no longer published makes room.
  expect(ports.follow([published(at(4))], [])).toEqual([]);
  ports.reserve(at(1));
});

it("names a port that a program has", () => {
  holding(100).reserve(at(5));
  const other = holding(100);
  expect(() => other.reserve(at(5))).toThrow("failed to bind host port 127.9.9.5:9/tcp: address already in use");
  expect(other.follow([published(at(5))], [])).toEqual([{ ...published(at(5)), reason: expect.stringContaining("EADDRINUSE") }]);
});

it("does not take what it holds itself for IPv6 for somebody's who has the port of IPv4", () => {
  const ports = holding(100);
  const port = { protocol: "tcp", hostAddress: "::", hostPort: 9, count: 1 } as const;
  const range = { protocol: "tcp", hostAddress: "0.0.0.0", hostPort: 8, count: 3 } as const;
  ports.reserve(port);
  ports.reserve(range);
  expect(() => holding(100).reserve(range)).toThrow("failed to bind host port 0.0.0.0:9/tcp: address already in use");
});
