"""Which heavy sources get a lane of their own, so that they do not starve the others. Pure.

Looked at only while packets come faster than they are answered: then the senders of what was read last are counted.
Who stands out in a window of them is heavy, and its packets go to a lane of its own (`server.steering`) as long as it
stands out there, and some time more. Nobody is limited: all lanes are read by turns, and an empty one takes no turn. So
one client that asks all alone as fast as it can is served as fast as ever.

A source is one address (IPv4 /32, IPv6 /128). Where none of these stands out, or more of one network (/24, /64) than
there are lanes, it is the network: the pods of one node, or one machine that asks from many addresses.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from dnsserver.server.steering import Heavy

LANES: Final = 4  # for heavy sources, in each process; further sources share them
_WINDOW: Final = 256  # senders: four batches, some 6 ms of a flood
_STALE: Final = 0.1  # seconds after which a window begins afresh: those who sent long ago say nothing of now
# Of a window: 64 clients that ask alike have a 64th each. With 8 attackers and more, one has at most an eighth.
_STANDS_OUT: Final = 1 / 16
_PAUSE: Final = 0.05  # seconds after a window that found nobody new: 0.1 % of a busy server's time instead of 0.5 %
_REMEMBERED: Final = 60.0  # seconds that a source stays heavy after it stood out the last time
_MOST: Final = 64  # heavy sources; the program that looks for them runs for every packet (0.01 µs each)
_NETWORK: Final = {4: 24, 16: 64}  # bits, by the octets of an address


class HeavyStatistics(msgspec.Struct, frozen=True):
    """`heavy` is how many sources have a lane now, `found` how often one was found."""

    heavy: int
    found: int


class _Source(NamedTuple):
    address: bytes
    bits: int

    @property
    def network(self) -> "_Source":
        """The network of an address; that of a network is itself."""
        bits = _NETWORK[len(self.address)]
        return _Source(self.address[: bits // 8].ljust(len(self.address), b"\0"), bits)


class _Place(msgspec.Struct):
    lane: int
    until: float


class HeavySources:
    """The heavy sources of one group of sockets, each with its lane, from 1 to `LANES`."""

    def __init__(self, remembered: float = _REMEMBERED, *, extended: bool = True) -> None:
        """Begin without any.

        A source is `remembered` for so many seconds after it stood out the last time; if not `extended`, the first.
        """
        self._remembered = remembered
        self._extended = extended
        self._window: Counter[bytes] = Counter()
        self._heard = 0.0
        self.due = 0.0  # when `sample` wants to be called again
        self._heavy: dict[_Source, _Place] = {}
        self._found = 0

    @property
    def heavy(self) -> list[Heavy]:
        """The heavy sources, single addresses before networks: the first that fits a packet says its lane."""
        found = [Heavy(source.address, source.bits, place.lane) for source, place in self._heavy.items()]
        return sorted(found, key=lambda source: -source.bits)

    def sample(self, senders: Iterable[bytes], now: float) -> list[Heavy]:
        """Count the senders of what was read while more was waiting, and return those that are heavy since now.

        `senders` are packed addresses of one family, one for each packet.
        """
        if now - self._heard > _STALE:
            self._window.clear()
        self._heard = now
        self._window.update(senders)
        if self._window.total() < _WINDOW:
            return []
        window, self._window = self._window, Counter()
        found = [heavy for source in _standing_out(window) if (heavy := self._note(source, now)) is not None]
        self.due = now if found else now + _PAUSE
        return found

    def add(self, address: bytes, bits: int, now: float) -> list[Heavy]:
        """Count a source as heavy that others have found; return it if it is new."""
        heavy = self._note(_Source(address, bits), now)
        return [] if heavy is None else [heavy]

    def expire(self, now: float) -> bool:
        """Forget the sources that have not stood out for a while; return whether there were some."""
        gone = [source for source, place in self._heavy.items() if place.until <= now]
        for source in gone:
            del self._heavy[source]
        return bool(gone)

    def statistics(self) -> HeavyStatistics:
        """Return the sources in numbers."""
        return HeavyStatistics(len(self._heavy), self._found)

    def _note(self, source: _Source, now: float) -> Heavy | None:
        """Remember a heavy source for longer. Return the source, or the network that takes its place, if it is new."""
        network = source.network
        source = network if network in self._heavy else source
        known = self._heavy.get(source)
        if known is not None:
            if self._extended:
                known.until = now + self._remembered
            return None
        beside = [other for other in self._heavy if other.network == network]
        if len(beside) >= LANES:
            for other in beside:
                del self._heavy[other]
            source = network
        if len(self._heavy) >= _MOST:
            return None
        taken = Counter(place.lane for place in self._heavy.values())
        lane = min(range(1, LANES + 1), key=lambda lane: taken[lane])
        self._heavy[source] = _Place(lane, now + self._remembered)
        self._found += 1
        return Heavy(source.address, source.bits, lane)


def _standing_out(window: Counter[bytes]) -> list[_Source]:
    """Return the addresses that sent a large part of the packets; if no address did, the networks that did."""
    least = window.total() * _STANDS_OUT
    found = [_Source(address, 8 * len(address)) for address, count in window.items() if count >= least]
    if found:
        return found
    networks: Counter[_Source] = Counter()
    for address, count in window.items():
        networks[_Source(address, 8 * len(address)).network] += count
    return [network for network, count in networks.items() if count >= least]
