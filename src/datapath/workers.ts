// The worker with all that it takes: brought up at the start, and again after one died. Descriptors are this thread's: TAPs and
// packet sockets go on with the next worker as they are, with the loss of some frames; the underlay's sockets are opened anew.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WeftError } from "../errors.ts";
import { closeFds } from "../ports/port.ts";
import { descriptorsOf, openUnderlay, type UnderlaySockets } from "../ports/underlay.ts";
import type { UnderlayEnd } from "./capture/capture.ts";
import type { Captures } from "./capture/captures.ts";
import { Client } from "./client.ts";
import type { Esp } from "./esp.ts";
import type { Attachment, Notice } from "./messages.ts";
import { errorsName, type Plane, type Settings, underlayName, type Worker } from "./plane.ts";
import { Sync } from "./tables/sync.ts";
import { attachment, LOST } from "./taps.ts";
import { addressBytes } from "./words.ts";

/** A worker that dies again and again is for the operator to look at. */
const REVIVALS_MAX = 5;
const REVIVAL_WAIT_MS = 200;

const underlayEnd = ({ address, port, sourcePorts }: UnderlaySockets): UnderlayEnd => ({
  address: addressBytes(address),
  port,
  sourcePorts,
});

export class Workers {
  readonly #plane: Plane;
  readonly #captures: Captures;
  readonly #esp: Esp;
  readonly #onNotice: (client: Client | null, notice: Notice) => void;

  constructor(plane: Plane, captures: Captures, esp: Esp, onNotice: (client: Client | null, notice: Notice) => void) {
    this.#plane = plane;
    this.#captures = captures;
    this.#esp = esp;
    this.#onNotice = onNotice;
  }

  /** Underlay and worker, with the tables and TAPs that there are to be: none at the start, all of them after a worker died. */
  async bringUp(settings: Settings): Promise<Worker> {
    const { tables, taps, log } = this.#plane;
    const underlays: UnderlaySockets[] = [];
    let client: Client | null = null;
    try {
      for (const address of settings.addresses) {
        const namespace = settings.options.underlayNamespacePath ?? null;
        underlays.push(await openUnderlay(namespace, address, settings.vxlanPort, process.pid, (message) => log("warn", message)));
      }
      client = await Client.start({
        module: settings.module,
        fdbSlots: settings.fdbSlots,
        spinUs: settings.spinUs,
        crypto: settings.options.crypto ?? "auto",
        trapsFolder: join(settings.options.stateDir, "traps"),
        onNotice: (notice) => this.#onNotice(client, notice),
        onDeath: (error) => this.#died(client, error),
      });
      tables.setUnderlays(
        underlays.map(({ address, port, fds, errorsFd }) => {
          const errors = errorsFd === null ? null : errorsName(address);
          return { name: underlayName(address), address, udpPort: port, socketCount: fds.length - 1, errors };
        }),
      );
      const sync = new Sync(client, tables, () => this.#esp.allKeys());
      const attach: Attachment[] = underlays.map(({ address, fds }) => ({
        port: this.#plane.portIndex(underlayName(address)),
        kind: "udp",
        fds: [...fds],
      }));
      for (const { address, errorsFd } of underlays) {
        if (errorsFd !== null) attach.push({ port: this.#plane.portIndex(errorsName(address)), kind: "icmp", fds: [errorsFd] });
      }
      for (const tap of await taps.reopen(taps.lost, log)) taps.set(tap);
      for (const tap of taps.all) if (tap.fd !== LOST) attach.push(attachment(tap, tables.names.ports));
      await sync.become(tables.imageOf(this.#plane.standing, this.#captures.marks), { release: [], attach });
      this.#plane.listen();
      return { client, sync, underlays, underlayEnds: new Map(underlays.map((one) => [underlayName(one.address), underlayEnd(one)])) };
    } catch (error) {
      if (client !== null && !client.dead) await client.stop().catch(() => {}); // it died on the way
      await closeFds(underlays.flatMap(descriptorsOf));
      throw error;
    }
  }

  #died(client: Client | null, error: WeftError): void {
    const plane = this.#plane;
    plane.log("error", error.message);
    if (plane.running === null || plane.running.client !== client) return; // it was being brought up: whoever did so knows
    const orphaned = [...plane.running.underlays.flatMap(descriptorsOf), ...this.#esp.lose()];
    plane.running = { ...plane.running, underlays: [] };
    plane.serially(async () => {
      await closeFds(orphaned); // their ports are wanted again
      for (let attempt = 1; plane.running !== null; attempt++) {
        try {
          plane.running = { ...plane.running, ...(await this.bringUp(plane.running)) };
          this.#captures.tell().catch(() => undefined);
          plane.log("warn", "the datapath worker was started again", { attempt });
          return;
        } catch (failure) {
          plane.log("error", `cannot start the datapath worker again: ${(failure as Error).message}`, { attempt });
          if (attempt === REVIVALS_MAX) return;
          await sleep(REVIVAL_WAIT_MS * attempt);
        }
      }
    });
  }
}
