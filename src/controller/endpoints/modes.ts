// Which networks a sandbox may be on together, and what may be asked of an attachment, in Docker's words. Three kinds of
// networks leave no room for others: `host` and the loopback of `none`, which their drivers say (`stack`), and the stack of
// another sandbox (`sandbox:NAME`, Docker's `container:NAME`), which is no network at all but is asked for in the same place.
import type { Driver } from "../../drivers/driver.ts";
import { forbidden, invalidArgument } from "../../errors.ts";
import type { NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { DEFAULT_BRIDGE, isPredefined } from "../names.ts";
import { refuseDns } from "../sandboxes/dns-settings.ts";
import type { AttachRequest, CreateSandboxRequest } from "../types.ts";

const JOIN = /^(?:sandbox|container):/;

/** "sandbox:a" -> "a"; null: it names a network. */
export function joinedReference(network: string): string | null {
  return JOIN.test(network) ? network.replace(JOIN, "") : null;
}

export interface Wish {
  readonly wish: AttachRequest;
  readonly network: NetworkRecord;
  readonly driver: Driver;
}

/** Of a sandbox to be that shares another's stack: everything that would change that stack, or say who is in it, is refused. */
export function checkJoined(request: CreateSandboxRequest, join: AttachRequest): void {
  if ((request.networks ?? []).length > 1) throw mixed();
  refuseLinks(join, "container");
  if (request.hostname) throw invalidArgument("conflicting options: hostname and the network mode");
  refuseDns(request);
  if ((request.publish ?? []).length > 0 || request.publishAll) {
    throw invalidArgument("conflicting options: port publishing and the container type network mode");
  }
  if ((request.expose ?? []).length > 0) throw invalidArgument("conflicting options: port exposing and the container type network mode");
  checkForeignStack(request, join);
}

/** Of a sandbox to be on these networks. */
export function checkWishes(request: CreateSandboxRequest, wishes: readonly Wish[]): void {
  wishes.forEach(({ network }, index) => {
    if (wishes.findIndex((other) => other.network.id === network.id) < index) {
      throw invalidArgument(`network "${network.name}" is specified multiple times: a sandbox has one endpoint on a network`);
    }
  });
  if (wishes.length > 1 && wishes.some(({ network }) => isPredefined(network))) {
    if (!wishes.every(({ network }) => isPredefined(network))) throw mixed();
    if (wishes.some(({ driver }) => driver.stack === "host")) throw sharedStack();
    throw privateMode();
  }
  const special = wishes.filter(({ driver }) => driver.stack !== "interfaces");
  if (special.length === 0) return;
  const { wish, driver } = special[0]!;
  if (driver.stack === "host") {
    refuseLinks(wish, "host");
    checkForeignStack(request, wish);
  } else {
    checkNoInterface(wish);
  }
}

/** Of a sandbox that is there, to be connected to one more network. */
export function checkConnect(
  sandbox: SandboxRecord,
  others: readonly { readonly driver: Driver }[],
  { network, driver }: { readonly network: NetworkRecord; readonly driver: Driver },
): void {
  if (network.configOnly) throw settingsOnly(network);
  if (driver.stack === "host") throw hostNetwork();
  if (sandbox.joinedTo !== null || others.some((other) => other.driver.stack === "host")) throw sharedStack();
  if (others.length > 0 && [driver, ...others.map((other) => other.driver)].some(({ stack }) => stack === "loopback")) {
    throw privateMode();
  }
}

/** What an attachment may ask of the network itself. */
export function checkAttachment(network: NetworkRecord, driver: Driver, wish: AttachRequest): void {
  if (network.configOnly) throw settingsOnly(network);
  if (network.ingress) throw forbidden(`network ${network.name} not manually attachable: it is the ingress network`);
  if (driver.stack !== "interfaces") checkNoInterface(wish);
  if (network.name === DEFAULT_BRIDGE) checkNothingChosen(wish);
}

export function checkDisconnect(driver: Driver): void {
  if (driver.stack === "host") throw hostNetwork();
}

function checkForeignStack(request: CreateSandboxRequest, wish: AttachRequest): void {
  if (request.namespacePath) throw invalidArgument("conflicting options: namespace path and the network mode");
  checkNoInterface(wish);
}

function checkNoInterface(wish: AttachRequest): void {
  if (Object.keys(wish.driverOptions ?? {}).length > 0) throw invalidArgument("conflicting options: driver-opt and the network mode");
  if ((wish.links ?? []).length > 0) throw invalidArgument("conflicting options: links and the network mode");
  if ((wish.linkLocalIps ?? []).length > 0) throw invalidArgument("conflicting options: link-local-ip and the network mode");
  if (wish.mac) throw invalidArgument("conflicting options: mac-address and the network mode");
  checkNothingChosen(wish);
}

function refuseLinks(wish: AttachRequest, mode: string): void {
  if ((wish.links ?? []).length === 0) return;
  throw invalidArgument(`conflicting options: ${mode} type networking can't be used with links. This would result in undefined behavior`);
}

function checkNothingChosen(wish: AttachRequest): void {
  if (wish.ipv4 || wish.ipv6) throw invalidArgument("user specified IP address is supported on user defined networks only");
  if ((wish.aliases ?? []).length > 0) {
    throw invalidArgument("network-scoped alias is supported only for containers in user defined networks");
  }
}

const settingsOnly = ({ name }: NetworkRecord) =>
  forbidden(`cannot create endpoint on configuration-only network: ${name} holds settings only, make a network with --config-from ${name}`);
const privateMode = () => forbidden("container cannot be connected to multiple networks with one of the networks in private (none) mode");
const mixed = () => invalidArgument("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
const hostNetwork = () => forbidden("container cannot be disconnected from host network or connected to host network");
const sharedStack = () =>
  forbidden("container sharing network namespace with another container or host cannot be connected to any other network");
