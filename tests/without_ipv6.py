"""`python -m tests.without_ipv6 COMMAND ...`: runs a command as on a kernel without IPv6, its children included.

A filter of system calls has `socket(AF_INET6, ...)` fail with EAFNOSUPPORT (seccomp(2), x86-64 and arm64).
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000


def is_possible() -> bool:
    return sys.platform == "linux" and platform.machine() in _SOCKET


def forbid_ipv6() -> None:
    steps = [
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_JUMP_IF_EQUAL, 0, 3, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, 16),  # the low half of the first argument
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_INET6),
        (_RETURN, 0, 0, _FAIL | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot filter system calls")


if __name__ == "__main__":
    forbid_ipv6()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
