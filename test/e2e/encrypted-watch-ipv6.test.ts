// The same on an IPv6 underlay.
import { closedScenario } from "../support/closed-scenario.ts";

closedScenario("ipv6", { isBrief: true });
