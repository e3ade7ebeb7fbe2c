// A datapath in a process of its own, for tests that kill it: declares what it is sent, and waits.
import { WeftDatapath } from "../../build/dist/src/datapath/datapath.js";

process.on("message", async ({ stateDir, declarations }) => {
  const datapath = new WeftDatapath();
  await datapath.start({ stateDir, auditIntervalS: 0 });
  const failures = await datapath.declareAll(new Map(declarations));
  process.send(failures.size === 0 ? "declared" : String([...failures.values()]));
});
