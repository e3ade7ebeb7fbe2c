// The embedded DNS: a resolver at 127.0.0.11 in each sandbox's namespace, by UDP and TCP, and the files that name it.
//
// Answers are computed from records at the moment of the question. A network's names are kept from one question to the next
// for as long as no record changes, so a removed sandbox is gone with the commit that removes it.
import { randomInt } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { descriptorLimit } from "../config/descriptors.ts";
import { WeftError } from "../errors.ts";
import type { Native } from "../ports/native.ts";
import { onHostStack, ownFiles } from "../records/own-files.ts";
import type { Id, SandboxRecord } from "../records/records.ts";
import { AnswerCache } from "./cache.ts";
import { resolvedHosts } from "./extra-hosts.ts";
import { hostResolvConf, plainResolvConf, SandboxFiles, sandboxHosts, sandboxResolvConf } from "./files.ts";
import { Gate } from "./gate.ts";
import type { NameRecords, NameService } from "./names.ts";
import { parseResolvConf, type ResolvConf } from "./resolv-conf.ts";
import { Resolver, type View } from "./resolver.ts";
import { ResolverServer } from "./server.ts";
import { type SocketSource, socketExchange } from "./transport.ts";
import { IO_TIMEOUT_MS, RESOLVER_ADDRESS, type Server, upstreamServers } from "./upstream.ts";
import { type NetworkNames, networkNames, withLinks } from "./zone.ts";

const DNS_PORT = 53;
/** In the sandbox's namespace. */
export const DNS_TABLE = "weft_dns";
const NO_CONF: ResolvConf = { servers: [], search: [], options: [] };

