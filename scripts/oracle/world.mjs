// Both machines, side by side, under one lab: everything is removed on the way out, whatever happened. The machines' first
// processes are killed before the lab looks for the rest, because asking them nicely takes seconds each.
import { setTimeout as wait } from "node:timers/promises";
import { Lab } from "../lab.mjs";
import { removeGroups } from "./machine.mjs";

const NAME = "weft-oracle";
export const CONTROL_GROUP = NAME;
const GROUPS_MS = 5000;

export class OracleLab extends Lab {
  constructor() {
    super(NAME);
    /** @type {import("./machine.mjs").Machine[]} */
    this.machines = [];
  }

  /** @override */
  async removeAll() {
    for (const { init } of this.machines) {
      try {
        if (init > 0) process.kill(init, "SIGKILL");
      } catch {
        // gone already
      }
    }
    await super.removeAll();
    // A group can be removed once the kernel has buried its last process.
    for (const deadline = Date.now() + GROUPS_MS; ; await wait(50)) {
      try {
        return removeGroups(CONTROL_GROUP);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }
}
