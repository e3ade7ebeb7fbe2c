// The list of differences from Docker, each with its reason: docs/differences-from-docker.md is written from it, and a run in
// which a difference fits no entry, or an entry fits no difference, fails. All patterns that an entry has must match.
//
// `engine` limits an entry to one engine: "debian" is Docker 20.10, "moby" the newest one.
import { OF_ANSWERS } from "./differences/answers.mjs";
import { OF_OLDER } from "./differences/older.mjs";
import { OF_REFUSALS } from "./differences/refusals.mjs";
import { OF_TRAFFIC } from "./differences/traffic.mjs";

/**
 * @typedef {{ id: string, title: string, reason: string, engine?: RegExp, area?: RegExp, name?: RegExp, aspect?: RegExp,
 *   docker?: RegExp, weft?: RegExp }} Reason
 */

/** The first that fits is the reason. @type {readonly Reason[]} */
export const DIFFERENCES = [...OF_ANSWERS, ...OF_TRAFFIC, ...OF_REFUSALS, ...OF_OLDER];
