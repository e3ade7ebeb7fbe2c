// docs/differences-from-docker.md: what stands between its two marks is written from the list, the rest by hand.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../steps.mjs";
import { DIFFERENCES } from "./differences.mjs";

export const DOCUMENT = join(ROOT, "docs/differences-from-docker.md");
const [BEGIN, END] = ["<!-- written by npm run oracle -- --write -->", "<!-- end -->"];

/** @param {string} title @param {readonly import("./differences.mjs").Reason[]} reasons */
const section = (title, reasons) =>
  reasons.length === 0 ? [] : [`## ${title}`, "", ...reasons.flatMap(({ title: what, reason }) => [`**${what}.** ${reason}`, ""])];

/** The document with the list as it is now. @param {string} text */
export function withList(text) {
  const [newer, older] = [
    DIFFERENCES.filter((one) => !one.engine?.test("debian") || one.engine.test("moby")),
    DIFFERENCES.filter((one) => one.engine?.test("debian") && !one.engine.test("moby")),
  ];
  const lines = [...section("From the newest Docker", newer), ...section("From Docker 20.10, where Weft follows later ones", older)];
  const [before, after] = [text.split(BEGIN)[0], text.split(END)[1]];
  return `${before}${BEGIN}\n\n${lines.join("\n")}\n${END}${after}`;
}

export function writeDocument() {
  writeFileSync(DOCUMENT, withList(readFileSync(DOCUMENT, "utf8")));
}
