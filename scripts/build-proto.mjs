// Writes TypeScript types for the API from proto/: what proto-loader hands to handlers and clients, with the same options as
// src/api/proto.ts gives it at run time. Generated, so not in git: src/api/generated.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const PROTO = join(ROOT, "proto");
const TARGET = join(ROOT, "src/api/generated");

/** @param {string} folder */
const files = (folder) => readdirSync(folder, { recursive: true, encoding: "utf8" });

mkdirSync(join(ROOT, "build"), { recursive: true });
const scratch = mkdtempSync(join(ROOT, "build/proto-"));
try {
  execFileSync(
    process.execPath,
    [
      join(ROOT, "node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js"),
      ...["--longs=String", "--enums=String", "--defaults", "--oneofs", "--includeComments"],
      ...["--grpcLib=@grpc/grpc-js", "--importFileExtension=.ts"],
      ...["-I", PROTO, "-O", scratch],
      ...files(PROTO).filter((name) => name.endsWith(".proto")),
    ],
    { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] },
  );
  // Node takes type imports for real ones where they lack the word; and where the checkout stands is nobody's business.
  for (const name of files(scratch).filter((one) => one.endsWith(".ts"))) {
    const path = join(scratch, name);
    writeFileSync(
      path,
      readFileSync(path, "utf8")
        .replace(/^import \{/gm, "import type {")
        .replaceAll(`${PROTO}/`, "proto/"),
    );
  }
  rmSync(TARGET, { recursive: true, force: true });
  renameSync(scratch, TARGET);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
