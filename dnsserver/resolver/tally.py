"""Counts the replies that were sent: by type and result, size, time taken, and namespace.

A hit adds one to its reply's `hits` and no more: what else there is to count of it is counted when the reply goes, or
when somebody wants to know (`settle`). So is a reply of a template for the time that it was sent as it was made (0.3 us
of 17). Only what else is not from the cache is counted as it is sent.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Protocol

import msgspec

from dnsserver.metrics import SIZES, Histogram
from dnsserver.wire.message import NXDOMAIN
from dnsserver.zone.record import Key
from dnsserver.zone.services import NAMESPACE_MISSING

# What a reply is counted under in metrics: type, rcode, and the code of the reason.
Labels = tuple[int, int, str]

# The labels of a reply, the octets of its question and of itself, and whether the question had DO.
Shape = tuple[Labels, int, int, bool]

MISSING, OTHER = b"", b"*"  # what stands for a namespace that does not exist, and for one too many; no label is either
_NO_NAMESPACE = NAMESPACE_MISSING.code

_ID = 2  # octets of a message that neither the key nor the octets of a held reply have
_MOST = 2048  # shapes that are counted apart: clients could send 4,096 times 65,536
_MOST_NAMESPACES = 1000  # that are counted apart
MOST_MISSED = 2000  # questions for missing services before they are counted
_SLICE = 2000  # replies that are counted between two turns of the event loop, 1 to 1.5 ms
_ARCOUNT = 9  # where its second octet is in a key; an OPT without options is at the key's end
_FLAGS_OF_OPT = -4
_BITS = 17  # where the octets of a question begin in a number that has those of its reply and DO too
_RESPONSE = (1 << 16) - 1
_DO = 0x80
_SERVICE = 2  # parts of a key of a service; that of a namespace has one, that of another name more


class Sent(msgspec.Struct):
    """What was sent since the start, as counts by Labels and as sizes in octets; `from_cache` is a part of `replies`.

    `do` is how many of the questions had DO.
    """

    replies: Counter[Labels]
    from_cache: Counter[Labels]
    requests: Histogram
    responses: Histogram
    do: int


class Counted(Protocol):
    """A held reply: how often it was sent from the cache, and how much of that is counted, -1 for nothing at all.

    `firsts` is 1 if it was sent as it was made and that is not counted yet by then.
    """

    key: bytes
    wire: bytes
    labels: Labels
    depends: tuple[Key, ...]
    hits: int
    counted: int

    @property
    def firsts(self) -> int:
        """Sent, beside its hits."""


class Shapes(dict[Shape, int]):
    """How many replies of each shape there were since those that are in `counts`, `requests` and `responses`.

    One dictionary for labels and sizes: with two a reply takes 0.2 us more (`timeit` of both).
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        super().__init__()
        self.counts: Counter[Labels] = Counter()
        self.requests, self.responses = Histogram(SIZES), Histogram(SIZES)
        self.do = 0

    def __missing__(self, shape: Shape) -> int:
        """Begin to count one more shape; of too many the counts go into the sums first."""
        if len(self) >= _MOST:
            self.settle()
        return 0

    def total(self) -> int:
        """Return how many replies there were."""
        return self.counts.total() + sum(self.values())

    def settle(self) -> None:
        """Bring the sums up to date."""
        for (labels, request, response, do), count in self.items():
            self.counts[labels] += count
            self.requests.observe_many(request, count)
            self.responses.observe_many(response, count)
            self.do += count * do
        self.clear()


class Namespaces:
    """How many questions were for names in each namespace, and how many of them failed, by rcode.

    At most 1,000 namespaces are counted apart, all of them such as exist: what clients invent is one, `MISSING`. The
    first ones stay; who comes later than that is counted with `OTHER`. `missed` are the namespaces of services that do
    not exist, as they were asked for, not counted yet: `count_missed` is for who adds to them without end.
    """

    __slots__ = ("failures", "missed", "questions")

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.questions: dict[bytes, int] = {}
        self.failures: dict[tuple[bytes, int], int] = {}
        self.missed: list[bytes] = []

    def count_missed(self) -> None:
        """Count those that were missed: 0.05 us each, where one at a time takes 0.3 of the 5 of such an answer."""
        for namespace, count in Counter(self.missed).items():
            self.add(namespace, NXDOMAIN, count)
        self.missed.clear()

    def count(self, depends: tuple[Key, ...] | None, labels: Labels, count: int = 1) -> None:
        """Count replies by what they depend on: first of all on the namespace that their name lies in, if in any."""
        if depends and isinstance(key := depends[0], tuple) and len(key) <= _SERVICE:
            rcode = labels[1]
            self.add(MISSING if rcode and len(key) == 1 and labels[2] == _NO_NAMESPACE else key[0], rcode, count)

    def add(self, namespace: bytes, rcode: int, count: int) -> None:
        """Count replies of one rcode."""
        questions = self.questions
        if namespace not in questions and len(questions) >= _MOST_NAMESPACES:
            namespace = OTHER
        questions[namespace] = questions.get(namespace, 0) + count
        if rcode:
            failed = namespace, rcode
            self.failures[failed] = self.failures.get(failed, 0) + count

    def keep_only(self, namespaces: Container[bytes]) -> None:
        """Forget the counts of all namespaces but these: the others are gone."""
        gone = {name for name in self.questions if name not in namespaces and name not in {MISSING, OTHER}}
        if gone:
            self.questions = {name: count for name, count in self.questions.items() if name not in gone}
            self.failures = {key: count for key, count in self.failures.items() if key[0] not in gone}


