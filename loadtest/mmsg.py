"""`sendmmsg` and `recvmmsg` by ctypes: many datagrams a system call, with the kernel's time of arrival of each.

Linux on 64-bit machines only; `available()` says whether that is here. The structures are arrays of 64-bit words filled
once: building ctypes objects a packet would cost more than the system calls that are saved.
"""

import ctypes
import os
import socket
import struct
import sys
from array import array

from loadtest.deck import Deck
from loadtest.outstanding import IDS

BATCH = 64
"""Datagrams a call; at 64 the call itself is below a fiftieth of its cost."""

# struct mmsghdr in 64-bit words: name, its length, iovec, their number, control, its length, flags; octets moved.
_HEADER_WORDS = 8
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20  # asked for, it makes the kernel report a datagram's whole length, also above the buffer's
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the socket module has no name for it
_CONTROL_WORDS = 4  # one struct cmsghdr (length, level and type) and the struct timespec behind it


def available() -> bool:
    """Tell whether this machine has these calls in the layout that this module knows."""
    return sys.platform == "linux" and struct.calcsize("P") == 8


class Calls:
    """The two system calls; each gives the number of datagrams moved and raises OSError, BlockingIOError included."""

    __slots__ = ("_receive", "_send")

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._send = libc.sendmmsg
        self._send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._receive = libc.recvmmsg
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)

    def send(self, fileno: int, headers: int, count: int) -> int:
        """Send the datagrams whose headers stand at that address; fewer than `count` where the kernel stopped."""
        moved: int = self._send(fileno, headers, count, _MSG_DONTWAIT)
        if moved < 0:
            _raise()
        return moved

    def receive(self, fileno: int, headers: int, count: int) -> int:
        """Receive up to `count` datagrams into what the headers at that address point to."""
        moved: int = self._receive(fileno, headers, count, _MSG_DONTWAIT | _MSG_TRUNC, None)
        if moved < 0:
            _raise()
        return moved


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


class Outbox:
    """The deck as messages made once: a batch of queries is then an address and a number, and their IDs one copy of
    memory. It takes about 100 octets a position beside the queries themselves.

    Each message is gathered from two places, its ID and the rest, so the same octets serve every socket.
    """

    __slots__ = ("_address", "_headers", "_ids", "_numbers", "_octets", "_pieces")

    def __init__(self, deck: Deck) -> None:
        self._octets = array("B", b"".join(deck.tails))
        ids = array("H", bytes(2 * len(deck)))
        self._ids = memoryview(ids)
        self._numbers = memoryview(array("H", range(IDS)))
        self._pieces = array("Q")  # struct iovec: address, length
        id_at = ids.buffer_info()[0]
        tail_at = self._octets.buffer_info()[0]
        for tail in deck.tails:
            self._pieces.extend((id_at, 2, tail_at, len(tail)))
            id_at += 2
            tail_at += len(tail)
        pieces_at = self._pieces.buffer_info()[0]
        self._headers = array("Q")
        for position in range(len(deck)):
            self._headers.extend((0, 0, pieces_at + 32 * position, 2, 0, 0, 0, 0))
        self._address = self._headers.buffer_info()[0]

    def number(self, position: int, first: int, count: int) -> int:
        """Return the queries from `position` on the IDs from `first` on, in native byte order; say where they are."""
        self._ids[position : position + count] = self._numbers[first : first + count]
        return self._address + 8 * _HEADER_WORDS * position


class Inbox:
    """Room for BATCH replies, shared by all sockets: what a receive loop reads after each call.

    Reply i stands in `octets` at `i * stride`. `halves` are the same octets in 16 bits, `lengths[16 * i]` is its
    length, and it arrived at `times[4 * i]` seconds and `times[4 * i + 1]` nanoseconds of the real-time clock.
    """

    __slots__ = (
        "_controls",
        "_headers",
        "_octets",
        "_pieces",
        "address",
        "halves",
        "lengths",
        "octets",
        "stride",
        "times",
    )

    def __init__(self, reply_size: int) -> None:
        self.stride = reply_size + 63 & ~63  # what is longer is cut: nobody looks that far
        self.octets = bytearray(BATCH * self.stride)
        self.halves = memoryview(self.octets).cast("H")
        self._octets = (ctypes.c_char * len(self.octets)).from_buffer(self.octets)
        octets_at = ctypes.addressof(self._octets)
        self._controls = array("Q", bytes(8 * _CONTROL_WORDS * BATCH))
        controls_at = self._controls.buffer_info()[0]
        self._pieces = array("Q")  # struct iovec: address, length
        for number in range(BATCH):
            self._pieces.extend((octets_at + number * self.stride, self.stride))
        pieces_at = self._pieces.buffer_info()[0]
        self._headers = array("Q")
        for number in range(BATCH):
            control_at = controls_at + 8 * _CONTROL_WORDS * number
            # The kernel writes the control length it used over this one. With the time stamp switched on that is
            # always the whole room, so the headers need not be set anew for the next call.
            self._headers.extend((0, 0, pieces_at + 16 * number, 1, control_at, 8 * _CONTROL_WORDS, 0, 0))
        self.address = self._headers.buffer_info()[0]
        self.lengths = memoryview(self._headers).cast("B").cast("I")[14:]
        self.times = memoryview(self._controls)[2:]


def stamp_arrivals(sock: socket.socket) -> None:
    """Have the kernel note when each datagram came in, on the real-time clock, where `Inbox.times` shows it."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
