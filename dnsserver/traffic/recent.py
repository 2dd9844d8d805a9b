"""The packets that were looked at last, each with its client and its name: who asks for a name, what a client asks.

Rejected: to count pairs of a client and a name as clients and names are counted. There are far more pairs, and each is
too rare for its count to be kept.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from dnsserver.traffic.summary import Summary
from dnsserver.traffic.window import Top, shown

ROOM: Final = 320 * 1024  # octets: some 1,200 packets with names of usual length
PACKET: Final = 224  # octets of one beside its client and its name, measured in `tests/traffic/test_recent.py`


class _Packet(NamedTuple):
    at: float
    client: bytes
    name: bytes
    weight: int


class RecentPackets:
    """The last packets that were looked at, in at most `room` octets; `now` never goes back."""

    def __init__(self, room: int = ROOM) -> None:
        """Begin without any."""
        self._room = room
        self._held = 0  # octets
        self._packets: deque[_Packet] = deque()

    def add(self, client: bytes, name: bytes, weight: int, now: float) -> None:
        """Record a packet, which stands for `weight` of them; `name` is in wire form and lower case."""
        packets = self._packets
        packets.append(_Packet(now, client, name, weight))
        self._held += PACKET + len(client) + len(name)
        while self._held > self._room:
            gone = packets.popleft()
            self._held -= PACKET + len(gone.client) + len(gone.name)

    def names(self, client: bytes, minutes: int, limit: int, now: float) -> Top:
        """Return the names that a client asks for most, of the last minutes as far as they are here."""
        return self._top(lambda packet: packet.name if packet.client == client else None, minutes, limit, now)

    def clients(self, name: bytes, minutes: int, limit: int, now: float) -> Top:
        """Return the clients that ask most for a name, of the last minutes as far as they are here."""
        return self._top(lambda packet: packet.client if packet.name == name else None, minutes, limit, now)

    def _top(self, key: Callable[[_Packet], bytes | None], minutes: int, limit: int, now: float) -> Top:
        """Return the most frequent keys, and how many packets have one; the error is that of sampling."""
        recent = [packet for packet in self._packets if packet.at > now - 60 * minutes]
        everything, found = Summary(), Summary(len(recent))  # nothing is given up
        for packet in recent:
            everything.add(b"", packet.weight)
            if (own := key(packet)) is not None:
                found.add(own, packet.weight)
        more = everything.squares / everything.total - 1 if everything.total else 0.0
        heaviest = [heavy for heavy, _ in zip(found.heaviest(), range(limit), strict=False)]
        seconds = now - recent[0].at if recent else 0.0
        items = tuple(shown(heavy, max(0.0, more), everything.total) for heavy in heaviest)
        return Top(seconds, found.total, 0, items)
