"""Plays back what a capture holds of ESP in UDP for one host: replay.py INTERFACE FILE DESTINATION; `played N`.

Each frame once, though the capture may have heard it played before, and as it was recorded, but for UDP's checksum, which the
capture of a sending host has half done: 0, for none.
"""

import socket
import struct
import sys
import time

ESP_PORT = 4500
BURST = 200


def frames(path):
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at + 16 <= len(data):
        (length,) = struct.unpack_from(order + "I", data, at + 8)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if len(frame) == length:
            yield frame


def esp_for(frame, destination):
    is_udp = frame[12:14] == b"\x08\x00" and frame[14] == 0x45 and frame[23] == socket.IPPROTO_UDP
    if not is_udp or frame[30:34] != destination or frame[36:38] != struct.pack("!H", ESP_PORT):
        return None
    return frame[:40] + b"\0\0" + frame[42:]


interface, path, address = sys.argv[1:]
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((interface, 0))
played = set()
for frame in frames(path):
    esp = esp_for(frame, socket.inet_aton(address))
    number = None if esp is None else esp[42:58]  # SPI, sequence number, IV
    if number is None or number in played:
        continue
    sock.send(esp)
    played.add(number)
    if len(played) % BURST == 0:
        time.sleep(0.005)
print(f"played {len(played)}", flush=True)
