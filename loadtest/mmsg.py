"""`sendmmsg` and `recvmmsg` by ctypes: many datagrams with one system call, each with the kernel's time of arrival.

Linux on 64-bit machines only; `available()` tells whether this machine is one. The structures are arrays of 64-bit
words that are filled once: ctypes objects for each packet would cost more time than the saved system calls.
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
"""Datagrams in one call; with 64, less than a fiftieth of the time is that of the call itself."""

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
    """The two system calls. Each returns the number of datagrams, and raises OSError, which may be BlockingIOError."""

    __slots__ = ("_receive", "_send")

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._send = libc.sendmmsg
        self._send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._receive = libc.recvmmsg
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)

    def send(self, fileno: int, headers: int, count: int) -> int:
        """Send the datagrams whose headers are at that address; the kernel may send fewer than `count`."""
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
    """The deck as messages that are made once. To send a batch then takes an address, a number, and one copy of memory
    for the IDs. Each position needs about 100 octets in addition to the query itself.

    The kernel gathers each message from two places, its ID and the rest, so all sockets share the same octets.
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
        """Give the queries from `position` on the IDs from `first` on; return the address of their headers."""
        self._ids[position : position + count] = self._numbers[first : first + count]
        return self._address + 8 * _HEADER_WORDS * position


class Inbox:
    """Room for BATCH replies, shared by all sockets; a receive loop reads it after each call.

    Reply i begins at `octets[i * stride]`. `halves` are the same octets as 16-bit numbers. `lengths[16 * i]` is the
    length of reply i. It arrived at `times[4 * i]` seconds and `times[4 * i + 1]` nanoseconds of the real-time clock.
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
        self.stride = reply_size + 63 & ~63  # longer replies are cut: nothing reads the rest
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
    """Let the kernel note on the real-time clock when each datagram arrives; `Inbox.times` has these times."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
