// What a listener on an IPv4 underlay sees of an encrypted network, whatever happens to its keys: test/support/closed-scenario.ts.
import { closedScenario } from "../support/closed-scenario.ts";

closedScenario("ipv4");
