// Ports and services that fail half way: no descriptor stays open that nobody has.
import { closeSync, existsSync, openSync, readlinkSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ResolverServer } from "../../src/dns/server.ts";
import { openEsp } from "../../src/ports/esp.ts";
import { native } from "../../src/ports/native.ts";
import { openUnderlay } from "../../src/ports/underlay.ts";

afterEach(() => vi.restoreAllMocks());

/** Sockets are files here, and the kernel does not know IP_MTU_DISCOVER; answers which stay open. */
function failing(): () => number[] {
  const open = new Set<number>();
  const opened = async (): Promise<number> => {
    const fd = openSync("/dev/null", "r");
    open.add(fd);
    return fd;
  };
  const addon = native();
  for (const call of ["openUdp", "openRaw", "openTooBig"] as const) vi.spyOn(addon, call).mockImplementation(opened);
  vi.spyOn(addon, "closeFd").mockImplementation(async (fd) => {
    open.delete(fd);
    closeSync(fd);
  });
  vi.spyOn(addon, "ignorePathMtu").mockImplementation(() => {
    throw Object.assign(new Error("setsockopt: ENOPROTOOPT"), { code: "ENOPROTOOPT" });
  });
  return () => [...open];
}

describe("a socket that can't be told to leave paths aside", () => {
  it.each(["udp", "raw"] as const)("of ESP over %s is closed", async (transport) => {
    const open = failing();
    await expect(openEsp(null, "192.0.2.1", transport)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("on 192.0.2.1 for ESP: setsockopt: ENOPROTOOPT"),
    });
    expect(open()).toEqual([]);
  });

  it("of the underlay is closed with all others", async () => {
    const open = failing();
    await expect(openUnderlay(null, "192.0.2.1", 4789, 1, () => {})).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(open()).toEqual([]);
  });
});

it("a resolver that gets one of its sockets only closes it", async () => {
  const buffers = { receiveBufferBytes: 0, sendBufferBytes: 0 };
  const place = { namespace: null, address: "127.0.0.1", port: 0, gro: false, packetInfo: false, reusePort: false };
  const udp = await native().openUdp({ ...place, ...buffers });
  const socket = readlinkSync(`/proc/self/fd/${udp}`);
  const tcp = openSync("/dev/null", "r");
  try {
    await expect(ResolverServer.start({} as never, { udp, tcp })).rejects.toThrow();
    const path = `/proc/self/fd/${udp}`;
    await vi.waitFor(() => expect(existsSync(path) && readlinkSync(path) === socket).toBe(false));
  } finally {
    closeSync(tcp);
  }
});
