import { describe, expect, it } from "vitest";
import { parseExposed, parsePortSpec } from "../../../src/net/port-spec.ts";

const tcp = (hostAddress: string | null, host: [number, number] | null, port: number, last = port, protocol = "tcp") => ({
  protocol,
  hostAddress,
  hostPorts: host === null ? null : { first: host[0], last: host[1] },
  ports: { first: port, last },
});

describe("-p", () => {
  it.each([
    ["80", tcp(null, null, 80)],
    ["8080:80", tcp(null, [8080, 8080], 80)],
    ["8080:80/udp", tcp(null, [8080, 8080], 80, 80, "udp")],
    ["8080:80/UDP", tcp(null, [8080, 8080], 80, 80, "udp")],
    ["80/sctp", tcp(null, null, 80, 80, "sctp")],
    [":80", tcp(null, null, 80)],
    ["0:80", tcp(null, null, 80)],
    ["127.0.0.1:8080:80", tcp("127.0.0.1", [8080, 8080], 80)],
    ["127.0.0.1::80", tcp("127.0.0.1", null, 80)],
    ["0.0.0.0:8080:80", tcp("0.0.0.0", [8080, 8080], 80)],
    ["8000-8010:80", tcp(null, [8000, 8010], 80)],
    ["8000-8010:80-90", tcp(null, [8000, 8010], 80, 90)],
    ["80-90", tcp(null, null, 80, 90)],
    ["[::1]:80:80", tcp("::1", [80, 80], 80)],
    ["[::]:8080:80", tcp("::", [8080, 8080], 80)],
    ["[2001:0db8::0001]::80/tcp", tcp("2001:db8::1", null, 80)],
    ["[::ffff:192.0.2.1]:8080:80", tcp("192.0.2.1", [8080, 8080], 80)],
    ["10000-19999:10000-19999/udp", tcp(null, [10000, 19999], 10000, 19999, "udp")],
  ])("%s", (text, expected) => {
    expect(parsePortSpec(text)).toEqual(expected);
  });

  it.each([
    ["", "no port specified: <empty>"],
    ["8080:", "no port specified: 8080:<empty>"],
    ["abc", "invalid containerPort: abc"],
    ["0", "invalid containerPort: 0"],
    ["65536", "invalid containerPort: 65536"],
    ["90-80", "invalid containerPort: 90-80"],
    ["80-", "invalid containerPort: 80-"],
    ["abc:80", "invalid hostPort: abc"],
    ["65536:80", "invalid hostPort: 65536"],
    ["8010-8000:80", "invalid hostPort: 8010-8000"],
    ["80:80/icmp", "invalid proto: icmp"],
    ["80/", "invalid proto: "],
    ["8000-8010:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8010"],
    ["8000:80-81", "invalid ranges specified for container and host Ports"],
    ["localhost:80:80", "invalid IP address: localhost"],
    ["::1:80:80", "invalid IP address: ::1"],
    ["1.2.3:80:80", "invalid IP address: 1.2.3"],
    ["[127.0.0.300]:80:80", "invalid IP address: [127.0.0.300]"],
    ["224.0.0.1:8080:80/udp", "nobody is reached at a multicast address"],
    ["[::ffff:224.0.0.1]:8080:80", "nobody is reached at a multicast address"],
    ["255.255.255.255:8080:80", "nobody is reached at a broadcast address"],
    ["[ff02::1]:8080:80", "nobody is reached at a multicast address"],
    ["[fe80::1]:8080:80", "a link-local address is another on each interface"],
    ["[fe80::1%eth0]:8080:80", "invalid IP address: [fe80::1%eth0]"],
    ["1.2.3.4:5:80:80", "invalid IP address: 1.2.3.4:5"],
  ])("%s is refused: %s", (text, message) => {
    expect(() => parsePortSpec(text)).toThrow(message);
  });
});

describe("--expose", () => {
  it("is a port or a range of the sandbox", () => {
    expect(parseExposed("80")).toEqual({ protocol: "tcp", ports: { first: 80, last: 80 } });
    expect(parseExposed("80-90/udp")).toEqual({ protocol: "udp", ports: { first: 80, last: 90 } });
    expect(() => parseExposed("8080:80")).toThrow("invalid port format for --expose: 8080:80");
  });
});
