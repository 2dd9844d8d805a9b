"""Passes replies to observers: answering costs one append for a failure, and nothing for a success.

    respond, pending ─► ReplyWriter: `noted` ─► Observer.made ─► rows ─► take ─► observed ─► whoever looks on

Whoever writes a reply that is a failure says so in `noted`; whoever knows the client adds the row, and no more than
what it takes to tell later. A task takes the rows a few times a second and makes Observed values of them. So nobody
waits for who looks on: of what there is no room for, the number is kept. Each kind of reply has its room, lest a flood
of names that do not exist hides an error. Replies from the reply cache do not come by here, unless they are followed
(`reply_cache`).
"""

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from dnsserver.resolver.tally import Labels
from dnsserver.traffic.observed import Observed
from dnsserver.traffic.who_asks import SLOW
from dnsserver.wire import message as m
from dnsserver.wire.name import MAX_LABEL, MAX_NAME
from dnsserver.zone.record import Reason

# Rows of each of three kinds where nobody but the list of failures looks on: 500 of a kind in a second take it 4 ms.
ROOM = 128
_HEAD = 300  # octets of a question that are kept: a header, a name at its longest, type and class, an OPT's first part
_OPT = b"\0\0\x29"
_NONE = b"\0\0"
_ONE = b"\0\1"
NEVER = float("inf")
_DO = 0x80
_OPCODE = 0x78
_TYPE_CLASS = struct.Struct("!HH")

LOCAL, CACHE, UPSTREAM = "local", "cache", "upstream"


class ObservedPort(Protocol):
    """What is asked of a port about a row later: it knows what its senders look like."""

    stream: bool
    waited: float

    def sender(self, index: int) -> Any:
        """Return who sent packet `index` of this batch, for `endpoint`."""

    def endpoint(self, sender: Any) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender."""


class Noted(NamedTuple):
    """Why a reply is looked at: what it is counted under, its reason, and where the answer is from."""

    labels: Labels
    reason: Reason
    source: str = LOCAL
    upstream: str = ""


# When the reply was made, port, sender, question, why, seconds, octets of question and reply, its octets 2 to 8.
Row = tuple[float, ObservedPort, Any, bytes, Noted, float, int, int, bytes]


class Observer:
    """Rows about replies until somebody takes them.

    `noted` is why the reply that is being made is to have a row, None if it is not: the next one who knows the client
    takes it. With `everything` successes are noted as well; those that had to wait for `slow` seconds always are.
    `room` is how many rows of a kind there may be; `missed` counts what had none. `is_full` says that names that do not
    exist have none until rows are taken: in a flood of them `made` costs 0.25 us of 7. `began` is when the reply that
    is being made began to be, where that is of interest.
    """

    def __init__(self, clock: Callable[[], float], room: int = ROOM) -> None:
        """Begin without any; `clock` says when a reply was made."""
        self.noted: Noted | None = None
        self.everything = False
        self.slow = SLOW
        self.room = room
        self.missed = 0
        self.is_full = False
        self.began = NEVER
        self._clock = clock
        self._denied: list[Row] = []
        self._errors: list[Row] = []
        self._rest: list[Row] = []
        self._kinds = {m.NOERROR: self._rest, m.NXDOMAIN: self._denied}

    def made(self, packet: bytes, port: ObservedPort, index: int, reply: bytes | None) -> None:
        """Add a row about the reply to packet `index` of a port's batch, which was `noted`."""
        noted = self.noted
        assert noted is not None  # the caller's test
        self.noted = None
        rows = self._kinds.get(noted.labels[1], self._errors)
        if len(rows) >= self.room:
            self.missed += 1
            self.is_full = rows is self._denied
            return
        now = self._clock()
        size, octets = (0, b"") if reply is None else (len(reply), reply[2:8])
        sender, seconds = port.sender(index), port.waited + max(0.0, now - self.began)
        rows.append((now, port, sender, packet[:_HEAD], noted, seconds, len(packet), size, octets))

    def made_late(
        self, packet: bytes, size: int, port: ObservedPort, sender: Any, reply: bytes, seconds: float
    ) -> None:
        """Add a row about a reply that had to wait, which was `noted`, to a packet that had `size` octets."""
        noted = self.noted
        assert noted is not None  # the caller's test
        self.noted = None
        rows = self._kinds.get(noted.labels[1], self._errors)
        if len(rows) >= self.room:
            self.missed += 1
            return
        rows.append((self._clock(), port, sender, packet[:_HEAD], noted, seconds, size, len(reply), reply[2:8]))

    def dropped(self, packet: bytes, port: ObservedPort, index: int, reason: Reason) -> None:
        """Add a row about packet `index` of a port's batch, which gets no reply."""
        self.began = NEVER
        self.noted = Noted((0, m.DROP, reason.code), reason)
        self.made(packet, port, index, None)

    def take(self) -> list[Row]:
        """Return the rows that there are, in the order of their time, and begin anew."""
        rows = sorted((*self._denied, *self._errors, *self._rest), key=itemgetter(0))
        for kind in (self._denied, self._errors, self._rest):
            kind.clear()
        self.is_full = False
        return rows


def observed(row: Row, epoch: float) -> Observed:
    """Return a row as a value for people; `epoch` is what the clock's time 0 is in seconds since 1970."""
    time, port, sender, packet, noted, seconds, request, reply, octets = row
    labels, reason, source, upstream = noted
    client, number = port.endpoint(sender)
    name, qtype, klass, bufsize, do = _question(packet)
    # In the order of its fields: by their names it takes a third longer.
    return Observed(
        epoch + time,
        client,
        number,
        "tcp" if port.stream else "udp",
        name,
        qtype,
        klass,
        labels[1],
        reason if reason.code == labels[2] else Reason(labels[2], reason.ede, reason.text),
        octets[4:6] > _NONE,
        source,
        upstream,
        seconds,
        request,
        reply,
        int.from_bytes(packet[:2], "big"),
        octets[0] << 8 | octets[1] if octets else 0,
        do,
        bufsize,
    )


def _question(packet: bytes) -> tuple[bytes, int, int, int, bool]:
    """Return the name, type and class of a question, and the size and DO of its OPT; what cannot be read is left empty.

    The OPT is only found right behind the question, where nearly all clients put it.
    """
    position = m.HEADER_SIZE
    try:
        while length := packet[position]:
            if length > MAX_LABEL:
                return b"", 0, 0, 0, False
            position += length + 1
        end = position + 5
        qtype, klass = _TYPE_CLASS.unpack_from(packet, position + 1)
    except (IndexError, struct.error):
        return b"", 0, 0, 0, False
    name = packet[m.HEADER_SIZE : position + 1]
    if len(name) > MAX_NAME or packet[4:6] != _ONE or packet[2] & _OPCODE:
        return b"", 0, 0, 0, False
    if packet[end : end + 3] != _OPT or len(packet) < end + 11:
        return name, qtype, klass, 0, False
    return name, qtype, klass, int.from_bytes(packet[end + 3 : end + 5], "big"), packet[end + 7] & _DO > 0
