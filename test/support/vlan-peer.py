"""The far end of a trunk on a kernel without 802.1Q: for each VLAN a TAP, whose interface is a plain kernel peer with its own
addresses. Frames that the peer's kernel sends get their tag here, and it gets those that came with that tag.

  vlan-peer.py INTERFACE TAP=VID...    VID 0: frames without a tag

Offloads cross as they are: both sides speak virtio-net headers, whose offsets move with the tag. TAPs get an MTU of 1500 and are
up when it prints "ready". It shares no code with what it tests.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
CSUM, TSO4, TSO6 = 1, 2, 4
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 1, 1
VLAN_VALID = 0x10
HEADER = 10


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", HEADER))
    fcntl.ioctl(fd, TUNSETOFFLOAD, CSUM | TSO4 | TSO6)
    return fd


def open_trunk(interface):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    for option in (PACKET_VNET_HDR, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING):
        sock.setsockopt(SOL_PACKET, option, 1)
    sock.bind((interface, 3))
    index = socket.if_nametoindex(interface)
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b""))
    return sock


def tagged(data, vid):
    header, frame = bytearray(data[:HEADER]), data[HEADER:]
    flags, gso, length, size, start, offset = struct.unpack("<BBHHHH", header)
    if flags & 1:
        start += 4
    if length:
        length += 4
    header = struct.pack("<BBHHHH", flags, gso, length, size, start, offset)
    return header + frame[:12] + struct.pack("!HH", 0x8100, vid) + frame[12:]


def main(interface, *vlans):
    trunk = open_trunk(interface)
    taps = {}
    for vlan in vlans:
        name, vid = vlan.split("=")
        taps[int(vid)] = open_tap(name)
    vid_of = {fd: vid for vid, fd in taps.items()}
    poller = select.poll()
    for fd in [trunk.fileno(), *vid_of]:
        poller.register(fd, select.POLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poller.poll():
            try:
                if fd == trunk.fileno():
                    data, control, _, _ = trunk.recvmsg(70000, 64)
                    vid = 0
                    for _, kind, body in control:
                        if kind == PACKET_AUXDATA:
                            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", body[:20])
                            vid = tci & 0xFFF if status & VLAN_VALID else 0
                    if vid in taps:
                        os.write(taps[vid], data)
                else:
                    data = os.read(fd, 70000)
                    vid = vid_of[fd]
                    trunk.send(tagged(data, vid) if vid else data)
            except OSError:
                pass  # a frame that does not fit is lost, as on any wire; a TAP that is down reads as EIO


main(*sys.argv[1:])
