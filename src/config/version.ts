// The product's version: package.json's, which is the only place that has it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../paths.ts";

export const VERSION = (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version;
