// The controller of the container network model: networks, sandboxes and the endpoints that join them, as the API calls it.
//
//   const controller = await openController({ store, datapath, ... });   reads the store; refuses one that is damaged
//   await controller.restore();                                          makes it true; before the first request
//   await controller.ensurePredefined();                                 networks bridge, host and none
//   ...
//   await controller.removeTransient();                                  at the end: sandboxes of `run --rm`
//
// The operations are in networks/, endpoints/, sandboxes/, ports/ and peers/, the order of their steps in context.ts, the start and
// what mends things later in upkeep/. What is true in the data plane is computed from records by drivers/ and endpoints/wants.ts.
import type { NameRecords } from "../dns/names.ts";
import type { Ipam } from "../ipam/ipam.ts";
import type { PeerSecret } from "../keys/key-service.ts";
import type { EndpointRecord, NetworkRecord, PeerRecord, SandboxRecord } from "../records/records.ts";
import { attempt, type Context, type ControllerOptions, createContext } from "./context.ts";
import { connect, disconnect } from "./endpoints/connections.ts";
import { createNetwork } from "./networks/making.ts";
import { addressSpaceOf, inspectNetwork, listNetworks } from "./networks/networks.ts";
import { ensurePredefined } from "./networks/predefined.ts";
import { pruneNetworks, removeNetwork } from "./networks/removal.ts";
import { keyWarnings } from "./peers/peer-keys.ts";
import { addPeer, listPeers, removePeer } from "./peers/peers.ts";
import { updateSandbox } from "./ports/republishing.ts";
import { publishWarnings } from "./ports/ways-in.ts";
import { nameRecords } from "./sandboxes/name-records.ts";
import { programState } from "./sandboxes/programs.ts";
import { renameSandbox } from "./sandboxes/rename.ts";
import { createSandbox, inspectSandbox, listSandboxes, removeSandbox, stackOwner } from "./sandboxes/sandboxes.ts";
import { stopSandbox } from "./sandboxes/stop.ts";
import { follow, isInUse, programStarted } from "./sandboxes/transient.ts";
import { State } from "./state.ts";
import type {
  AttachRequest,
  Controller,
  CreateNetworkRequest,
  CreateSandboxRequest,
  NetworkView,
  PeerView,
  ProgramState,
  SandboxView,
  StartedProgram,
  StopRequest,
  UpdateSandboxRequest,
} from "./types.ts";
import { auditHost } from "./upkeep/host-audit.ts";
import { NOTHING_RECONCILED, type ReconcileFigures, type ReconcileReport, reconcile } from "./upkeep/reconcile.ts";
import { configureAgain } from "./upkeep/recreated.ts";
import { type RestoreReport, restore } from "./upkeep/restore.ts";

export type { ControllerLog, ControllerOptions } from "./context.ts";
export type { RestoreReport } from "./upkeep/restore.ts";

/** Reads the store. Throws DATA_LOSS if what is in it is not whole. */
export async function openController(options: ControllerOptions): Promise<CnmController> {
  const state = await State.load(options.store);
  openPools(options, state);
  return new CnmController(createContext(options, state));
}

function openPools({ ipam, drivers }: { ipam: Ipam; drivers: ControllerOptions["drivers"] }, state: State): void {
  for (const network of state.networks.values()) {
    const space = addressSpaceOf({ drivers }, network);
    if (space !== null) ipam.openNetwork(network, space, state.endpointsOfNetwork(network.id), state.ipam);
  }
}

export class CnmController implements Controller {
  readonly #context: Context;
  #reconciled = NOTHING_RECONCILED;

  constructor(context: Context) {
    this.#context = context;
  }

