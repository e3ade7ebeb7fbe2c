#!/usr/bin/python3 -IS
"""Runs a program for which the kernel has no netlink family of this number (12: NETLINK_NETFILTER, as where CONFIG_NETFILTER_NETLINK
is not set): socket(AF_NETLINK, *, PROTOCOL) ends with EPROTONOSUPPORT, by a seccomp filter that its children have too.

  without-netlink.py PROTOCOL PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import platform
import struct
import sys

AF_NETLINK = 16
EPROTONOSUPPORT = 93
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}[platform.machine()]
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF0000
ERRNO = 0x00050000

# struct sock_filter: code, jump if true, jump if false, k. Loads are of struct seccomp_data: nr at 0, args[n] at 16 + 8 n.
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = [
    (LOAD, 0, 0, 0),
    (EQUAL, 0, 4, SOCKET_CALL),
    (LOAD, 0, 0, 16),
    (EQUAL, 0, 2, AF_NETLINK),
    (LOAD, 0, 0, 16 + 2 * 8),
    (EQUAL, 1, 0, int(sys.argv[1])),
    (RETURN, 0, 0, ALLOW),
    (RETURN, 0, 0, ERRNO | EPROTONOSUPPORT),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))


class Fprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


fprog = Fprog(len(program), ctypes.cast(code, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
for option, arguments in ((PR_SET_NO_NEW_PRIVS, (1, 0)), (PR_SET_SECCOMP, (SECCOMP_MODE_FILTER, ctypes.byref(fprog)))):
    if libc.prctl(option, *arguments, 0, 0) != 0:
        sys.exit(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
