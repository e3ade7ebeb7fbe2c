// Killed at each step of making and unmaking sandboxes: test/support/crash-steps.ts.
import { beforeOrAfter } from "../support/crash-steps.ts";

beforeOrAfter("create a sandbox", "remove a sandbox", "disconnect");
