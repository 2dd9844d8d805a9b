"""Which of several UDP sockets on one address a packet goes to: decided by the kernel before anything is read.

All sockets of a group are bound to one address and port (SO_REUSEPORT), and a program of classic BPF picks one by the
packet's source (SO_ATTACH_REUSEPORT_CBPF, socket(7); no privilege is needed). So a client that sends too much fills a
buffer of its own, and not the one that the others' packets wait in.

Each process reads one socket of each lane; lane 0 is everybody's, the others are for sources that proved heavy. The
kernel counts sockets in the order in which they were bound, here lane by lane. Closing one would move the last one into
its place, so one process binds all of them and keeps them open.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

# asm-generic/socket.h
SO_ATTACH_REUSEPORT_CBPF: Final = 51
_SO_DETACH_REUSEPORT_BPF: Final = 68
_NETWORK_HEADER: Final = -0x100000  # SKF_NET_OFF in linux/filter.h: from here on offsets count from the IP header
_SOURCE: Final = {socket.AF_INET: 12, socket.AF_INET6: 8}  # where an IP header has the source address
_PORT: Final = {socket.AF_INET: 20, socket.AF_INET6: 40}  # where UDP has the source port, behind a header of usual size
_GOLDEN: Final = 0x9E3779B1  # spreads neighbouring ports (Knuth, The Art of Computer Programming 3, section 6.4)

# linux/filter.h, linux/bpf_common.h
_LOAD_WORD, _LOAD_HALF, LOAD_OCTET, _COPY_TO_X = 0x20, 0x28, 0x30, 0x07
_XOR_X, AND, _MULTIPLY, _SHIFT_RIGHT, _MODULO = 0xAC, 0x54, 0x24, 0x74, 0x94
JUMP_IF_EQUAL, RETURN = 0x15, 0x06


class Heavy(msgspec.Struct, frozen=True):
    """A source that has a lane: the leading `bits` of the addresses that are meant, and the number of the lane."""

    address: bytes
    bits: int
    lane: int


class Instruction(msgspec.Struct, frozen=True):
    """One instruction; `if_true` and `if_false` are how many of the next ones a jump leaves out."""

    code: int
    k: int
    if_true: int = 0
    if_false: int = 0

    def encode(self) -> bytes:
        """Return a struct sock_filter."""
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.k & 0xFFFFFFFF)


def program(family: int, count: int, answering: Sequence[int], heavy: Iterable[Heavy] = ()) -> bytes:
    """Return the program for a group of sockets of `count` processes, of which those numbered `answering` get packets.

    The flows of a lane, told apart by address and port, are spread over these processes.
    """
    lines: list[Instruction] = []
    for source in heavy:
        found = _pick(family, count, answering, source.lane)
        lines += [*_unless(family, source, len(found)), *found]
    lines += _pick(family, count, answering, 0)
    return b"".join(line.encode() for line in lines)


def attach(sock: socket.socket, code: bytes, how: int = SO_ATTACH_REUSEPORT_CBPF) -> None:
    """Have the group of a bound socket steered by a program from now on; raises OSError where the kernel cannot.

    `how` is another socket option by which the kernel uses the program for something else.
    """
    lines = ctypes.create_string_buffer(code)
    described = struct.pack("@HP", len(code) // 8, ctypes.addressof(lines))  # struct sock_fprog
    sock.setsockopt(socket.SOL_SOCKET, how, described)


def detach(sock: socket.socket) -> None:
    """Have the group of a bound socket steered by nothing from now on; raises OSError where it was not."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)


def _unless(family: int, source: Heavy, behind: int) -> list[Instruction]:
    """Return the instruction that skips the next `behind` instructions for packets of all other sources."""
    found: list[Instruction] = []
    starts = range(0, source.bits, 32)
    for number, start in enumerate(starts):
        mask = (-1 << max(0, 32 - (source.bits - start))) & 0xFFFFFFFF
        wanted = int.from_bytes(source.address[start // 8 : start // 8 + 4], "big") & mask
        left = 3 * (len(starts) - number - 1)
        found += [
            Instruction(_LOAD_WORD, _NETWORK_HEADER + _SOURCE[socket.AddressFamily(family)] + start // 8),
            Instruction(AND, mask),
            Instruction(JUMP_IF_EQUAL, wanted, if_false=left + behind),
        ]
    return found


def _pick(family: int, count: int, answering: Sequence[int], lane: int) -> list[Instruction]:
    """Return the instructions that give a lane's packets to one of the processes."""
    first = lane * count
    if len(answering) == 1:
        return [Instruction(RETURN, first + answering[0])]
    of = socket.AddressFamily(family)
    last_word = _SOURCE[of] + (0 if of == socket.AF_INET else 12)
    found = [
        Instruction(_LOAD_WORD, _NETWORK_HEADER + last_word),
        Instruction(_COPY_TO_X, 0),
        Instruction(_LOAD_HALF, _NETWORK_HEADER + _PORT[of]),
        Instruction(_XOR_X, 0),
        Instruction(_MULTIPLY, _GOLDEN),
        Instruction(_SHIFT_RIGHT, 16),
        Instruction(_MODULO, len(answering)),
    ]
    for number, process in enumerate(answering[:-1]):
        found += [
            Instruction(JUMP_IF_EQUAL, number, if_false=1),
            Instruction(RETURN, first + process),
        ]
    return [*found, Instruction(RETURN, first + answering[-1])]
