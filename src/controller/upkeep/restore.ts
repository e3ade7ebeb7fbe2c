// At start: makes true what is stored, and removes what is not. Nothing is asked of the daemon's former life but the store.
//
//   1. namespaces in our folder that no sandbox has are deleted (left by a crash between two steps of a removal)
//   2. our namespaces that are gone (the host was booted) are made anew; users' that are gone are reported
//   3. everything is declared in one step: TAPs that the last daemon left are attached to again, missing ones made; what links
//      open between them, in a second one
//   4. interfaces are configured: all of those that are new; routes of all
//   5. sandboxes get the way out that they need and lack, as after a crash in the middle of a connect
//   6. names are served again
//
// A part that fails is reported and the rest goes on: one broken network must not take the host's others down.
import { join } from "node:path";
import type { Declaration } from "../../datapath/declarations.ts";
import { hasOwnFiles } from "../../records/own-files.ts";
import type { SandboxRecord } from "../../records/records.ts";
import { attachment, attachmentsOf, type Context, endpointOwner, networkOwner, throwFirst } from "../context.ts";
import { configureInterface } from "../endpoints/attachments.ts";
import { mendEgress } from "../endpoints/connections.ts";
import { linkDeclarations } from "../endpoints/link-ports.ts";
import { type SandboxInterface, sandboxInterfaces } from "../endpoints/wants.ts";
import { configureHost } from "../networks/presence.ts";
import { admissiblePeers, forgetKeys, keyWarnings } from "../peers/peer-keys.ts";
import { routeHost } from "../ports/routing.ts";
import { hasResolver } from "../sandboxes/dns-settings.ts";
import { namespaceFolder } from "../sandboxes/sandboxes.ts";
import { applySysctls } from "../sandboxes/settings.ts";
import { stackInode } from "../stack-inode.ts";
import { deleteRenamed } from "./host-audit.ts";

export interface RestoreReport {
  readonly networks: number;
  readonly sandboxes: number;
  readonly endpoints: number;
  /** Paths of namespaces that no sandbox had. */
  readonly deletedNamespaces: readonly string[];
  /** Names of sandboxes whose namespace was made anew: whatever ran in it is gone. */
  readonly recreated: readonly string[];
  /** Names of sandboxes whose namespace was the user's and is gone. */
  readonly lost: readonly string[];
  readonly failures: readonly { readonly what: string; readonly error: Error }[];
}

const NAMESPACES_AT_ONCE = 16;

