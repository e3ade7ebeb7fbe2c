"""Bulk data across a network, and whether each byte arrived.

  stream.py serve FAMILY PORT               TCP: hashes what comes until EOF, answers the digest; for ever
  stream.py send ADDRESS PORT BYTES         TCP: sends BYTES, compares digests
  stream.py echo FAMILY PORT                UDP: sends every datagram back
  stream.py sizes ADDRESS PORT FIRST LAST   UDP: one datagram of each size, content compared
  stream.py sequence ADDRESS PORT MS        UDP: a number each MS to an echo; prints the answered ones until killed

The sender of TCP makes data that repeats at no power of two, so that a segment lost, doubled or swapped shows.
"""

import hashlib
import os
import socket
import struct
import sys
import threading
import time

BLOCK = 1 << 20


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listener(family, port, kind):
    sock = socket.socket(socket.AF_INET6 if family == "6" else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::" if family == "6" else "0.0.0.0", int(port)))
    return sock


def digest_stream(connection):
    digest = hashlib.blake2b()
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    while True:
        count = connection.recv_into(buffer)
        if count == 0:
            break
        digest.update(view[:count])
    connection.sendall(digest.digest())
    connection.close()


def serve(family, port):
    sock = listener(family, port, socket.SOCK_STREAM)
    sock.listen(16)
    print("listening", flush=True)
    while True:
        connection, _ = sock.accept()
        threading.Thread(target=digest_stream, args=(connection,), daemon=True).start()


def send(address, port, total):
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect((address, int(port)))
    source = os.urandom(2 * BLOCK + 4099)
    digest = hashlib.blake2b()
    left = int(total)
    at = 0
    began = time.monotonic()
    while left > 0:
        chunk = memoryview(source)[at : at + min(BLOCK, left)]
        sock.sendall(chunk)
        digest.update(chunk)
        left -= len(chunk)
        at = (at + 65537) % (BLOCK + 4099)
    sock.shutdown(socket.SHUT_WR)
    answer = b""
    while len(answer) < digest.digest_size:
        more = sock.recv(digest.digest_size - len(answer))
        if not more:
            break
        answer += more
    seconds = time.monotonic() - began
    if answer != digest.digest():
        sys.exit("the receiver's digest is another one")
    print(f"equal {int(total) * 8 / seconds / 1e9:.2f} Gbit/s", flush=True)


def echo(family, port):
    sock = listener(family, port, socket.SOCK_DGRAM)
    print("listening", flush=True)
    while True:
        data, sender = sock.recvfrom(70000)
        sock.sendto(data, sender)


def sizes(address, port, first, last):
    """A window of 16 in flight: this is about content, not about queues."""
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    sock.settimeout(2)
    sock.connect((address, int(port)))
    wanted = {size: os.urandom(size) for size in range(int(first), int(last) + 1)}
    pending = list(wanted)
    wrong = []
    while pending:
        burst, pending = pending[:16], pending[16:]
        for size in burst:
            sock.send(wanted[size])
        for _ in burst:
            try:
                data = sock.recv(70000)
            except TimeoutError:
                break
            if wanted.pop(len(data), None) != data:
                wrong.append(len(data))
    if wanted or wrong:
        sys.exit(f"not come back: {sorted(wanted)}; other than sent: {wrong}")
    print("equal", flush=True)


def sequence(address, port, milliseconds):
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    sock.connect((address, int(port)))
    sock.settimeout(0.1)

    def receive():
        while True:
            try:
                (number,) = struct.unpack("!Q", sock.recv(100))
                print(number, flush=True)
            except (TimeoutError, OSError):
                pass

    threading.Thread(target=receive, daemon=True).start()
    number = 0
    while True:
        try:
            sock.send(struct.pack("!Q", number))
        except OSError:
            pass  # no carrier while the daemon is away
        number += 1
        time.sleep(int(milliseconds) / 1000)


COMMANDS = {"serve": serve, "send": send, "echo": echo, "sizes": sizes, "sequence": sequence}
COMMANDS[sys.argv[1]](*sys.argv[2:])
