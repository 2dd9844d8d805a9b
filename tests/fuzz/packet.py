"""Packets of clients, one after the other: the reply is the same by a template, without one and from the cache."""

import random
from collections.abc import Iterator, Sequence

from dnsserver.forward.outcome import Outcome, Question
from dnsserver.wire import name as names
from dnsserver.zone.cluster import Cluster
from tests.cluster import listed
from tests.fuzz.pieces import Pieces
from tests.fuzz.quick import strictly
from tests.outside import Outside
from tests.server.ways import OUTCOMES, THINGS, Server

_MOST = 6  # packets of one input
_ZONE = Cluster()  # no packet changes it
_UDP_SIZE = 1232  # octets of a reply over UDP at the most, by default
# All outcomes but those with octets that the reader of upstream replies refuses.
_TELLERS = tuple(tell for name, tell in OUTCOMES.items() if name != "unreadable")

for _event in listed(THINGS):
    _ZONE.apply(_event, 0, 1)


def packets(data: bytes) -> Iterator[bytes]:
    """Yield the packets of an input: before each packet, one octet tells its length."""
    at = 0
    for _ in range(_MOST):
        if at >= len(data):
            return
        size = data[at]
        yield data[at + 1 : at + 1 + size]
        at += 1 + size


_NAMES = [
    names.from_text(text)
    for text in """
web.shop.svc.cluster.local away.shop.svc.cluster.local none.shop.svc.cluster.local shop.svc.cluster.local cluster.local
web.shop.svc.cluster.local.shop.svc.cluster.local 1.0.9.10.in-addr.arpa a.example ab.example abc.example WWW.Example .
""".split()  # noqa: SIM905 - a list of so many quotes hides them
]
_FLAGS = (0x0100, 0x0100, 0x0100, 0, 0x0120, 0x0110, 0x0130, 0x0500, 0x2100, 0x8100, 0x0300)
_TYPES = (1, 1, 1, 28, 28, 5, 6, 12, 15, 16, 33, 65, 255, 252)
_SIZES = (512, 1232, 4096, 0)


def _packet(chance: random.Random) -> bytes:
    """Return a query that is valid or nearly valid, with usual and rare flags and options."""
    opt = b""
    if chance.random() < 0.5:
        do = chance.choice((0, 0x8000))
        options = chance.choice((b"", b"", bytes(4), b"\0\x0a\0\x08" + bytes(8), b"\0\x0b\0\0", b"\0\x0b\0\2\0\1"))
        size = len(options) + chance.choice((0, 0, 0, 1, 9))  # the size may go beyond the end of the packet
        opt = b"\0\0\x29" + chance.choice(_SIZES).to_bytes(2) + bytes(2) + do.to_bytes(2) + size.to_bytes(2) + options
    head = b"\x12\x34" + chance.choice(_FLAGS).to_bytes(2) + b"\0\1\0\0\0\0\0" + bytes((len(opt) > 0,))
    return head + chance.choice(_NAMES) + chance.choice(_TYPES).to_bytes(2) + b"\0\1" + opt


def _joined(head: bytes, pieces: Sequence[bytes]) -> bytes:
    return (head or b"\0") + b"".join(bytes((len(piece),)) + piece for piece in (one[:255] for one in pieces))


PIECES = Pieces(lambda data: (data[:1], [*packets(data[1:])]), _joined, _packet)


def _tell(ask: Question, now: float) -> Outcome | None:
    """Return the outcome of an outside question; its kind depends only on the name."""
    return _TELLERS[sum(ask.name) % len(_TELLERS)](ask, now)


def _replies(server: Server, packet: bytes, number: int) -> list[tuple[int, bytes]]:
    """Return (client, reply) for the reply that comes at once or late; nothing if there is none."""
    at_once = server.port.ask(packet, number)
    server.outside.finish(_tell)
    late = [*server.port.sent]
    server.port.sent.clear()
    found = [(number, at_once)] if at_once is not None else []
    return found + late


def _comparable(wire: bytes) -> object:
    """Return the parts of a reply that are always the same: a cached reply may have its addresses in another order."""
    read = strictly(wire)
    return read.flags, read.questions, sorted(read.records)


def run(data: bytes) -> None:
    """Ask two servers, the second without templates, each packet three times; over TCP if the first octet is odd."""
    if not data:
        return
    stream = data[0] % 2 == 1
    servers = [Server(Outside(late=True), short=short, stream=stream, cluster=_ZONE) for short in (True, False)]
    for number, packet in enumerate(packets(data[1:])):
        for _ in range(3):  # made, made and kept, kept
            short, long = (_replies(server, packet, number) for server in servers)
            assert [client for client, _ in short] == [client for client, _ in long], "one of them is silent"
            for (_, ours), (_, theirs) in zip(short, long, strict=True):
                assert _comparable(ours) == _comparable(theirs), f"{ours.hex()} and {theirs.hex()}"
                strictly(ours, packet)
                assert stream or len(ours) <= _UDP_SIZE
    for server in servers:
        assert server.responder.panics == 0, "a question was answered with an internal error"
        assert server.responder.faults.counts.total() == 0, dict(server.responder.faults.counts)
