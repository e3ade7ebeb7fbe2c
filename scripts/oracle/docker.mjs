// Docker's side: a dockerd in its machine, its command line, and one image with nothing but busybox in it, imported because
// there is no registry to pull from.
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { run, StepError } from "../steps.mjs";
import { programPath } from "./packages.mjs";
import { CONTROL_GROUP } from "./world.mjs";

const IMAGE = "weft-oracle:busybox";
const READY_MS = 30_000;
/** Longer than any comparison takes. */
const SLEEP = ["/bin/busybox", "sleep", "100000"];

export class DockerSide {
  name = "docker";

  /** @param {import("./machine.mjs").Machine} machine @param {import("./engines.mjs").Engine} engine */
  constructor(machine, engine) {
    this.machine = machine;
    this.engine = engine;
    machine.environment = { ...engine.environment, ...{ DOCKER_HOST: "unix:///run/docker.sock", DOCKER_CONFIG: "/run/docker-config" } };
  }

  async start() {
    const { machine } = this;
    await machine.do(["sh", "-c", "echo '{}' > /run/daemon.json"]);
    machine.serve(
      [
        ...[
          this.engine.dockerd,
          ...this.engine.arguments,
          "--config-file",
          "/run/daemon.json",
          "--data-root",
          "/run/docker-data",
          "--exec-root",
          "/run/docker-exec",
        ],
        ...["--host", "unix:///run/docker.sock", "--pidfile", "/run/docker.pid", "--cgroup-parent", `/${CONTROL_GROUP}`],
      ],
      "dockerd",
    );
    for (const deadline = Date.now() + READY_MS; (await this.cli(["version"])).code !== 0; await wait(100)) {
      if (Date.now() > deadline) {
        throw new StepError("dockerd did not come up", readFileSync(join(machine.lab.folder, "dockerd.log"), "utf8"));
      }
    }
    await this.image();
    const { stdout } = await this.cli([
      "version",
      "--format",
      "{{.Server.Version}} (API {{.Server.APIVersion}}), client {{.Client.Version}}",
    ]);
    return stdout.trim();
  }

  async image() {
    const folder = join(this.machine.lab.folder, "image");
    mkdirSync(join(folder, "bin"), { recursive: true });
    mkdirSync(join(folder, "tmp"));
    cpSync(programPath("busybox"), join(folder, "bin/busybox"), { dereference: true });
    symlinkSync("busybox", join(folder, "bin/sh"));
    const archive = join(this.machine.lab.folder, "image.tar");
    await run(["tar", "-C", folder, "-cf", archive, "."]);
    const { code, stderr } = await this.cli(["import", "-", IMAGE], readFileSync(archive));
    rmSync(folder, { recursive: true });
    if (code !== 0) throw new StepError("the image could not be imported", stderr);
  }

  /** @param {string[]} argv @param {string | Buffer} [input] */
  cli(argv, input) {
    return this.machine.do([this.engine.docker, ...argv], input === undefined ? {} : { input: /** @type {string} */ (input) });
  }

  /** One action of a case, in this side's words. @param {string[]} action @param {string} [input] */
  act(action, input) {
    const [verb, ...rest] = /** @type {[string, ...string[]]} */ (action);
    if (verb === "start") return this.cli(["run", "-d", "--name", rest[0] ?? "", ...rest.slice(1), IMAGE, ...SLEEP]);
    if (verb === "exec") return this.cli(["exec", rest[0] ?? "", "/bin/busybox", ...rest.slice(1)]);
    if (verb === "serve") return this.cli(["exec", "-d", rest[0] ?? "", "/bin/busybox", ...rest.slice(1)]);
    if (verb === "remove") return this.cli(["rm", "-f", ...rest]);
    if (verb === "container-inspect") return this.cli(["container", "inspect", ...rest]);
    return this.cli(action, input);
  }

  /** A program of this machine in a container's network. @param {string} container @param {string[]} argv */
  async within(container, argv) {
    const { stdout } = await this.cli(["inspect", "--format", "{{.NetworkSettings.SandboxKey}}", container]);
    return this.machine.do(["nsenter", `--net=${stdout.trim()}`, "--", ...argv]);
  }
}
