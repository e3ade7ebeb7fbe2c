// tshark reads what we wrote: the judge of captures and frames that we did not write ourselves. It is a prerequisite of the
// tests: without it they fail.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The fields of each packet of a capture, as tshark names and prints them. */
export function tsharkFields(capture: Uint8Array, fields: readonly string[], options: readonly string[] = []): string[][] {
  const folder = mkdtempSync(join(tmpdir(), "weft-t"));
  const file = join(folder, "capture.pcapng");
  try {
    writeFileSync(file, capture);
    const selected = fields.flatMap((field) => ["-e", field]);
    const output = execFileSync(
      "tshark",
      ["-r", file, ...options, "-T", "fields", "-E", "separator=\t", "-E", "occurrence=f", ...selected],
      {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    return output
      .split("\n")
      .slice(0, -1)
      .map((line) => line.split("\t"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
