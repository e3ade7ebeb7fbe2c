// Docker's programs, without installing them: apt tells which Debian packages are missing for docker.io, they are downloaded and
// unpacked under build/oracle. Installing would start a dockerd in the machine's own stack at once, with a bridge and firewall
// rules there, and again at each boot. What the machine has already is used from where it is.
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT, run, StepError } from "../steps.mjs";

const PACKAGES = ["docker.io", "busybox-static"];
const FOLDER = join(ROOT, "build/oracle");
const UNPACKED = join(FOLDER, "root");
const LINKS = join(FOLDER, "bin");

/** The folders of the unpacked programs come first. */
export function searchPath() {
  const folders = ["usr/sbin", "usr/bin", "sbin", "bin"].map((name) => join(UNPACKED, name));
  return [LINKS, ...folders, process.env.PATH ?? ""].join(delimiter);
}

/** @param {string} program @returns {string} its path */
export function programPath(program) {
  for (const folder of searchPath().split(delimiter)) if (folder && existsSync(join(folder, program))) return join(folder, program);
  throw new StepError(`${program} is missing: remove build/oracle and run again, or install it by apt-get`);
}

/** Of programs that were unpacked and not installed. */
export function programEnvironment() {
  const libraries = existsSync(join(UNPACKED, "usr/lib"))
    ? readdirSync(join(UNPACKED, "usr/lib")).filter((name) => name.endsWith("-linux-gnu"))
    : [];
  const folders = libraries.map((name) => join(UNPACKED, "usr/lib", name));
  return {
    PATH: searchPath(),
    ...(folders.length > 0 ? { LD_LIBRARY_PATH: folders.join(delimiter) } : {}),
    ...(folders.some((folder) => existsSync(join(folder, "xtables"))) ? { XTABLES_LIBDIR: join(folders[0] ?? "", "xtables") } : {}),
  };
}

function complete() {
  try {
    for (const program of ["dockerd", "docker", "containerd", "runc", "tini", "busybox", "iptables"]) programPath(program);
    return true;
  } catch {
    return false;
  }
}

/** Null when all is there. */
export async function dockerPackages() {
  if (complete()) return null;
  const plan = () => run(["apt-get", "-s", "-q", "install", "--no-install-recommends", ...PACKAGES]);
  const text = await plan().catch(async () => {
    await run(["apt-get", "-q", "update"]);
    return plan();
  });
  const missing = [...text.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? "");
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(UNPACKED, { recursive: true });
  mkdirSync(LINKS);
  if (missing.length > 0) await run(["apt-get", "-q", "download", ...missing], { cwd: FOLDER });
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".deb"))) {
    await run(["dpkg-deb", "-x", join(FOLDER, file), UNPACKED]);
    rmSync(join(FOLDER, file));
  }
  // The packages' own scripts, which were not run, would make these names.
  const multi = join(UNPACKED, "usr/sbin/xtables-nft-multi");
  if (existsSync(multi)) {
    for (const family of ["iptables", "ip6tables"]) {
      for (const suffix of ["", "-save", "-restore"]) symlinkSync(multi, join(LINKS, `${family}${suffix}`));
    }
  }
  if (!complete()) throw new StepError(`the packages ${missing.join(", ")} were unpacked under build/oracle and Docker is still not whole`);
  return `unpacked ${missing.length} packages under build/oracle`;
}
