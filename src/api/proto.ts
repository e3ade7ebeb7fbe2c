// The API's definition at run time: proto/ read by proto-loader, with the options that scripts/build-proto.mjs made the types
// for. Server and client share it. 64-bit integers travel as decimal strings: counters pass 2^53.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import { PROTO_PATH } from "../paths.ts";
import type { DiagnosticsServiceDefinition } from "./generated/weft/v1/DiagnosticsService.ts";
import type { EndpointServiceDefinition } from "./generated/weft/v1/EndpointService.ts";
import type { KeyServiceDefinition } from "./generated/weft/v1/KeyService.ts";
import type { NetworkServiceDefinition } from "./generated/weft/v1/NetworkService.ts";
import type { NodeServiceDefinition } from "./generated/weft/v1/NodeService.ts";
import type { SandboxServiceDefinition } from "./generated/weft/v1/SandboxService.ts";
import type { StaticPeerServiceDefinition } from "./generated/weft/v1/StaticPeerService.ts";

export const API_VERSION = "weft.v1";

const FOLDER = "weft/v1";
const FILES = readdirSync(join(PROTO_PATH, FOLDER)).filter((name) => name.endsWith(".proto"));

const PATHS = FILES.map((name) => `${FOLDER}/${name}`);

const packageDefinition: PackageDefinition = loadSync(PATHS, {
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: [PROTO_PATH],
});

/** With the fields' names as they are in proto/: to be described, not to be spoken. */
export const readAsWritten = (): PackageDefinition => loadSync(PATHS, { keepCase: true, includeDirs: [PROTO_PATH] });

function service<D extends ServiceDefinition>(name: string): D {
  return packageDefinition[`${API_VERSION}.${name}`] as unknown as D;
}

export const SERVICES = {
  network: service<NetworkServiceDefinition>("NetworkService"),
  endpoint: service<EndpointServiceDefinition>("EndpointService"),
  sandbox: service<SandboxServiceDefinition>("SandboxService"),
  node: service<NodeServiceDefinition>("NodeService"),
  staticPeer: service<StaticPeerServiceDefinition>("StaticPeerService"),
  key: service<KeyServiceDefinition>("KeyService"),
  diagnostics: service<DiagnosticsServiceDefinition>("DiagnosticsService"),
} as const;

export type Services = typeof SERVICES;

/** "weft.v1.NetworkService" */
export const SERVICE_NAMES: readonly string[] = Object.keys(packageDefinition).filter((name) => name.endsWith("Service"));

/** The message types of one method: what the client may leave out (Request) and what the handler finds filled in (RequestOut). */
export type RequestOf<M> = M extends { requestSerialize: (value: infer Q) => unknown } ? Q : never;
export type RequestOutOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
export type ResponseOf<M> = M extends { responseSerialize: (value: infer R) => unknown } ? R : never;
export type ResponseOutOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;

/** Methods as they are declared, without the index signature of grpc-js's own type. */
export type MethodsOf<D> = { [M in keyof D as string extends M ? never : M]: D[M] };
