// Names that users choose (labels, options, auxiliary addresses) may be names that JavaScript has a meaning for.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { networkMessage, sandboxMessage } from "../../src/api/convert.ts";
import { SERVICES } from "../../src/api/proto.ts";
import { ipamEntries } from "../../src/cli/ipam-flags.ts";
import { pairs } from "../../src/cli/values.ts";
import { openLmdbStore } from "../../src/store/lmdb.ts";
import { startController } from "../support/controller.ts";

const NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty"];
const VALUES = Object.fromEntries(NAMES.map((name, at) => [name, `v${at}`]));
const LABELS = NAMES.map((name, at) => `${name}=v${at}`);

it("all arrive, are stored and shown", async () => {
  const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
  const store = await openLmdbStore(join(folder, "store"));
  try {
    const flags = { subnet: ["10.1.0.0/24"], auxAddress: ["__proto__=10.1.0.9"] };
    const sent = SERVICES.network.Create.requestSerialize({ name: "net", labels: pairs(LABELS), ipam: ipamEntries(flags) });
    const { name, labels, ipam } = SERVICES.network.Create.requestDeserialize(sent);
    const first = await startController({ store });
    await first.controller.createNetwork({
      name,
      labels,
      ipam: ipam.map(({ subnet, auxAddresses }) => ({ subnet, auxAddresses })),
    });
    const made = await first.controller.createSandbox({ name: "box", networks: [{ network: "net" }], labels });
    const second = await startController({ store, namespaces: first.namespaces });
    for (const { controller } of [first, second]) {
      const network = networkMessage(controller.inspectNetwork("net").network);
      expect(Object.entries(network.labels!)).toEqual(Object.entries(VALUES));
      expect(Object.entries(network.ipam![0]!.auxAddresses!)).toEqual([["__proto__", "10.1.0.9"]]);
      const sandbox = sandboxMessage(controller.inspectSandbox(made.sandbox.id).sandbox, "/");
      expect(Object.entries(sandbox.labels!)).toEqual(Object.entries(VALUES));
      const back = SERVICES.network.Inspect.responseDeserialize(SERVICES.network.Inspect.responseSerialize({ network }));
      expect(Object.entries(back.network!.labels)).toEqual(Object.entries(VALUES));
    }
  } finally {
    await store.close();
    rmSync(folder, { recursive: true });
  }
});