class Tally:
    """The counts of one transport and address family, but for what held replies have not been asked for yet.

    `shapes` are of all that was sent as it was made; whoever sends a reply that is not kept adds to them, and to
    `namespaces`. `hit_shapes` are of what was sent from the cache. `durations` are the seconds from a question to its
    reply.
    """

    __slots__ = ("durations", "hit_shapes", "namespaces", "shapes")

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.shapes, self.hit_shapes = Shapes(), Shapes()
        self.durations = Histogram()
        self.namespaces = Namespaces()

    def count(self, reply: Counted) -> None:
        """Count all that a held reply was sent since it was counted last."""
        shape = _shape(reply)
        hits, counted = reply.hits, reply.counted
        if counted < 0:
            self.shapes[shape] += reply.firsts
        if hits:
            self.hit_shapes[shape] += hits - max(counted, 0)
        reply.counted = hits
        self.namespaces.count(reply.depends, reply.labels, hits - counted)

    def count_all(self, held: Iterable[Counted]) -> Iterator[None]:
        """Count what so many held replies were sent: a slice at each step.

        What changes between two steps is counted in this round or in the next one, and never twice.
        """
        self.namespaces.count_missed()
        replies = iter(held)
        while slice_ := tuple(islice(replies, _SLICE)):
            self._count_slice(slice_)
            yield
        self.shapes.settle()
        yield
        self.hit_shapes.settle()

    def _count_slice(self, replies: Iterable[Counted]) -> None:
        """Do the same as `count` for each reply of a slice: 0.5 us for each reply that was sent since, instead of 1.0.

        Equal counts are added up first, so that the labels of a reply are hashed once.
        """
        found: dict[Labels, dict[int, int]] = {}
        questions, failures = self.namespaces.questions, self.namespaces.failures
        for reply in replies:
            hits = reply.hits
            new = hits - reply.counted
            if not new:
                continue
            if reply.counted < 0:
                self.count(reply)
                continue
            reply.counted = hits
            labels = reply.labels
            sizes = found.get(labels)
            if sizes is None:
                sizes = found[labels] = {}
            key = reply.key
            length = len(key)
            size = length << _BITS | len(reply.wire) << 1
            if length > _ARCOUNT and key[_ARCOUNT] and key[_FLAGS_OF_OPT] & _DO:
                size |= 1
            sizes[size] = sizes.get(size, 0) + new
            depends = reply.depends
            if depends and isinstance(first := depends[0], tuple) and len(first) == _SERVICE and first[0] in questions:
                namespace = first[0]
                questions[namespace] += new
                if rcode := labels[1]:
                    failed = namespace, rcode
                    failures[failed] = failures.get(failed, 0) + new
            else:
                self.namespaces.count(depends, labels, new)
        for labels, sizes in found.items():
            for size, count in sizes.items():
                request, response = (size >> _BITS) + _ID, (size >> 1 & _RESPONSE) + _ID
                self.hit_shapes[labels, request, response, size & 1 > 0] += count

    def correct(self, reply: Counted, request: int) -> None:
        """Record that the last hit of a held reply was for a question of another size than its key's."""
        self.count(reply)
        shape = _shape(reply)
        self.hit_shapes[shape] -= 1
        self.hit_shapes[reply.labels, request, shape[2], shape[3]] += 1

    def sent(self) -> Sent:
        """Return all that was sent, as far as it is counted."""
        made, hits = self.shapes, self.hit_shapes
        made.settle()
        hits.settle()
        return Sent(
            made.counts + hits.counts,
            +hits.counts,
            made.requests + hits.requests,
            made.responses + hits.responses,
            made.do + hits.do,
        )


def _shape(reply: Counted) -> Shape:
    """Return the shape of a kept reply."""
    key = reply.key
    do = len(key) > _ARCOUNT and key[_ARCOUNT] > 0 and key[_FLAGS_OF_OPT] & _DO > 0
    return reply.labels, len(key) + _ID, len(reply.wire) + _ID, do
