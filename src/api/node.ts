// NodeService: the daemon about itself. What the composition root knows (names, paths) it hands in as NodeFacts.
import { arch, release } from "node:os";
import type { Controller } from "../controller/types.ts";
import type { DatapathService } from "../datapath/datapath-api.ts";
import type { StatusResponse } from "./generated/weft/v1/StatusResponse.ts";
import type { VersionResponse } from "./generated/weft/v1/VersionResponse.ts";
import { API_VERSION } from "./proto.ts";
import type { AllHandlers } from "./server.ts";

export interface NodeFacts {
  readonly version: string;
  readonly nodeName: string;
  readonly stateDir: string;
  readonly socketPath: string;
  /** "host:port" or null: off. */
  readonly metrics: string | null;
  readonly startedAt: string;
  /** True from the first signal on. */
  stopping(): boolean;
  /** Of leaked addresses; lastAt empty: not yet. */
  reconciled(): { readonly lastAt: string; readonly reclaimed: number; readonly waiting: number };
}

export function nodeHandlers(controller: Controller, datapath: DatapathService, facts: NodeFacts): AllHandlers["node"] {
  const statusMessage = (): StatusResponse => {
    const sandboxes = controller.listSandboxes();
    const { cipher } = datapath.info();
    return {
      state: facts.stopping() ? "stopping" : "serving",
      nodeName: facts.nodeName,
      pid: process.pid,
      startedAt: facts.startedAt,
      networks: controller.listNetworks().length,
      sandboxes: sandboxes.length,
      endpoints: sandboxes.reduce((sum, one) => sum + one.endpoints.length, 0),
      staticPeers: controller.listPeers().length,
      warnings: [...controller.warnings(), ...datapath.info().missing.map((what) => `${what} is missing: its traffic waits for it`)],
      reconciledAt: facts.reconciled().lastAt,
      addressesReclaimed: facts.reconciled().reclaimed,
      leasesWaiting: facts.reconciled().waiting,
      crypto: cipher.by,
      cryptoReason: cipher.reason,
    };
  };
  const versionMessage = (): VersionResponse => ({
    version: facts.version,
    apiVersion: API_VERSION,
    engineAbi: datapath.info().abiVersion,
    nodeVersion: process.version,
    kernel: release(),
    architecture: arch(),
  });
  return {
    async Status() {
      return statusMessage();
    },
    async Version() {
      return versionMessage();
    },
    async Info() {
      const info = datapath.info();
      return {
        status: statusMessage(),
        version: versionMessage(),
        stateDir: facts.stateDir,
        socket: facts.socketPath,
        metrics: facts.metrics ?? "",
        underlay: info.underlay.map(({ address, port, sourcePorts }) => ({ address, port, sourcePorts: [...sourcePorts] })),
        vxlanPort: info.vxlanPort,
        fdbSlots: info.fdbSlots,
        spinUs: info.spinUs,
        domains: info.domains,
        ports: info.ports,
        vteps: info.vteps,
        engineBytes: String(info.engineBytes),
      };
    },
  };
}
