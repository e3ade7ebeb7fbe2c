// Ports as messages of any client: refused where their text forms are, in the same words.
import { describe, expect, it } from "vitest";
import { portSpec } from "../../../src/api/ports.ts";
import { parsePortSpec } from "../../../src/net/port-spec.ts";

const message = (hostAddress: string) => ({
  protocol: "tcp",
  portFirst: 80,
  portLast: 80,
  hostAddress,
  hostPortFirst: 8080,
  hostPortLast: 8080,
});

describe("the host address of a published port", () => {
  it.each(["224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1"])("%s is refused", (address) => {
    const text = `${address.includes(":") ? `[${address}]` : address}:8080:80`;
    const said = (make: () => unknown): string => {
      try {
        return JSON.stringify(make());
      } catch (error) {
        return (error as Error).message.replace(/[[\]]/g, "");
      }
    };
    expect(said(() => portSpec(message(address)))).toBe(said(() => parsePortSpec(text)));
    expect(() => portSpec(message(address))).toThrow(`invalid IP address: ${address}`);
  });

  it.each(["192.0.2.1", "169.254.1.1", "fd00::1", "::ffff:192.0.2.1"])("%s is what it is as text", (address) => {
    const text = `${address.includes(":") ? `[${address}]` : address}:8080:80`;
    expect(portSpec(message(address))).toEqual(parsePortSpec(text));
  });
});
