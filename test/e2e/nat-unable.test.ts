// A host that takes no packet filter rules: sandboxes work among themselves, ports are refused with the reason, and it all comes
// once the host is mended.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, routedHost } from "../support/routed-host.ts";

/** No library: what the daemon finds first under its name. */
const RUBBISH = "not a library\n";

it("goes on without rules, says so, and needs no restart when they can be set", async () => {
  const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-nft-`));
  const library = join(folder, "libnftables.so.1");
  writeFileSync(library, RUBBISH);
  const { lab, host, outside, daemon, before, rules } = await routedHost({ env: { LD_LIBRARY_PATH: folder } });
  try {
    await daemon.must("network", "create", ...dual(1), "web");
    expect(daemon.log).toMatch(/no rules can be set: networks don't reach out of this host and no ports are published/);
    expect(daemon.log).toContain("libnftables is missing: install nftables");
    expect(daemon.log.match(/no rules can be set/g)).toHaveLength(1);
    await daemon.must("sandbox", "create", "--network", "web", "a");
    await daemon.must("sandbox", "create", "--network", "web", "b");
    const [a, b] = await daemon.enterAll("a", "b");
    await echo(lab, a!, 80);
    const [{ NetworkSettings }] = JSON.parse(await daemon.must("sandbox", "inspect", "a"));
    const { IPAddress, GlobalIPv6Address } = NetworkSettings.Networks.web;
    for (const address of [IPAddress, GlobalIPv6Address]) {
      expect(await ask(b!, address, 80)).not.toBe("");
      expect(await ask(host, address, 80)).not.toBe("");
    }
    // Closed as it was: a host that forwards without rules would be open.
    expect(await host.must(["cat", "/proc/sys/net/ipv4/ip_forward"])).toBe("0\n");
    expect(await rules()).toBe(before);
    const state = await daemon.state();
    const refused = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "8080:80", "c"]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/ports can't be published on this host: libnftables is missing: install nftables/);
    expect(await daemon.state()).toBe(state);

    rmSync(library); // the host's own is found behind it
    await daemon.must("sandbox", "create", "--network", "web", "-p", "8080:80", "c");
    await echo(lab, await daemon.enter("c"), 80);
    expect(await ask(outside, HOST4, 8080)).toBe(OUTSIDE4);
    expect(await ask(outside, HOST6, 8080)).toBe(OUTSIDE6);
    expect(await host.must(["cat", "/proc/sys/net/ipv4/ip_forward"])).toBe("1\n");

    // Ports that are there stay there, though nobody is led to them for now.
    await daemon.kill9();
    await host.must(["nft", "delete", "table", "inet", "weft"]);
    writeFileSync(library, RUBBISH);
    await daemon.start();
    expect(daemon.log).toContain("no rules can be set");
    expect(await askBriefly(outside, HOST4, 8080)).toBe("");
    expect(await daemon.must("port", "c", "80")).toContain("0.0.0.0:8080");
  } finally {
    rmSync(library, { force: true });
    await lab.dispose();
    rmSync(folder, { recursive: true });
  }
});