export async function restore(context: Context): Promise<RestoreReport> {
  const { state, namespaces } = context;
  const failures: { what: string; error: Error }[] = [];
  const guarded = async (what: string, step: () => Promise<void>): Promise<boolean> => {
    try {
      await step();
      return true;
    } catch (error) {
      failures.push({ what, error: error as Error });
      return false;
    }
  };

  const deletedNamespaces: string[] = [];
  const known = new Set([...state.sandboxes.values()].map(({ namespacePath }) => namespacePath));
  for (const name of await namespaces.files(namespaceFolder(context))) {
    const path = join(namespaceFolder(context), name);
    if (known.has(path)) continue;
    if (await guarded(`namespace ${path}`, () => namespaces.delete(path))) deletedNamespaces.push(path);
  }

  const recreated: SandboxRecord[] = [];
  const lost: SandboxRecord[] = [];
  const present: SandboxRecord[] = [];
  const joined = [...state.sandboxes.values()].filter(({ joinedTo }) => joinedTo !== null);
  const owners = [...state.sandboxes.values()].filter(({ joinedTo }) => joinedTo === null);
  await inParallel(owners, async (sandbox) => {
    if (stackInode(context, sandbox) !== null) present.push(sandbox);
    else if (!sandbox.ownsNamespace) lost.push(sandbox);
    else if (await guarded(`sandbox ${sandbox.name}`, () => namespaces.create(sandbox.namespacePath))) recreated.push(sandbox);
  });
  // Whoever shares a stack has it if its owner has.
  for (const sandbox of joined) if (namespaces.inode(sandbox.namespacePath) === null) lost.push(sandbox);

  const declarations = new Map<string, Declaration>();
  const names = new Map<string, string>();
  for (const network of state.networks.values()) {
    declarations.set(
      networkOwner(network.id),
      context.drivers.get(network.driver).declareNetwork(network, admissiblePeers(context, network)),
    );
    names.set(networkOwner(network.id), `network ${network.name}`);
  }
  const standing = new Map([...present, ...recreated].map((sandbox) => [sandbox.id, sandbox]));
  for (const endpoint of state.endpoints.values()) {
    const sandbox = endpoint.sandboxId === null ? undefined : standing.get(endpoint.sandboxId);
    if (sandbox === undefined) continue;
    const { driver, network } = attachment(context, endpoint);
    declarations.set(endpointOwner(endpoint.id), driver.declareEndpoint(network, endpoint, sandbox.namespacePath));
    names.set(endpointOwner(endpoint.id), `endpoint of ${sandbox.name} on ${network.name}`);
  }
  await guarded("interfaces that were renamed", () => deleteRenamed(context));
  await guarded("secrets of peers that are gone", () => forgetKeys(context));
  const failed = await context.datapath.declareAll(declarations);
  for (const [owner, error] of failed) failures.push({ what: names.get(owner) ?? owner, error });
  for (const { id } of state.endpoints.values()) {
    if (declarations.has(endpointOwner(id)) && !failed.has(endpointOwner(id))) context.joined.add(id);
  }
  const links = linkDeclarations(context);
  if (links.size > 0) {
    for (const [owner, error] of await context.datapath.declareAll(links)) failures.push({ what: `open ports of ${owner}`, error });
  }

  for (const network of state.networks.values()) {
    if (!failed.has(networkOwner(network.id))) await guarded(`network ${network.name}`, () => configureHost(context, network));
  }
  await guarded("the host's address translation", () => routeHost(context));
  await inParallel([...standing.values()], (sandbox) =>
    guarded(`sandbox ${sandbox.name}`, () => configureSandbox(context, sandbox, recreated.includes(sandbox), failed)),
  );
  for (const sandbox of standing.values()) await guarded(`the way out of sandbox ${sandbox.name}`, () => mendEgress(context, sandbox.id));
  await guarded("files of sandboxes that are gone", () => context.names.prune(new Set(state.sandboxes.keys())));
  await inParallel([...standing.values()].filter(hasOwnFiles), (sandbox) =>
    guarded(`DNS of sandbox ${sandbox.name}`, () => context.names.open(sandbox)),
  );

  const report: RestoreReport = {
    networks: state.networks.size,
    sandboxes: state.sandboxes.size,
    endpoints: state.endpoints.size,
    deletedNamespaces,
    recreated: recreated.map(({ name }) => name),
    lost: lost.map(({ name }) => name),
    failures,
  };
  say(context, report);
  for (const text of keyWarnings(context)) context.log("warn", text);
  return report;
}

async function configureSandbox(
  context: Context,
  sandbox: SandboxRecord,
  fresh: boolean,
  failed: ReadonlyMap<string, Error>,
): Promise<void> {
  const links = sandboxInterfaces(attachmentsOf(context, sandbox)).filter(({ endpointId }) => !failed.has(endpointOwner(endpointId)));
  const found = new Set(
    fresh || links.length === 0
      ? []
      : (await context.namespaces.addresses(sandbox.namespacePath)).map((one) => `${one.interfaceName} ${one.address}`),
  );
  const isComplete = ({ name, addresses }: SandboxInterface): boolean => addresses.every((address) => found.has(`${name} ${address}`));
  const configured = await Promise.allSettled(links.map((link) => configureInterface(context, sandbox, link, !isComplete(link))));
  // Not each time: what programs in it changed since is theirs. Without files its creation was cut short, perhaps before this.
  if (fresh || (hasResolver(sandbox) && !context.names.hasFiles(sandbox.id))) await applySysctls(context, sandbox);
  throwFirst(configured);
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: NAMESPACES_AT_ONCE }, worker));
}

function say(context: Context, report: RestoreReport): void {
  const { networks, sandboxes, endpoints } = report;
  context.log("info", "restored from the store", { networks, sandboxes, endpoints });
  for (const path of report.deletedNamespaces) context.log("info", "namespace of no sandbox deleted", { path });
  for (const name of report.recreated)
    context.log("warn", "the namespace of a sandbox was gone and is made anew, empty", { sandbox: name });
  for (const name of report.lost) {
    const sandbox = context.state.sandboxByName(name);
    const remedy =
      sandbox?.joinedTo == null
        ? "the namespace of a sandbox is gone, or its path leads to another: remove the sandbox, or make the namespace and start the daemon again"
        : "the sandbox whose network stack another shares is gone: remove the other too";
    context.log("warn", remedy, { sandbox: name, path: sandbox?.namespacePath });
  }
  for (const { what, error } of report.failures) context.log("error", `${what} could not be restored`, { error: error.message });
}
