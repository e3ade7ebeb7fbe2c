// Weft as one end of an encrypted overlay whose associations a test declares by hand: a datapath on a host of the lab, one
// network, one sandbox. What the other end is, is the test's choice.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WeftDatapath } from "../../src/datapath/datapath.ts";
import type { AssociationDeclaration, EspAlgorithm } from "../../src/datapath/declarations.ts";
import { keyBytes } from "../../src/datapath/esp-algorithms.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import type { Host, Lab } from "./hosts.ts";

export const ESP_VNI = 4097;

/** How one direction is protected, with the key in the open: it is a test's. */
export interface TestAssociation {
  readonly spi: number;
  readonly algorithm: EspAlgorithm;
  readonly esn: boolean;
  readonly transport: "udp" | "raw";
  /** 16 unless given. */
  readonly icvBytes?: 8 | 12 | 16;
  /** Key and salt. */
  readonly key: Uint8Array;
}

export function testAssociation(spi: number, more: Partial<Omit<TestAssociation, "spi" | "key">> = {}): TestAssociation {
  const algorithm = more.algorithm ?? "aes-128-gcm";
  const key = Uint8Array.from({ length: keyBytes(algorithm) + 4 }, (_, i) => (spi * 7 + i * 31) & 0xff);
  return { algorithm, esn: true, transport: "udp", ...more, spi, key };
}

/** As a datapath is told of it. */
export function declared(
  association: TestAssociation,
  direction: "in" | "out",
  peer: string,
  more: Partial<AssociationDeclaration> = {},
): AssociationDeclaration {
  const { spi, algorithm, esn, transport, icvBytes = 16, key } = association;
  return {
    id: `${direction}/${spi.toString(16)}`,
    direction,
    peer,
    vxlanPort: 4789,
    spi,
    algorithm,
    icvBytes,
    esn,
    udpPort: transport === "udp" ? 4500 : null,
    innerChecksum: peer.includes(":"),
    packetLimit: esn ? 2 ** 40 : 2 ** 32 - 1,
    byteLimit: 2 ** 50,
    firstSequence: 0,
    notify: direction === "in",
    current: direction === "out",
    key: new KeyMaterial(key.slice()),
    ...more,
  };
}

export interface EspEnd {
  readonly datapath: WeftDatapath;
  readonly sandbox: Host;
}

export interface EspEndOptions {
  /** Where VXLAN and ESP are spoken. */
  readonly host: Host;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly peers: readonly string[];
  readonly inner: readonly string[];
  readonly mac: string;
  readonly mtuBytes: number;
  /** Unless false. */
  readonly encrypted?: boolean;
}

/** A datapath with one network and one sandbox; if encrypted, without associations, so without traffic. Ends with the lab. */
export async function espEnd(lab: Lab, options: EspEndOptions): Promise<EspEnd> {
  const { host, name, addresses, peers, mac, mtuBytes } = options;
  const sandbox = await lab.host(`${name}s`);
  const stateDir = mkdtempSync(join(tmpdir(), "weft-t"));
  lab.defer(() => rmSync(stateDir, { recursive: true }));
  const datapath = new WeftDatapath();
  await datapath.start({ stateDir, auditIntervalS: 0, underlayAddresses: addresses, underlayNamespacePath: host.path, crypto: "native" });
  lab.defer(() => datapath.stop({ keepInterfaces: false }));
  await datapath.declare("net", {
    domains: [
      {
        id: "n1",
        vni: ESP_VNI,
        mtuBytes,
        learning: true,
        proxyNeighbors: false,
        clampMss: true,
        fdbLimit: 100,
        fdbAgeS: 300,
        encrypted: options.encrypted ?? true,
      },
    ],
    vteps: peers.map((address) => ({ domain: "n1", address, port: 4789 })),
  });
  await datapath.declare("endpoint", {
    ports: [{ kind: "tap", id: "e1", domain: "n1", namespacePath: sandbox.path, interfaceName: "eth0", mac, mtuBytes, isolated: false }],
  });
  const inner = options.inner.map((address) => `address add ${address} dev eth0 nodad`);
  await sandbox.ip([...inner, "link set eth0 up"].join("\n"));
  return { datapath, sandbox };
}

/** Reasons that grew, by name. */
export async function drops(datapath: WeftDatapath): Promise<Record<string, bigint>> {
  const stats = await datapath.stats();
  return Object.fromEntries(stats.drops.filter(({ value }) => value > 0n).map(({ name, value }) => [name, value]));
}
