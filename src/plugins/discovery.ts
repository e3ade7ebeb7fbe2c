// Where a plugin of Docker's protocol is, by its name:
//
//   /run/docker/plugins       NAME.sock, NAME/NAME.sock       a Unix socket
//   /etc/docker/plugins       NAME.spec, NAME/NAME.spec       one line: unix:///path, tcp://host:port
//   /usr/lib/docker/plugins   NAME.json, NAME/NAME.json       {"Addr": "https://host:port", "TLSConfig": {...}}
//
// in this order, the first that is there. It is looked up anew whenever a plugin does not answer, for one that was started
// again may be elsewhere.
import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { unavailable, WeftError } from "../errors.ts";
import { type PluginTls, readTls } from "./tls.ts";

export interface PluginFolders {
  /** With sockets. */
  readonly sockets: readonly string[];
  /** With files that say where the plugin is. */
  readonly specs: readonly string[];
}

export type PluginAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls: PluginTls | null };

/** A name is also a file's name, so it leads nowhere else. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const HTTP_PORT = 80;
const HTTPS_PORT = 443;

const description = z.object({
  Addr: z.string(),
  TLSConfig: z
    .object({
      InsecureSkipVerify: z.boolean().optional(),
      CAFile: z.string().optional(),
      CertFile: z.string().optional(),
      KeyFile: z.string().optional(),
    })
    .nullish(),
});

/** Null: there is no plugin of this name. Throws UNAVAILABLE naming a file that says nothing usable. */
export function findPlugin(name: string, folders: PluginFolders): PluginAddress | null {
  if (!NAME.test(name)) return null;
  const inFolder = (folder: string, ending: string): string[] => [
    join(folder, `${name}.${ending}`),
    join(folder, name, `${name}.${ending}`),
  ];
  const socket = folders.sockets.flatMap((folder) => inFolder(folder, "sock")).find((path) => existsSync(path));
  if (socket !== undefined) return { kind: "unix", path: socket };
  const file = folders.specs
    .flatMap((folder) => [...inFolder(folder, "spec"), ...inFolder(folder, "json")])
    .find((path) => existsSync(path));
  if (file === undefined) return null;
  try {
    return file.endsWith(".json") ? ofDescription(readFileSync(file, "utf8"), file) : ofUrl(readFileSync(file, "utf8").trim(), null);
  } catch (error) {
    if (error instanceof WeftError) throw error;
    throw unavailable(`${file} does not say where plugin ${name} is: ${(error as Error).message}`);
  }
}

function ofDescription(text: string, file: string): PluginAddress {
  const { Addr, TLSConfig } = description.parse(JSON.parse(text));
  return ofUrl(Addr, TLSConfig ? readTls(TLSConfig, file) : null);
}

function ofUrl(text: string, tls: PluginTls | null): PluginAddress {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (!isAbsolute(path)) throw new Error(`${text} has no absolute path`);
    return { kind: "unix", path };
  }
  const url = new URL(text);
  const secure = url.protocol === "https:" || tls !== null;
  if (!["tcp:", "http:", "https:"].includes(url.protocol)) throw new Error(`${text} is neither unix:// nor tcp:// nor http(s)://`);
  return {
    kind: "tcp",
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port) || (secure ? HTTPS_PORT : HTTP_PORT),
    tls: secure ? (tls ?? { verify: true }) : null,
  };
}

export const describeAddress = (address: PluginAddress): string =>
  address.kind === "unix" ? `unix://${address.path}` : `${address.tls === null ? "http" : "https"}://${address.host}:${address.port}`;
