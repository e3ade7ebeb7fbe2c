// One request of the plugin protocol: an HTTP/1.1 POST, JSON in, JSON out, over a Unix socket or TCP. Everything is bounded,
// for a plugin is a program of other people: the time until the answer is whole, and its size.
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { VERSION } from "../config/version.ts";
import type { PluginAddress } from "./discovery.ts";
import { explainTls } from "./tls.ts";

const ACCEPT = "application/vnd.docker.plugins.v1.2+json";
const ANSWER_MAX_BYTES = 1024 * 1024;
const ANSWER_TIMEOUT_MS = 15_000;

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Nobody took the request, so it can be sent again. */
export class NotConnected extends Error {}

function open(address: PluginAddress, options: RequestOptions): ClientRequest {
  if (address.kind === "unix") return httpRequest({ ...options, socketPath: address.path });
  const at = { ...options, host: address.host, port: address.port };
  if (address.tls === null) return httpRequest(at);
  const { verify, ...files } = address.tls;
  return httpsRequest({ ...at, ...files, rejectUnauthorized: verify });
}

/** `path`: "/IpamDriver.RequestPool". `body` null: none, as the handshake has it. Rejects with NotConnected, TlsFailed or an Error. */
export function post(address: PluginAddress, path: string, body: string | null, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = body ?? "";
    const request = open(address, {
      method: "POST",
      agent: false, // a connection that is kept may be one to a plugin that has gone
      setHost: false, // dockerd sends an empty one
      path,
      headers: { Host: "", "User-Agent": `weft/${VERSION}`, "Content-Length": Buffer.byteLength(payload), Accept: ACCEPT },
    });
    let connected = false;
    const fail = (error: Error): void => {
      clearTimeout(timer);
      request.destroy();
      const refused = address.kind === "tcp" && address.tls !== null ? explainTls(error, address.tls, address.host) : null;
      reject(refused ?? (connected ? error : new NotConnected(error.message)));
    };
    const timer = setTimeout(() => {
      connected = true; // it may have been heard, by whoever listens so slowly
      fail(new Error(`no answer within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    request.on("socket", (socket) => {
      const event = address.kind === "tcp" && address.tls !== null ? "secureConnect" : "connect";
      if (!socket.connecting && event === "connect") connected = true;
      else socket.once(event, () => (connected = true));
    });
    request.on("error", fail);
    request.on("response", (response) => {
      read(response).then((text) => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, text });
      }, fail);
    });
    request.end(payload);
  });
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_MAX_BYTES) throw new Error(`an answer of more than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
