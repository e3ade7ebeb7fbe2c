import { describe, expect, it } from "vitest";
import { resolvedHosts } from "../../../src/dns/extra-hosts.ts";
import { parseServices } from "../../../src/dns/services.ts";

describe("names of services", () => {
  it("are those of services(5), their aliases too, over the built-in ones", () => {
    const found = parseServices("# comment\nhttp 8888/tcp www WWW2 # web\nbroken\nodd x/tcp\nhuge 70000/udp\nown\t4000/sctp\n");
    const of = (...names: string[]) => names.map((name) => found.get(name));
    expect(of("http/tcp", "www/tcp", "www2/tcp", "own/sctp", "https/tcp")).toEqual([8888, 8888, 8888, 4000, 443]);
    expect(of("http/udp", "broken/tcp", "odd/tcp", "huge/udp", "own/tcp")).toEqual(Array(5).fill(undefined));
  });
});

describe("host-gateway", () => {
  const config = (gateway: string | null) => ({ subnet: "10.0.0.0/24", ipRange: null, gateway, auxAddresses: {} });

  it("is the gateway of the predefined bridge, else of the first bridge network, and no line where there is none", () => {
    const hosts = [
      { name: "h", address: "host-gateway" },
      { name: "x", address: "192.0.2.1" },
    ];
    const overlay = { driver: "overlay", ipam: [config("10.1.0.1")] };
    const bridge = { driver: "bridge", ipam: [config("10.2.0.1"), config("fd02::1")] };
    expect(resolvedHosts(hosts, [overlay, bridge]).map(({ address }) => address)).toEqual(["10.2.0.1", "fd02::1", "192.0.2.1"]);
    expect(resolvedHosts(hosts, [overlay])).toEqual([hosts[1]]);
    const predefined = { driver: "bridge", ipam: [config("172.17.0.1")] };
    expect(resolvedHosts(hosts, [bridge], predefined)).toEqual([{ name: "h", address: "172.17.0.1" }, hosts[1]]);
  });
});
