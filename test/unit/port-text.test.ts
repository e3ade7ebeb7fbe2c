// Published ports as Docker writes them, from what the daemon says of them.
import { expect, it } from "vitest";
import { bindings, portBindings, portsText } from "../../src/cli/port-text.ts";

const place = (address: string, port: number) => ({ address, port });
const PORTS = [
  { ...{ protocol: "tcp", hostAddress: "", hostPort: 8080, port: 80, count: 1 }, places: [place("0.0.0.0", 8080), place("10.1.0.2", 80)] },
  { ...{ protocol: "udp", hostAddress: "::1", hostPort: 9000, port: 90, count: 2 }, places: [place("::1", 9000)] },
  { ...{ protocol: "sctp", hostAddress: "", hostPort: 7000, port: 70, count: 3 }, places: [] },
];
const ANYWHERE = { hostAddress: "", hostPortFirst: 0, hostPortLast: 0 };
const EXPOSED = [
  { ...ANYWHERE, protocol: "udp", portFirst: 91, portLast: 92 },
  { ...ANYWHERE, protocol: "sctp", portFirst: 70, portLast: 70 },
];

it("are ranges in a table, each at all its places", () => {
  expect(portsText({ ports: PORTS })).toBe("0.0.0.0:8080->80/tcp, 10.1.0.2:80->80/tcp, [::1]:9000-9001->90-91/udp");
});

it("are one by one in lists", () => {
  expect(bindings({ ports: PORTS })).toEqual([
    { key: "80/tcp", HostIp: "0.0.0.0", HostPort: "8080" },
    { key: "80/tcp", HostIp: "10.1.0.2", HostPort: "80" },
    { key: "90/udp", HostIp: "::1", HostPort: "9000" },
    { key: "91/udp", HostIp: "::1", HostPort: "9001" },
  ]);
});

it("that are reached nowhere are exposed all the same", () => {
  expect(portBindings({ ports: PORTS, exposed: EXPOSED })).toEqual({
    "80/tcp": [
      { HostIp: "0.0.0.0", HostPort: "8080" },
      { HostIp: "10.1.0.2", HostPort: "80" },
    ],
    "90/udp": [{ HostIp: "::1", HostPort: "9000" }],
    "91/udp": [{ HostIp: "::1", HostPort: "9001" }],
    "92/udp": null,
    "70/sctp": null,
  });
});
