// Two hosts joined by a link, a daemon on each, keyed by one file: an encrypted network "safe" and a plain one, "plain", beside
// it. Sandboxes sa and pa on host a, sb and pb on host b, s for safe and p for plain: 10.51.0.<n> and fd51::<n>, 10.52.. and fd52...
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "./daemon.ts";
import type { Host, Lab } from "./hosts.ts";
import { overlay } from "./two-hosts.ts";

export const UNDERLAYS = { ipv4: ["10.78.0.1", "10.78.0.2"], ipv6: ["fd78::1", "fd78::2"] } as const;
export const SAFE_VNI = 5051;
export const PLAIN_VNI = 5052;
/** By sandbox. */
export const ADDRESSES = {
  sa: ["10.51.0.2", "fd51::2"],
  sb: ["10.51.0.12", "fd51::12"],
  pa: ["10.52.0.2", "fd52::2"],
  pb: ["10.52.0.12", "fd52::12"],
} as const;

export interface EncryptedHosts {
  readonly hostA: Host;
  readonly a: Daemon;
  readonly b: Daemon;
  readonly sandboxes: Readonly<Record<keyof typeof ADDRESSES, Host>>;
  readonly keyFile: string;
  /** Base64. */
  readonly seed: string;
}

/** `args`: further ones of both daemons. */
export async function encryptedHosts(lab: Lab, family: keyof typeof UNDERLAYS, args: readonly string[] = []): Promise<EncryptedHosts> {
  const underlay = UNDERLAYS[family];
  const length = family === "ipv4" ? 24 : 64;
  const [hostA, hostB] = await Promise.all([lab.host("a"), lab.host("b")]);
  await lab.wire([hostA, "up0", `${underlay[0]}/${length}`], [hostB, "up0", `${underlay[1]}/${length}`]);
  const [a, b] = await Promise.all([
    Daemon.start(lab, hostA, { underlayAddress: underlay[0], nodeName: "a", args }),
    Daemon.start(lab, hostB, { underlayAddress: underlay[1], nodeName: "b", args }),
  ]);
  const seed = await a.must("cluster", "keys", "new");
  const keyFile = join(a.stateDir, "pair.key");
  writeFileSync(keyFile, `${seed}\n`, { mode: 0o600 });
  const side = async (daemon: Daemon, peer: string, names: readonly (keyof typeof ADDRESSES)[]) => {
    await daemon.must("network", "create", "--opt", "encrypted", ...overlay("safe", SAFE_VNI, 51));
    await daemon.must("network", "create", ...overlay("plain", PLAIN_VNI, 52));
    await daemon.must("peer", "add", "--key-file", keyFile, peer);
    for (const name of names) {
      const [ipv4, ipv6] = ADDRESSES[name];
      await daemon.must("sandbox", "create", "--network", `${name.startsWith("s") ? "safe" : "plain"},ip=${ipv4},ip6=${ipv6}`, name);
    }
  };
  await Promise.all([side(a, underlay[1], ["sa", "pa"]), side(b, underlay[0], ["sb", "pb"])]);
  const [sa, pa] = (await a.enterAll("sa", "pa")) as [Host, Host];
  const [sb, pb] = (await b.enterAll("sb", "pb")) as [Host, Host];
  return { hostA, a, b, sandboxes: { sa, pa, sb, pb }, keyFile, seed };
}
