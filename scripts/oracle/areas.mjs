// What can be compared, most visible first.
import { commands } from "./areas/commands.mjs";
import { connect } from "./areas/connect.mjs";
import { inside } from "./areas/inside.mjs";
import { names } from "./areas/names.mjs";
import { networks } from "./areas/networks.mjs";
import { ports, reach } from "./areas/ports.mjs";
import { refusals } from "./areas/refusals.mjs";

/** @type {Map<string, (pair: import("./pair.mjs").Pair) => Promise<void>>} */
export const AREAS = new Map([
  ["networks", networks],
  ["commands", commands],
  ["refusals", refusals],
  ["connect", connect],
  ["inside", inside],
  ["names", names],
  ["ports", ports],
  ["reach", reach],
]);
