// Two hosts whose datapaths are told of associations by hand: an encrypted network n1 with one sandbox a host, s0 and s1.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WeftDatapath } from "../../src/datapath/datapath.ts";
import type { EspEvent } from "../../src/datapath/datapath-api.ts";
import type { AssociationDeclaration, Declaration } from "../../src/datapath/declarations.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { Namespaces } from "./ping-hosts.ts";

const MAC = ["02:42:0a:00:00:02", "02:42:0a:00:00:03"] as const;
export const INNER = ["10.0.0.2", "10.0.0.3"] as const;
export const OUTER = { ipv4: ["10.9.0.1", "10.9.0.2"], ipv6: ["fd09::1", "fd09::2"] } as const;
export const SPI = [0x80000001, 0x80000002] as const;
const MTU = 1300;

export interface Way {
  readonly family: "ipv4" | "ipv6";
  readonly transport: "udp" | "raw";
  readonly crypto?: "native" | "wasm";
}

/** The association from host `from` to the other one, as host `at` has it. */
export function association(
  at: 0 | 1,
  from: 0 | 1,
  { family, transport }: Way,
  more: Partial<AssociationDeclaration> = {},
): AssociationDeclaration {
  const direction = at === from ? "out" : "in";
  return {
    id: `${direction}/${SPI[from].toString(16)}`,
    direction,
    peer: OUTER[family][1 - at]!,
    vxlanPort: 4789,
    spi: SPI[from],
    algorithm: "aes-256-gcm",
    icvBytes: 16,
    esn: true,
    udpPort: transport === "udp" ? 4500 : null,
    innerChecksum: false,
    packetLimit: 2 ** 40,
    byteLimit: 2 ** 50,
    firstSequence: 0,
    notify: direction === "in",
    current: direction === "out",
    key: new KeyMaterial(new Uint8Array(36).fill(from + 1)),
    ...more,
  };
}

const network = (at: 0 | 1, { family }: Way): Declaration => ({
  domains: [
    {
      id: "n1",
      vni: 4097,
      mtuBytes: MTU,
      learning: true,
      proxyNeighbors: false,
      clampMss: true,
      fdbLimit: 100,
      fdbAgeS: 300,
      encrypted: true,
    },
  ],
  vteps: [{ domain: "n1", address: OUTER[family][1 - at]!, port: 4789 }],
});

const endpoint = (namespaces: Namespaces, i: 0 | 1): Declaration => ({
  ports: [
    {
      kind: "tap",
      id: `e${i}`,
      domain: "n1",
      namespacePath: namespaces.path(`s${i}`),
      interfaceName: "eth0",
      mac: MAC[i],
      mtuBytes: MTU,
      isolated: false,
    },
  ],
});

export class EspPair {
  readonly namespaces: Namespaces;
  readonly datapaths: WeftDatapath[] = [];
  readonly events: EspEvent[] = [];
  readonly #stateDir = mkdtempSync(join(tmpdir(), "weft-t"));

  /** `tag`: at most 3 characters, to tell test files apart. */
  constructor(tag: string) {
    this.namespaces = new Namespaces(tag);
  }

  async start(way: Way): Promise<void> {
    for (const i of [0, 1]) {
      await this.namespaces.create(`h${i}`);
      await this.namespaces.create(`s${i}`);
    }
    await this.namespaces.join("h0", "h1", "u0", [
      ["10.9.0.1/24", "fd09::1/64"],
      ["10.9.0.2/24", "fd09::2/64"],
    ]);
    for (const i of [0, 1] as const) {
      await this.boot(i, way);
      await this.namespaces.ip(`s${i}`, "address", "add", `${INNER[i]}/24`, "dev", "eth0");
      await this.namespaces.ip(`s${i}`, "link", "set", "eth0", "up");
    }
  }

  /** Starts a host's datapath, without associations; on interfaces that an earlier one left. */
  async boot(i: 0 | 1, way: Way): Promise<void> {
    const datapath = new WeftDatapath();
    this.datapaths[i] = datapath;
    datapath.onEspEvent((event) => this.events.push(event));
    await datapath.start({
      stateDir: this.#stateDir,
      auditIntervalS: 0,
      underlayAddresses: [OUTER[way.family][i]!],
      underlayNamespacePath: this.namespaces.path(`h${i}`),
      crypto: way.crypto ?? "native",
    });
    await datapath.declare("net", network(i, way));
    await datapath.declare(`e${i}`, endpoint(this.namespaces, i));
  }

  /** Declares both associations on both hosts; on neither what it sends by, which the sandboxes' kernels do unasked, before both receive. */
  async key(way: Way): Promise<void> {
    const of = (at: 0 | 1) => [association(at, 0, way), association(at, 1, way)];
    const both = [of(0), of(1)] as const;
    for (const at of [0, 1] as const) await this.datapaths[at]!.declare("keys", { associations: [both[at][1 - at]!] });
    for (const at of [0, 1] as const) await this.datapaths[at]!.declare("keys", { associations: both[at] });
  }

  async stop(): Promise<void> {
    for (const datapath of this.datapaths) await datapath.stop({ keepInterfaces: false });
    await this.namespaces.removeAll();
    rmSync(this.#stateDir, { recursive: true });
  }
}
