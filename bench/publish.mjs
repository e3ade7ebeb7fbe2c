// How fast is TCP to a published port, from outside through the host's address translation? The kernel's half has the very
// rules that Weft made, in front of a bridge and a veth in place of its engine and TAPs.
import { measure as tcp, metrics as tcpMetrics } from "./tcp.mjs";

export const subjects = ["weft-published", "kernel-published"];

export const metrics = {
  gbps1: { ...tcpMetrics.gbps1, title: "TCP to a published port, 1 stream" },
  gbps4: { ...tcpMetrics.gbps4, title: "TCP to a published port, 4 streams" },
  machineSecondsPerGb: tcpMetrics.machineSecondsPerGb,
  daemonSecondsPerGb: tcpMetrics.daemonSecondsPerGb,
};

export const measure = tcp;
