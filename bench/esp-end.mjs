// One host of an encrypted overlay without a daemon: a datapath that is told of its two associations here, by keys that both
// ends compute. For as long as a daemon derives no keys itself; the path of a packet is the same.
//
//   node bench/esp-end.mjs '{"stateDir", "host", "sandbox", "own", "other", "side": 0 | 1, "vni", "mtuBytes"}'
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";

// As it was built: a path that the checker of types does not follow.
const dist = join(ROOT, "build/dist/src/datapath");
const { WeftDatapath } = await import(join(dist, "datapath.js"));
const { KeyMaterial } = await import(join(dist, "key-material.js"));

const { stateDir, host, sandbox, own, other, side, vni, mtuBytes } = JSON.parse(process.argv[2] ?? "");

const datapath = new WeftDatapath();
await datapath.start({ stateDir, underlayAddresses: [own], underlayNamespacePath: host });

/** @param {number} from side that sends by it */
const association = (from) => ({
  id: String(from),
  direction: /** @type {"in" | "out"} */ (from === side ? "out" : "in"),
  peer: other,
  vxlanPort: 4789,
  spi: 0x10000 + from,
  algorithm: /** @type {const} */ ("aes-256-gcm"),
  icvBytes: /** @type {const} */ (16),
  esn: true,
  udpPort: 4500,
  innerChecksum: false,
  packetLimit: 2 ** 40,
  byteLimit: 2 ** 50,
  firstSequence: 0,
  notify: false,
  current: from === side,
  key: new KeyMaterial(new Uint8Array(36).fill(from + 1)),
});

const domain = { id: "bench", vni, mtuBytes, learning: true, proxyNeighbors: false, clampMss: true, fdbLimit: 1000, fdbAgeS: 300 };
await datapath.declare("bench", {
  domains: [{ ...domain, encrypted: true }],
  vteps: [{ domain: "bench", address: other, port: 4789 }],
  ports: [
    {
      kind: "tap",
      id: "bench/1",
      domain: "bench",
      namespacePath: sandbox,
      interfaceName: "eth0",
      mac: `02:42:0a:dd:00:0${side + 1}`,
      mtuBytes,
      isolated: false,
    },
  ],
  associations: [association(0), association(1)],
});

process.once("SIGTERM", async () => {
  await datapath.stop({ keepInterfaces: false });
  process.exit(0);
});
