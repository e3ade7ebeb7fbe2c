// Which Docker Weft is held against.
//
//   debian   docker.io of the distribution (20.10 in bookworm): everywhere where apt is, in seconds
//   moby     the engine's newest release that is a Go module, built here by go in some minutes: what Weft follows where the two
//            differ. Debian's containerd, its iptables and its busybox serve this one too; runc is built, for Debian's is too old
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT, run } from "../steps.mjs";
import { programEnvironment, programPath } from "./packages.mjs";

const MOBY = "v2.0.0-beta.24";
const RUNC = "v1.3.3";
const FOLDER = join(ROOT, `build/oracle-moby-${MOBY}`);
const BUILT = ["dockerd", "docker-proxy", "runc"];

export const ENGINES = ["debian", "moby"];

/**
 * @typedef {{ dockerd: string, docker: string, arguments: string[], environment: Record<string, string> }} Engine
 */

export const hasGo = () => (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, "go")));

/** The engine's programs, which must be there. @param {string} name @returns {Engine} */
export function engine(name) {
  const environment = programEnvironment();
  if (name === "debian") return { dockerd: programPath("dockerd"), docker: programPath("docker"), arguments: [], environment };
  return {
    dockerd: join(FOLDER, "dockerd"),
    // A client that knows the engine's newer answers, if the machine has one; Debian's leaves out what it doesn't know.
    docker:
      (process.env.PATH ?? "")
        .split(delimiter)
        .map((folder) => join(folder, "docker"))
        .find((path) => existsSync(path)) ?? programPath("docker"),
    // runc is built without libseccomp.
    arguments: ["--seccomp-profile", "unconfined"],
    environment: { ...environment, PATH: `${FOLDER}${delimiter}${environment.PATH}` },
  };
}

/** Null when it is there. */
export async function buildMoby() {
  if (BUILT.every((program) => existsSync(join(FOLDER, program)))) return null;
  mkdirSync(FOLDER, { recursive: true });
  const nicely = ["nice", "-n", "10"];
  for (const program of ["dockerd", "docker-proxy"]) {
    const tags = ["-tags", "exclude_graphdriver_btrfs no_systemd"];
    await run([...nicely, "go", "install", ...tags, `github.com/moby/moby/v2/cmd/${program}@${MOBY}`], {
      cwd: FOLDER,
      env: { GOBIN: FOLDER },
    });
  }
  // Its go.mod has replacements, with which `go install` refuses: so it is built as a module that another one requires.
  const module = join(FOLDER, "runc-module");
  mkdirSync(module, { recursive: true });
  writeFileSync(join(module, "go.mod"), "module oracle\n");
  await run(["go", "get", `github.com/opencontainers/runc@${RUNC}`], { cwd: module });
  await run([...nicely, "go", "build", "-o", join(FOLDER, "runc"), "github.com/opencontainers/runc"], { cwd: module });
  return "built";
}