export interface EmbeddedDnsOptions {
  readonly native: SocketSource & Pick<Native, "openLoopbackService" | "removeLoopbackService">;
  readonly stateDir: string;
  /** The host's, which says who answers what nobody here can. */
  readonly resolvConfPath: string;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly warn?: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class EmbeddedDns implements NameService {
  readonly #options: EmbeddedDnsOptions;
  readonly #files: SandboxFiles;
  readonly #cache: AnswerCache;
  /** A question under way is a socket. */
  readonly #upstreamGate = new Gate(Math.floor(descriptorLimit() / 4), IO_TIMEOUT_MS);
  readonly #servers = new Map<Id, ResolverServer>();
  readonly #zones = new Map<Id, NetworkNames>();
  /** What is not as it should be, by sandbox. */
  readonly #warnings = new Map<Id, string>();
  #zonesGeneration = -1;
  #records: NameRecords | undefined;
  #hostConf = NO_CONF;
  #hostConfStamp = "";

  constructor(options: EmbeddedDnsOptions) {
    this.#options = options;
    this.#files = new SandboxFiles(options.stateDir, (message) => options.warn?.(message, {}));
    this.#cache = new AnswerCache(options.clock);
  }

  /** Before the first `open`. */
  follow(records: NameRecords): void {
    this.#records = records;
  }

  async open(sandbox: SandboxRecord): Promise<void> {
    const answers = this.#answersFor(sandbox);
    await this.#writeFiles(sandbox, answers);
    if (answers && !(await this.#serve(sandbox))) await this.#writeFiles(sandbox, false);
  }

  async refresh(sandbox: SandboxRecord): Promise<void> {
    const answers = this.#answersFor(sandbox);
    // Nobody is sent to a resolver that isn't there.
    const served = answers && (this.#servers.has(sandbox.id) || (await this.#serve(sandbox)));
    await this.#writeFiles(sandbox, served);
    if (!answers && this.#servers.has(sandbox.id)) await this.#endServing(sandbox);
  }

  /**
   * Not where its only network is the predefined bridge: names mean nothing there, and it asks the host's servers itself. Nor on
   * the host's stack.
   */
  #answersFor({ id, namespacePath }: SandboxRecord): boolean {
    if (onHostStack({ namespacePath })) return false;
    const attachments = this.#followed.attachments(id);
    return attachments.length === 0 || attachments.some(({ named }) => named);
  }

  /** Answers whether somebody answers in the sandbox now. */
  async #serve(sandbox: SandboxRecord): Promise<boolean> {
    try {
      await this.#listen(sandbox, false);
      this.#warnings.delete(sandbox.id);
      return true;
    } catch (error) {
      if (!/nftables|NETLINK_NETFILTER/.test((error as Error).message)) {
        throw new WeftError("UNAVAILABLE", `cannot serve DNS in sandbox ${sandbox.name}: ${(error as Error).message}`, { cause: error });
      }
      return this.#serveWithoutRules(sandbox, (error as Error).message);
    }
  }

  /** On kernels without nf_tables: at the port itself, where programs can't bind 0.0.0.0:53 then; or not at all. */
  async #serveWithoutRules(sandbox: SandboxRecord, reason: string): Promise<boolean> {
    this.#servers.get(sandbox.id)?.close();
    this.#servers.delete(sandbox.id);
    let warning = "this kernel has no nf_tables: no program in the sandbox can bind port 53 of all addresses";
    let served = true;
    try {
      await this.#listen(sandbox, true);
    } catch (error) {
      served = false;
      warning = `this kernel has no nf_tables and port 53 is taken (${(error as Error).message}): names are not answered here`;
    }
    if (this.#warnings.get(sandbox.id) !== warning) this.#options.warn?.(warning, { sandbox: sandbox.name, reason });
    this.#warnings.set(sandbox.id, warning);
    return served;
  }

  async #listen(sandbox: SandboxRecord, direct: boolean): Promise<void> {
    const place = { namespace: sandbox.namespacePath, address: RESOLVER_ADDRESS, port: DNS_PORT, table: DNS_TABLE };
    const fds = await this.#options.native.openLoopbackService({ ...place, direct });
    const server = await ResolverServer.start(this.#resolver(sandbox.id), fds);
    this.#servers.get(sandbox.id)?.close();
    this.#servers.set(sandbox.id, server);
  }

  warning(id: Id): string | null {
    return this.#warnings.get(id) ?? null;
  }

  async #endServing(sandbox: SandboxRecord): Promise<void> {
    this.#servers.get(sandbox.id)?.close();
    this.#servers.delete(sandbox.id);
    await this.#options.native.removeLoopbackService(sandbox.namespacePath, DNS_TABLE);
  }

  async #writeFiles(sandbox: SandboxRecord, answers: boolean): Promise<void> {
    const own = ownFiles(sandbox);
    await this.#files.write(sandbox.id, {
      resolvConf: own.resolvConf ? this.#resolvConf(sandbox, answers) : null,
      hosts: own.hosts ? this.#hosts(sandbox) : null,
      hostname: own.hostname ? `${sandbox.hostname}\n` : null,
    });
  }

  #resolvConf(sandbox: SandboxRecord, answers: boolean): string {
    if (answers) return sandboxResolvConf(sandbox.dns, this.#host());
    if (onHostStack(sandbox)) return hostResolvConf(sandbox.dns, this.#host());
    const ipv6 = this.#followed.attachments(sandbox.id).some(({ endpoint }) => endpoint.ipv6 !== null);
    return plainResolvConf(sandbox.dns, this.#host(), ipv6);
  }

  /** Without the host's lines on the host's stack too, as in Docker: `--add-host` may give a name of theirs another address. */
  #hosts({ id, hostname, domainname, extraHosts }: SandboxRecord): string {
    const attachments = this.#followed.attachments(id);
    const endpoints = attachments.map(({ endpoint }) => endpoint);
    const networks = attachments.map(({ network }) => network);
    const extra = resolvedHosts(extraHosts, networks, this.#followed.defaultBridge?.());
    return sandboxHosts(hostname, endpoints, this.#followed.links(id), { domainname, extra });
  }

  async close(sandbox: SandboxRecord, namespaceStays: boolean): Promise<void> {
    this.#servers.get(sandbox.id)?.close();
    this.#servers.delete(sandbox.id);
    this.#warnings.delete(sandbox.id);
    await this.#files.remove(sandbox.id);
    if (namespaceStays && !onHostStack(sandbox)) await this.#options.native.removeLoopbackService(sandbox.namespacePath, DNS_TABLE);
  }

  hasFiles(id: Id): boolean {
    return this.#files.has(id);
  }

  prune(known: ReadonlySet<Id>): Promise<void> {
    return this.#files.prune(known);
  }

  /** At the daemon's end: nobody answers any more, the rest stays for the next one. */
  stop(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  get #followed(): NameRecords {
    if (this.#records === undefined) throw new Error("the name service follows no records yet");
    return this.#records;
  }

  #resolver(id: Id): Resolver {
    return new Resolver({
      view: () => this.#view(id),
      servers: () => this.#upstream(id),
      exchange: socketExchange(this.#options.native),
      cache: this.#cache,
      common: this.#upstreamGate,
      random: (bound) => randomInt(bound),
    });
  }

  #view(id: Id): View {
    const records = this.#followed;
    if (this.#zonesGeneration !== records.generation) {
      this.#zones.clear();
      this.#zonesGeneration = records.generation;
    }
    const named = records.attachments(id).filter((attachment) => attachment.named);
    const networks = named.map(({ network, endpoint }) => {
      let names = this.#zones.get(network.id);
      if (names === undefined) {
        names = networkNames(network, records.members(network.id));
        this.#zones.set(network.id, names);
      }
      return withLinks(names, endpoint.links);
    });
    return { sandbox: records.sandbox(id)!, networks };
  }

  #upstream(id: Id): Server[] {
    const records = this.#followed;
    const closed = records.attachments(id).every(({ network }) => network.internal);
    return upstreamServers(records.sandbox(id)!, closed, this.#host().servers);
  }

  /** Read again when it has changed: networks of laptops and leases do. */
  #host(): ResolvConf {
    const path = this.#options.resolvConfPath;
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp !== this.#hostConfStamp) {
        this.#hostConf = parseResolvConf(readFileSync(path, "utf8"));
        this.#hostConfStamp = stamp;
      }
    } catch {
      // Without the file there is nobody to ask, and questions about the world fail until there is.
      this.#hostConf = NO_CONF;
      this.#hostConfStamp = "";
    }
    return this.#hostConf;
  }
}
