"""Programs of classic BPF, which the kernel runs for each packet of a socket: their instructions, and how it gets them.

No privilege is needed. The kernel checks a program when it gets it, and runs it from then on, whichever process has the
socket.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable
from typing import Final

import msgspec

# linux/filter.h, linux/bpf_common.h
LOAD_WORD: Final = 0x20
LOAD_HALF: Final = 0x28
LOAD_OCTET: Final = 0x30
COPY_TO_X: Final = 0x07
XOR_X: Final = 0xAC
AND: Final = 0x54
MULTIPLY: Final = 0x24
SHIFT_RIGHT: Final = 0x74
MODULO: Final = 0x94
JUMP_IF_EQUAL: Final = 0x15
RETURN: Final = 0x06


class Instruction(msgspec.Struct, frozen=True):
    """One instruction; `if_true` and `if_false` are how many of the next ones a jump leaves out."""

    code: int
    k: int
    if_true: int = 0
    if_false: int = 0


def encoded(lines: Iterable[Instruction]) -> bytes:
    """Return a program: one struct sock_filter after the other."""
    return b"".join(struct.pack("=HBBI", line.code, line.if_true, line.if_false, line.k & 0xFFFFFFFF) for line in lines)


def give(sock: socket.socket, option: int, program: bytes) -> None:
    """Give the kernel a program for a socket, by a socket option of SOL_SOCKET; raises OSError where it cannot be."""
    lines = ctypes.create_string_buffer(program)
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(lines))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, option, described)
