import * as graph from "./graph";
export function run(count: u32): u32 { return graph.run(count); }
