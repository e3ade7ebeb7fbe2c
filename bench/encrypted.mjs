// What does an encrypted overlay cost, and what do others' tunnels make of the same machine? TCP by one stream, datagrams of 64
// bytes in overload, request and response: Weft's encrypted network against its plain one and the kernel's VXLAN, and against
// Debian's wireguard-go, OpenVPN (tap, AES-256-GCM), tinc and nebula, as far as they are installed (bench/tunnels.mjs).
//
// The rate is what arrives when the sender offers all it can: the one figure of which all of these are capable at once.
import { offer } from "./rate.mjs";
import { measure as rtt } from "./rtt.mjs";
import { throughput } from "./tcp.mjs";

export const OTHERS = ["wireguard-go", "openvpn", "tinc", "nebula"];

export const subjects = ["weft-encrypted", "weft-overlay", "kernel-vxlan", ...OTHERS];

export const metrics = {
  gbps1: { title: "encrypted: TCP, 1 stream", unit: "Gbit/s", digits: 2 },
  machineSecondsPerGb: { title: "processor time per GB, whole machine", unit: "s", digits: 2 },
  overloadKpps: { title: "encrypted: 64-byte datagrams arriving in overload", unit: "kpps", digits: 0 },
  p50Us: { title: "encrypted: request and response, p50", unit: "us", digits: 1 },
};

/** @param {import("./topology.mjs").Subject} subject @param {{ seconds: number }} options */
export async function measure(subject, options) {
  const { gbps, machineSecondsPerGb } = await throughput(subject, 1, options.seconds);
  const { receivedPps } = await offer(subject, 0, options.seconds / 2);
  const { p50Us } = await rtt(subject, { seconds: options.seconds / 2 });
  return { gbps1: gbps, machineSecondsPerGb, overloadKpps: receivedPps / 1e3, p50Us };
}
