// Killed at each step of making, joining and unmaking networks: test/support/crash-steps.ts.
import { beforeOrAfter } from "../support/crash-steps.ts";

beforeOrAfter("create a network", "connect", "remove a network");
