// A served API over the in-memory twins, on a socket in a folder of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiClient } from "../../src/api/client.ts";
import { allHandlers } from "../../src/api/handlers.ts";
import { type ApiServer, startApi } from "../../src/api/server.ts";
import { createLogger } from "../../src/log.ts";
import { FakeController } from "./fake-controller.ts";
import { FakeDatapath } from "./fake-datapath.ts";
import { MemoryKeys } from "./memory-keys.ts";

export interface ServedApi {
  readonly controller: FakeController;
  readonly datapath: FakeDatapath;
  readonly keys: MemoryKeys;
  readonly client: ApiClient;
  readonly server: ApiServer;
  readonly socketPath: string;
  readonly folder: string;
  /** Lines of the log, parsed. */
  readonly logged: Record<string, unknown>[];
  close(): Promise<void>;
}

export async function serveApi(): Promise<ServedApi> {
  const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
  const socketPath = join(folder, "run", "weft.sock");
  const controller = new FakeController();
  const datapath = new FakeDatapath();
  const keys = new MemoryKeys();
  const logged: Record<string, unknown>[] = [];
  const log = createLogger({ level: "debug", format: "json", to: { write: (line) => logged.push(JSON.parse(line)) } });
  const handlers = allHandlers(controller, datapath, keys, {
    version: "0.0.0-test",
    nodeName: "node-a",
    stateDir: folder,
    socketPath,
    metrics: null,
    startedAt: "2026-01-02T03:04:05.000Z",
    stopping: () => false,
    reconciled: () => ({ lastAt: "2026-01-31T12:00:00.000Z", reclaimed: 0, waiting: 0 }),
  });
  const server = await startApi({ socketPath, handlers, log });
  const client = new ApiClient(socketPath);
  return {
    ...{ controller, datapath, keys, client, server, socketPath, folder, logged },
    async close() {
      client.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
