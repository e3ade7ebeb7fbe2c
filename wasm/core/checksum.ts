import { Packet } from "./packet";
export function completeChecksum(packet: Packet): void {}
