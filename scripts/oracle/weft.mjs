// Weft's side: a daemon in its machine, and bin/weft. A container is a sandbox here, and the programs in it are the host's, so
// that busybox is the same file on both sides.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, StepError } from "../steps.mjs";
import { programPath } from "./packages.mjs";

const SOCKET = "/run/weft/weft.sock";

export class WeftSide {
  name = "weft";

  /** @param {import("./machine.mjs").Machine} machine */
  constructor(machine) {
    this.machine = machine;
    this.busybox = programPath("busybox");
    machine.environment = { ...machine.environment, ...{ WEFT_SOCKET: SOCKET } };
  }

  async start() {
    const { machine } = this;
    machine.serve([join(ROOT, "bin/weft"), "daemon", "--socket", SOCKET, "--state-dir", "/run/weft-state", "--log-format", "text"], "weft");
    const { code } = await this.cli(["status", "--wait", "20s"]);
    if (code !== 0) throw new StepError("the weft daemon did not come up", readFileSync(join(machine.lab.folder, "weft.log"), "utf8"));
    return (await this.cli(["version", "--format", "{{.Daemon.Version}}"])).stdout.trim();
  }

  /** @param {string[]} argv @param {string} [input] */
  cli(argv, input) {
    return this.machine.do([join(ROOT, "bin/weft"), ...argv], input === undefined ? {} : { input });
  }

  /** One action of a case, in this side's words. @param {string[]} action @param {string} [input] */
  act(action, input) {
    const [verb, ...rest] = /** @type {[string, ...string[]]} */ (action);
    if (verb === "start") return this.cli(["sandbox", "create", ...rest.slice(1), rest[0] ?? ""]);
    if (verb === "exec") return this.cli(["sandbox", "exec", rest[0] ?? "", "--", this.busybox, ...rest.slice(1)]);
    if (verb === "serve") {
      this.machine.serve([join(ROOT, "bin/weft"), "sandbox", "exec", rest[0] ?? "", "--", this.busybox, ...rest.slice(1)], "weft-programs");
      return Promise.resolve({ code: 0, stdout: "", stderr: "" });
    }
    if (verb === "remove") return this.cli(["sandbox", "rm", "-f", ...rest]);
    if (verb === "container-inspect") return this.cli(["sandbox", "inspect", ...rest]);
    return this.cli(action, input);
  }

  /** A program of this machine in a sandbox's network. @param {string} sandbox @param {string[]} argv */
  async within(sandbox, argv) {
    const { stdout } = await this.cli(["sandbox", "inspect", "--format", "{{.NetworkSettings.SandboxKey}}", sandbox]);
    return this.machine.do(["nsenter", `--net=${stdout.trim()}`, "--", ...argv]);
  }
}
