"""Netlink, as much of it as addresses and rules need: messages, attributes, and asking (linux/netlink.h, netlink(7)).

Not by pyroute2, which takes 33 MiB where this takes none to speak of (`/usr/bin/time -v python -c "import pyroute2"`).
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

REQUEST: Final = 0x1  # NLM_F_REQUEST
ACKNOWLEDGE: Final = 0x4  # NLM_F_ACK
DUMP: Final = 0x300  # NLM_F_DUMP: all of a kind
REPLACE: Final = 0x100  # NLM_F_REPLACE
CREATE: Final = 0x400  # NLM_F_CREATE
APPEND: Final = 0x800  # NLM_F_APPEND

_ERROR, _DONE = 2, 3  # NLMSG_ERROR, which is an acknowledgement too, and NLMSG_DONE
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: the list changed while it was given
_TYPE = 0x3FFF  # NLA_TYPE_MASK
_NESTED = 0x8000  # NLA_F_NESTED
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_BUFFER = 65_536  # octets, more than the kernel puts into one part of a dump
_PATIENCE = 1.0  # seconds; the kernel answers at once or is not asked any more
_TRIES = 5  # of a list that changes while it is given


class Message(NamedTuple):
    """What is asked of the kernel, or what it says."""

    kind: int
    flags: int
    body: bytes


def encoded(message: Message, sequence: int) -> bytes:
    """Return the octets of a message with its header; padded, so that another may follow."""
    length = _HEADER.size + len(message.body)
    head = _HEADER.pack(length, message.kind, message.flags | REQUEST, sequence, 0)
    return head + message.body + bytes(-length % 4)


def decoded(data: bytes) -> Iterator[tuple[Message, int]]:
    """Give each message of what was received, with its sequence number."""
    while len(data) >= _HEADER.size:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield Message(kind, flags, data[_HEADER.size : length]), sequence
        data = data[length + -length % 4 :]


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes by their kind; of several of a kind the last."""
    return dict(each_attribute(data))


def each_attribute(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the attributes in their order."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]


class Netlink:
    """A socket to the kernel."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        """Open it; with `groups`, a set of bits, it also hears what happens. Raises OSError."""
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self.socket.settimeout(0 if groups else _PATIENCE)
            self.socket.bind((0, groups))
        except OSError:
            self.socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def do(self, *messages: Message) -> None:
        """Have messages obeyed, sent as one; those with ACKNOWLEDGE are waited for. Raises OSError, of the first."""
        first = self._sequence + 1
        self._send(messages)
        awaited = {first + place for place, each in enumerate(messages) if each.flags & ACKNOWLEDGE}
        while awaited:
            for message, sequence in decoded(self._receive()):
                if message.kind == _ERROR and first <= sequence <= self._sequence:
                    _raise_error(message)
                    awaited.discard(sequence)

    def dump(self, message: Message) -> list[Message]:
        """Return all of a kind. Raises OSError."""
        for _ in range(_TRIES):
            found = self._dumped(message)
            if found is not None:
                return found
        raise OSError(errno.EINTR, "the list changes all the time")

    def heard(self) -> list[int]:
        """Return the kinds of the messages that wait, without waiting; a lost one stands as 0."""
        kinds: list[int] = []
        while True:
            try:
                data = self.socket.recv(_BUFFER)
            except BlockingIOError:
                return kinds
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                kinds.append(0)
                continue
            kinds += [message.kind for message, _ in decoded(data)]

    def _dumped(self, message: Message) -> list[Message] | None:
        self._send([message._replace(flags=message.flags | DUMP)])
        found: list[Message] = []
        sound = True
        while True:
            for part, sequence in decoded(self._receive()):
                if sequence != self._sequence:
                    continue
                sound = sound and not part.flags & _INTERRUPTED
                if part.kind == _DONE:
                    return found if sound else None
                if part.kind == _ERROR:
                    _raise_error(part)
                found.append(part)

    def _send(self, messages: Sequence[Message]) -> None:
        data = b""
        for message in messages:
            self._sequence += 1
            data += encoded(message, self._sequence)
        self.socket.sendall(data)

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(_BUFFER)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "the kernel does not answer") from error


def _raise_error(message: Message) -> None:
    (number,) = struct.unpack_from("=i", message.body)
    if number:
        raise OSError(-number, os.strerror(-number))
