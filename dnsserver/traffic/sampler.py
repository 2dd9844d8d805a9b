"""Which packets are looked at to tell who asks what: one in `every`, chosen by chance before it has come.

Whether a packet is chosen hangs on nothing that is in it, nor on how many came together: each socket counts packets
down to the next one that is chosen. The gaps are geometrically distributed, as if a die were cast for each packet, and
so they may be drawn anew at any time. Each sample weighs as much as the packets that it stands for, so that sums are
unbiased whatever `every` was when; as all packets are counted, weights are brought in line with their number. `every`
follows the load: few packets are all looked at, of many some 300 a second. Then it costs 0.1 % of a processor (4 µs for
each), and a client that asks a tenth of all is known to within 0.5 % of all in a minute.
"""

from collections.abc import Callable
from math import ceil, log
from typing import Final, NamedTuple
from weakref import WeakSet

from dnsserver.wire.message import HEADER_SIZE
from dnsserver.wire.name import MAX_LABEL, MAX_NAME

_TARGET: Final = 300.0  # samples a second
_BURST: Final = 256  # samples between two calls of `take`, after which a quarter as many are taken
_LEAST: Final = 0.1  # seconds from which the load can be told
_LARGEST: Final = 2**20
_NEVER: Final = 2**62
_NAME_END: Final = HEADER_SIZE + MAX_NAME
_QR: Final = 0x80


class Sample(NamedTuple):
    """A sampled packet: its sender, the number of packets that it stands for, and the message.

    The message is the reply, if there was one at once, else the question; its first octets, up to the end of the name.
    """

    client: bytes
    weight: int
    message: bytes

    @property
    def name(self) -> bytes | None:
        """The name that was asked for, in lower case; None if it cannot be read."""
        message = self.message
        position = HEADER_SIZE
        if message[4:6] == b"\0\0":  # QDCOUNT
            return None
        while position < len(message):
            length = message[position]
            if not length:
                return message[HEADER_SIZE : position + 1].lower()
            if length > MAX_LABEL:
                return None
            position += length + 1
        return None

    @property
    def rcode(self) -> int | None:
        """The rcode of the reply; None if there was no reply at once."""
        message = self.message
        return message[3] & 0x0F if len(message) >= HEADER_SIZE and message[2] & _QR else None


class Sampler:
    """Takes the samples of one process; `chance` gives numbers from 0 up to 1. `every` is 0 while nothing is chosen."""

    def __init__(self, chance: Callable[[], float]) -> None:
        """Look at every packet until `take` has seen how many there are."""
        self.every = 1
        self._scale = 0.0  # of the gaps, from their logarithm
        self._chance = chance
        self._since = 0.0
        self._packets = 0  # since then
        self._stood_for = 0  # packets since the last sample that was taken
        self._samples: list[Sample] = []
        self._countdowns: WeakSet[Countdown] = WeakSet()

    def countdown(self) -> "Countdown":
        """Return what counts the packets of one more socket."""
        made = Countdown(self)
        self._countdowns.add(made)
        return made

    def gap(self) -> int:
        """Return how many packets there are to the next one that is chosen, that one included."""
        if self.every > 1:
            return 1 + int(log(1.0 - self._chance()) * self._scale)
        return self.every or _NEVER

    def switch(self, on: bool) -> None:
        """Choose packets from now on, or none."""
        if on != bool(self.every):
            self.go_by(int(on))

    def add(self, client: bytes, message: bytes, weight: int) -> None:
        """Note a packet that was chosen. In a burst fewer are taken at once, so that there is never much to look at."""
        samples = self._samples
        samples.append(Sample(client, weight, bytes(message[:_NAME_END])))
        if len(samples) % _BURST == 0 and self.every < _LARGEST:
            self._choose(4 * self.every)

    def take(self, now: float) -> list[Sample]:
        """Return the samples since the last call, and go by the load since then; some two calls a second do.

        Together they weigh as much as there were packets, but for those since the last sample.
        """
        samples, self._samples = self._samples, []
        packets = sum(countdown.collect() for countdown in self._countdowns)
        self._packets += packets
        self._stood_for = self._stood_for + packets if self.every else 0
        if samples:
            samples, self._stood_for = _weighing(samples, self._stood_for), 0
        seconds = now - self._since
        if seconds >= _LEAST:
            every = min(_LARGEST, max(1, ceil(self._packets / seconds / _TARGET)))
            self._since, self._packets = now, 0
            if self.every not in {0, every}:
                self.go_by(every)
        return samples

    def go_by(self, every: int) -> None:
        """Choose one packet in so many from now on, none if that is 0; it follows the load from there."""
        self._choose(every)
        for countdown in self._countdowns:
            countdown.restart()

    def _choose(self, every: int) -> None:
        self.every = every
        self._scale = 1.0 / log(1.0 - 1.0 / every) if every > 1 else 0.0


def _weighing(samples: list[Sample], packets: int) -> list[Sample]:
    """Return the samples with weights whose sum is `packets`: each stands for itself and for its share of the others.

    The samples stay as they are if there are no others, or fewer packets than samples: the count of a socket that was
    closed meanwhile is lost.
    """
    count = len(samples)
    others = sum(sample.weight for sample in samples) - count
    if not others or packets < count:
        return samples
    found, before, seen = [], 0, 0
    for sample in samples:
        seen += sample.weight - 1
        after = (packets - count) * seen // others
        found.append(sample._replace(weight=1 + after - before))
        before = after
    return found


class Countdown:
    """Counts the packets of one socket down to the next one that is chosen.

    Whoever reads the socket takes what came from `left`, and calls `take` when that is 0 or less: one subtraction for a
    batch, and nothing for a packet.
    """

    __slots__ = ("__weakref__", "_collected", "_next", "_sampler", "_weight", "left")

    left: int

    def __init__(self, sampler: Sampler) -> None:
        """Begin to count."""
        self._sampler = sampler
        self._next = self._collected = self.left = 0  # `_next` is the number of the packet that is chosen next
        self.restart()

    def restart(self) -> None:
        """Begin anew, as another part of the packets is to be chosen: it is as good at any time."""
        self._weight = self._sampler.every
        gap = self._sampler.gap()
        self._next += gap - self.left
        self.left = gap

    def collect(self) -> int:
        """Return how many packets there were since the last call."""
        before, self._collected = self._collected, self._next - self.left
        return self._collected - before

    def take(self, count: int, sampled: Callable[[int], tuple[bytes, bytes]]) -> None:
        """Take the samples of the `count` packets that were counted last; `sampled` gives one by its index."""
        sampler = self._sampler
        while self.left <= 0:
            client, message = sampled(count + self.left - 1)
            sampler.add(client, message, self._weight)
            self._weight = sampler.every
            gap = sampler.gap()
            self.left += gap
            self._next += gap
