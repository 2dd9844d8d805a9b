"""Which of several UDP sockets on one address a packet goes to: decided by the kernel before anything is read.

All sockets of a group are bound to one address and port (SO_REUSEPORT), and a program of classic BPF picks one by the
packet's source (SO_ATTACH_REUSEPORT_CBPF, socket(7); no privilege is needed). So a client that sends too much fills a
buffer of its own, and not the one that the others' packets wait in.

Each process reads one socket of each lane; lane 0 is everybody's, the others are for sources that proved heavy. The
kernel counts sockets in the order in which they were bound, here lane by lane. Closing one would move the last one into
its place, so one process binds all of them and keeps them open.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from dnsserver.server.classic_bpf import (
    AND,
    COPY_TO_X,
    JUMP_IF_EQUAL,
    LOAD_HALF,
    LOAD_WORD,
    MODULO,
    MULTIPLY,
    RETURN,
    SHIFT_RIGHT,
    XOR_X,
    Instruction,
    encoded,
    give,
)

# asm-generic/socket.h
_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_SO_DETACH_REUSEPORT_BPF: Final = 68
_NETWORK_HEADER: Final = -0x100000  # SKF_NET_OFF in linux/filter.h: from here on offsets count from the IP header
_SOURCE: Final = {socket.AF_INET: 12, socket.AF_INET6: 8}  # where an IP header has the source address
_PORT: Final = {socket.AF_INET: 20, socket.AF_INET6: 40}  # where UDP has the source port, behind a header of usual size
_GOLDEN: Final = 0x9E3779B1  # spreads neighbouring ports (Knuth, The Art of Computer Programming 3, section 6.4)


class Heavy(msgspec.Struct, frozen=True):
    """A source that has a lane: the leading `bits` of the addresses that are meant, and the number of the lane."""

    address: bytes
    bits: int
    lane: int


def program(family: int, count: int, answering: Sequence[int], heavy: Iterable[Heavy] = ()) -> bytes:
    """Return the program for a group of sockets of `count` processes, of which those numbered `answering` get packets.

    The flows of a lane, told apart by address and port, are spread over these processes.
    """
    lines: list[Instruction] = []
    for source in heavy:
        found = _pick(family, count, answering, source.lane)
        lines += [*_unless(family, source, len(found)), *found]
    lines += _pick(family, count, answering, 0)
    return encoded(lines)


def attach(sock: socket.socket, code: bytes) -> None:
    """Have the group of a bound socket steered by a program from now on; raises OSError where the kernel cannot."""
    give(sock, _SO_ATTACH_REUSEPORT_CBPF, code)


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
            Instruction(LOAD_WORD, _NETWORK_HEADER + _SOURCE[socket.AddressFamily(family)] + start // 8),
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
        Instruction(LOAD_WORD, _NETWORK_HEADER + last_word),
        Instruction(COPY_TO_X, 0),
        Instruction(LOAD_HALF, _NETWORK_HEADER + _PORT[of]),
        Instruction(XOR_X, 0),
        Instruction(MULTIPLY, _GOLDEN),
        Instruction(SHIFT_RIGHT, 16),
        Instruction(MODULO, len(answering)),
    ]
    for number, process in enumerate(answering[:-1]):
        found += [
            Instruction(JUMP_IF_EQUAL, number, if_false=1),
            Instruction(RETURN, first + process),
        ]
    return [*found, Instruction(RETURN, first + answering[-1])]
