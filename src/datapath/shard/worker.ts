// The worker thread: one shard and its loop. It blocks in the poller and never returns to Node's event loop, so nothing here
// may wait for a promise; messages are fetched when the poller says that it was woken.
//
// Started by client.ts from build/dist, also in tests: Node 20 runs no TypeScript in a worker.
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { createAead, createPoller } from "../../ports/port.ts";
import type { CipherInfo, FromWorker, Notice, ToWorker, WorkerStart } from "../messages.ts";
import { createMemory } from "../module.ts";
import { openAead } from "./aead.ts";
import { Shard } from "./shard.ts";

/** A sleep ends for a frame, a message or the tick. */
const SLEEP_MS = 1000;
/** How long frames wait in the kernel's queues for the tables to be sent again after a trap. */
const REPLAY_WAIT_MS = 2000;

const { port, start } = workerData as { port: MessagePort; start: WorkerStart };
const bell = new Int32Array(start.bell);
const poller = createPoller();
poller.setSpinUs(start.spinUs);

/** Until when the loop waits for tables instead of frames; 0: it doesn't. */
let replayUntilMs = 0;

function post(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, [...transfer]);
}

function notify(notice: Notice, transfer?: readonly ArrayBuffer[]): void {
  if (notice.notice === "rebuilt") replayUntilMs = performance.now() + REPLAY_WAIT_MS;
  post(notice, transfer);
}

let cipher: CipherInfo = { by: "none", reason: "" };
const shard = new Shard({
  module: start.module,
  memory: createMemory(),
  poller,
  cipher: (views, engine) => {
    const opened = openAead({ choice: start.crypto, views, engine, native: createAead });
    cipher = { by: opened.by, reason: opened.reason };
    return opened;
  },
  fdbSlots: start.fdbSlots,
  trapsFolder: start.trapsFolder,
  notify,
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
});

let running = true;

function readMessages(): void {
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    const message = received.message as ToWorker;
    if ("captured" in message) {
      shard.captureTaken(message.captured);
      continue;
    }
    const { id, request } = message;
    const transfer: ArrayBuffer[] = [];
    try {
      const reply = shard.execute(request, transfer);
      if (request.kind === "apply" && request.generation === shard.generation) replayUntilMs = 0;
      if (request.kind === "stop") running = false;
      post({ id, reply }, transfer);
    } catch (error) {
      post({ id, failure: error instanceof Error ? error.message : String(error) });
    }
  }
}

/** After a trap the engine is empty: frames taken now would be dropped, frames left in their queues are late at worst. */
function awaitReplay(): void {
  const rung = Atomics.load(bell, 0);
  readMessages();
  const leftMs = replayUntilMs - performance.now();
  if (leftMs <= 0) replayUntilMs = 0;
  else if (replayUntilMs > 0) Atomics.wait(bell, 0, rung, leftMs);
}

notify({ notice: "ready", wakeFd: poller.wakeFd, abiVersion: shard.abiVersion, cipher });

let turns = 0;
while (running) {
  if (replayUntilMs > 0) {
    awaitReplay();
    continue;
  }
  const count = shard.turn(SLEEP_MS);
  // A missed wake must not cost more than the tick: an idle turn looks as well.
  if (poller.woken() || count === 0 || (++turns & 0xfff) === 0) readMessages();
}
port.close();
