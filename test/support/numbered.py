"""Numbered datagrams at a steady rate, and the account of those that came.

  numbered.py receive PORT               until the last one: `received N lost N doubled N`
  numbered.py send ADDRESS PORT SECONDS  2000 a second; `sent N`

The rate is one that no queue on the way overflows at, so that what is missing was lost by the network under test.
"""

import socket
import struct
import sys
import time

RATE = 2000
LAST = 1 << 63  # this bit ends the stream; the end is told many times, for it may be lost as well


def receive(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE: this program may be late, the network must not be blamed
    sock.bind(("0.0.0.0", int(port)))
    print("listening", flush=True)
    seen = set()
    doubled = 0
    while True:
        (number,) = struct.unpack("!Q", sock.recv(2000)[:8])
        if number & LAST:
            total = number & ~LAST
            break
        doubled += number in seen
        seen.add(number)
    print(f"received {len(seen)} lost {total - len(seen)} doubled {doubled}", flush=True)


def send(address, port, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, int(port)))
    body = bytes(600)
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < float(seconds):
        due = int((time.monotonic() - began) * RATE)
        # What was due while this program did not run goes out in small bursts, none longer than a TAP's queue.
        for _ in range(min(due - number, 50)):
            sock.send(struct.pack("!Q", number) + body)
            number += 1
        time.sleep(0.002)
    for _ in range(5):
        time.sleep(0.2)
        try:
            sock.send(struct.pack("!Q", LAST | number))
        except ConnectionRefusedError:
            break  # the receiver has heard it and gone
    print(f"sent {number}", flush=True)


COMMANDS = {"receive": receive, "send": send}
COMMANDS[sys.argv[1]](*sys.argv[2:])