  /** What names are computed from; for the name service, before `restore`. */
  get nameRecords(): NameRecords {
    return nameRecords(this.#context);
  }

  /** Once, before the first request. */
  restore(): Promise<RestoreReport> {
    return restore(this.#context);
  }

  /** For an interface that the datapath had to make again: gives it its addresses and routes; failures are logged. */
  async interfaceRecreated(port: string): Promise<void> {
    await attempt(this.#context, `configuring the interface of ${port} again`, () => configureAgain(this.#context, port));
  }

  /** Gives the host's interfaces of networks back what somebody took from them; failures are logged. */
  auditHost(): Promise<void> {
    return auditHost(this.#context);
  }

  /** Makes the networks that are always there, where they are missing. Once, after restore. */
  ensurePredefined(): Promise<void> {
    return ensurePredefined(this.#context);
  }

  /** Sandboxes of `run --rm` that outlived the last daemon: removes those whose processes did not, and goes on watching. */
  async followPrograms(): Promise<void> {
    for (const { sandbox } of this.listSandboxes()) await follow(this.#context, sandbox);
  }

  /** Removes sandboxes of `run --rm` that nothing runs in; failures are logged. */
  async removeTransient(): Promise<void> {
    for (const { sandbox } of this.listSandboxes()) {
      if (!sandbox.removeOnExit || isInUse(this.#context, sandbox)) continue;
      try {
        await this.removeSandbox(sandbox.id, true);
      } catch (error) {
        this.#context.log("error", "sandbox could not be removed", { name: sandbox.name, error: (error as Error).message });
      }
    }
  }

  /** Finds and frees addresses that nobody has. At start and then each hour; one at a time. */
  async reconcile(): Promise<ReconcileReport> {
    const report = await reconcile(this.#context);
    const { freed, claimed, keys, released, waiting } = report;
    const found = freed.length + claimed.length + keys.length + released;
    this.#reconciled = { lastAt: this.#context.clock.nowIso(), reclaimed: this.#reconciled.reclaimed + found, waiting };
    return report;
  }

  get reconciled(): ReconcileFigures {
    return this.#reconciled;
  }

  createNetwork(request: CreateNetworkRequest): Promise<NetworkRecord> {
    return createNetwork(this.#context, request);
  }

  removeNetwork(reference: string): Promise<NetworkRecord> {
    return removeNetwork(this.#context, reference);
  }

  pruneNetworks(match: (network: NetworkRecord) => boolean): Promise<readonly NetworkRecord[]> {
    return pruneNetworks(this.#context, match);
  }

  listNetworks(): readonly NetworkRecord[] {
    return listNetworks(this.#context);
  }

  inspectNetwork(reference: string): NetworkView {
    return inspectNetwork(this.#context, reference);
  }

  connect(sandbox: string, request: AttachRequest): Promise<EndpointRecord> {
    return connect(this.#context, sandbox, request);
  }

  disconnect(sandbox: string, network: string, force: boolean): Promise<void> {
    return disconnect(this.#context, sandbox, network, force);
  }

  async createSandbox(request: CreateSandboxRequest): Promise<SandboxView> {
    const view = await createSandbox(this.#context, request);
    void follow(this.#context, view.sandbox);
    return view;
  }

  renameSandbox(reference: string, name: string): Promise<SandboxRecord> {
    return renameSandbox(this.#context, reference, name);
  }

  stopSandbox(reference: string, request: StopRequest): Promise<SandboxRecord> {
    return stopSandbox(this.#context, reference, request);
  }

  programStarted(reference: string, started: StartedProgram): Promise<SandboxRecord> {
    return programStarted(this.#context, reference, started);
  }

  stackOwner(sandbox: SandboxRecord): SandboxRecord {
    return stackOwner(this.#context, sandbox);
  }

  sandboxWarnings(sandbox: SandboxRecord): readonly string[] {
    const warning = this.#context.names.warning?.(sandbox.id) ?? null;
    return [...(warning === null ? [] : [warning]), ...publishWarnings(this.#context, sandbox)];
  }

  programState(sandbox: SandboxRecord): ProgramState {
    return programState(this.#context, sandbox);
  }

  updateSandbox(reference: string, request: UpdateSandboxRequest): Promise<SandboxView> {
    return updateSandbox(this.#context, reference, request);
  }

  removeSandbox(reference: string, force: boolean): Promise<SandboxRecord> {
    return removeSandbox(this.#context, reference, force);
  }

  listSandboxes(): readonly SandboxView[] {
    return listSandboxes(this.#context);
  }

  inspectSandbox(reference: string): SandboxView {
    return inspectSandbox(this.#context, reference);
  }

  addPeer(address: string, port: number | undefined, network: string | undefined, secret?: PeerSecret): Promise<PeerRecord> {
    return addPeer(this.#context, address, port, network, secret);
  }

  removePeer(address: string, network: string | undefined): Promise<PeerRecord> {
    return removePeer(this.#context, address, network);
  }

  listPeers(): readonly PeerView[] {
    return listPeers(this.#context);
  }

  warnings(): readonly string[] {
    return [...this.#context.warnings.values(), ...(this.#context.nat?.warnings ?? []), ...keyWarnings(this.#context)];
  }
}
