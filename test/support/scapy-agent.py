"""The hand and eye of the interop tests in one namespace: builds frames by scapy, sends and receives them raw.

Reads one JSON request a line from stdin, answers one JSON line each. Expressions are Python over scapy's names; in a
listener's filter `p` is the frame as scapy's Ether and `raw` its bytes.

AF_PACKET takes the 802.1Q tag out of a received frame and gives it as auxiliary data; the listener puts it back.
"""

import json
import socket
import struct
import sys
import threading
import time

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment  # noqa: F401
from scapy.layers.inet6 import (  # noqa: F401
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: F401
from scapy.layers.vxlan import VXLAN  # noqa: F401
from scapy.packet import Raw  # noqa: F401

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 0x10
TP_STATUS_VLAN_TPID_VALID = 0x40
SO_NO_CHECK = 11
SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4


def packet_socket(interface):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    sock.bind((interface, ETH_P_ALL))
    return sock


def received(sock):
    """One frame with its tag in place, or None for one that this host sent."""
    data, ancillary, _, address = sock.recvmsg(70000, 64)
    if address[2] == PACKET_OUTGOING:
        return None
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


class Listener:
    def __init__(self, interface, condition, count, seconds):
        self.sock = packet_socket(interface)
        self.condition = compile(condition, "<filter>", "eval")
        self.count = count
        self.deadline = time.monotonic() + seconds
        self.frames = []
        self.errors = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while len(self.frames) < self.count:
            left = self.deadline - time.monotonic()
            if left <= 0:
                break
            self.sock.settimeout(left)
            try:
                raw = received(self.sock)
            except (TimeoutError, OSError):
                break
            if raw is None:
                continue
            try:
                if eval(self.condition, globals(), {"p": Ether(raw), "raw": raw}):
                    self.frames.append(raw)
            except Exception as error:  # a filter may look at a layer that this frame lacks
                self.errors.append(repr(error))

    def result(self):
        self.thread.join()
        self.sock.close()
        return {"frames": [frame.hex() for frame in self.frames], "errors": self.errors[:5]}


def association(key, spi, high=None):
    """An ESP association of AES-GCM; `high`: with extended sequence numbers, of which these are the upper 32 bits."""
    from scapy.layers.ipsec import ESP, SecurityAssociation  # takes a while, and few tests want it

    return SecurityAssociation(
        ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=bytes.fromhex(key), esn_en=high is not None, esn=high or 0
    )


def sealed(key, spi, low, payload, high=None):
    """One ESP packet for each number of `low`, around a transport header with what is in it."""
    from scapy.layers.ipsec import ESP

    sa = association(key, spi, high)
    packet = IP(src="192.0.2.1", dst="192.0.2.2") / payload
    iv = lambda number: struct.pack("!II", high or 0, number)  # noqa: E731
    return [bytes(sa.encrypt(packet, seq_num=number, iv=iv(number))[ESP]) for number in low]


def sealed_as_is(key, spi, number, data, padding, padlen, next_header, high=None):
    """An ESP packet whose trailer is the caller's, right or wrong."""
    from scapy.layers.ipsec import _ESPPlain

    sa = association(key, spi, high)
    plain = _ESPPlain(spi=spi, seq=number, iv=struct.pack("!II", high or 0, number), data=bytes(data))
    plain.padding, plain.padlen, plain.nh = padding, padlen, next_header
    return bytes(sa.crypt_algo.encrypt(sa, plain, sa.crypt_key, esn_en=sa.esn_en, esn=sa.esn))


def opened(key, spi, esp, high=None):
    """What is in an ESP packet, from the transport header on; raises if its ICV is wrong."""
    from scapy.layers.ipsec import ESP

    packet = IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(esp)))
    return association(key, spi, high).decrypt(packet).payload


listeners = {}


def evaluate(expression, names=None):
    return eval(expression, globals(), names)


def frames_of(value):
    """Bytes of one packet or of a list of packets."""
    return [bytes(one) for one in (value if isinstance(value, (list, tuple)) else [value])]


def handle(request):
    op = request["op"]
    if op == "eval":
        names = {"p": Ether(bytes.fromhex(request["frame"]))} if "frame" in request else {}
        return {"value": evaluate(request["expression"], names)}
    if op == "bytes":
        return {"frames": [frame.hex() for frame in frames_of(evaluate(request["expression"]))]}
    if op == "send":
        sock = packet_socket(request["interface"])
        sent = 0
        for expression in request["expressions"]:
            for frame in frames_of(evaluate(expression)):
                sock.send(frame)
                sent += 1
        sock.close()
        return {"sent": sent}
    if op == "raw":
        sock = packet_socket(request["interface"])
        for frame in request["frames"]:
            sock.send(bytes.fromhex(frame))
        sock.close()
        return {"sent": len(request["frames"])}
    if op == "udp":
        family = socket.AF_INET6 if ":" in request["to"] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if request.get("source"):
            sock.bind((request["source"], request.get("sourcePort", 0)))
        if request.get("noChecksum"):
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for payload in request["payloads"]:
            sock.sendto(bytes.fromhex(payload), (request["to"], request["port"]))
        sock.close()
        return {"sent": len(request["payloads"])}
    if op == "listen":
        listener = Listener(request["interface"], request["filter"], request["count"], request["seconds"])
        listeners[request["listener"]] = listener
        return {}
    if op == "collect":
        return listeners.pop(request["listener"]).result()
    raise ValueError(f"unknown request {op}")


answer_lock = threading.Lock()


def answer(request):
    try:
        reply = handle(request)
    except Exception as error:
        reply = {"error": repr(error)}
    with answer_lock:
        print(json.dumps({"id": request["id"], **reply}), flush=True)


print("ready", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["op"] == "collect":  # waits for frames: not in the way of other requests
        threading.Thread(target=answer, args=(message,), daemon=True).start()
    else:
        answer(message)
