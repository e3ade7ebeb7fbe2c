// Builds the native addon and its shim: native/ -> build/weft.node, build/weft-shim. Skips when nothing that goes into it is newer than the result.
// Only what Node itself ships is used, so that it runs before `npm ci`.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "native");
const result = join(root, "build", "weft.node");
/** What cargo makes, and where it goes. */
const products = [
  { made: join(source, "target", "release", "weft-shim"), path: join(root, "build", "weft-shim") },
  { made: join(source, "target", "release", "libweft_native.so"), path: result },
];

/** Every file that decides what the addon is. */
function inputs() {
  const files = readdirSync(join(source, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  return [...files, ...["Cargo.toml", "Cargo.lock", "build.rs"].map((name) => join(source, name))];
}

function isFresh() {
  if (!products.every(({ path }) => existsSync(path))) return false;
  const builtMs = statSync(result).mtimeMs;
  const newer = inputs().find((file) => statSync(file).mtimeMs > builtMs);
  if (newer !== undefined) console.log(`native: ${relative(root, newer)} is newer than build/weft.node`);
  return newer === undefined;
}

if (isFresh()) {
  console.log("native: build/weft.node is up to date");
  process.exit(0);
}
const startMs = Date.now();
console.log("native: cargo build --release (the first time downloads and compiles the dependencies)");
const jobs = process.env.CARGO_BUILD_JOBS === undefined ? [] : ["-j", process.env.CARGO_BUILD_JOBS];
const cargo = spawnSync("cargo", ["build", "--release", "--locked", ...jobs, "--manifest-path", join(source, "Cargo.toml")], {
  stdio: "inherit",
  // A target directory of the user's would put the library where it is not looked for.
  env: { ...process.env, CARGO_TARGET_DIR: join(source, "target") },
});
if (cargo.error !== undefined) {
  console.error(`native: cargo can't be run (${cargo.error.message}): install Rust, on Debian 'apt-get install cargo' or rustup`);
  process.exit(1);
}
if (cargo.status !== 0) {
  console.error(`native: cargo failed with ${cargo.signal ?? `exit code ${cargo.status}`}`);
  process.exit(1);
}
mkdirSync(dirname(result), { recursive: true });
// Renamed into place: a process that has the old file mapped keeps it.
for (const { made, path } of products) {
  copyFileSync(made, `${path}.new`);
  renameSync(`${path}.new`, path);
}
console.log(`native: build/weft.node built in ${((Date.now() - startMs) / 1000).toFixed(1)} s`);
