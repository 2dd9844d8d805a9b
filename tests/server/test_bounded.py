"""Everything that a client can make grow, except the caches: a table of these things and their bounds."""

import random
import struct
from collections.abc import Callable

import pytest

from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.guard import Guard
from dnsserver.server.respond import Responder
from dnsserver.zone.static import SpecialNames
from tests.cluster import listed
from tests.outside import Outside
from tests.port import Port
from tests.reach import octets
from tests.universe import BASE, zone

ROUNDS = 30_000


class Crowded:
    """A server that many clients have asked every kind of question."""

    def __init__(self) -> None:
        random.seed(29)
        cluster = zone()
        for event in listed(BASE):
            cluster.apply(event, 0, 1)
        self.replies = ReplyCache(1 << 20)
        self.guard = Guard([], rate=10, remembered=100)
        self.outside = Outside()
        self.responder = Responder(
            Chain([cluster, SpecialNames()]), self.outside, self.replies, lambda: 0.0, services=cluster
        )
        self.port = Port(self.replies.add_table("udp", "1"))
        for number in range(ROUNDS):
            self.guard.admission_denial(number.to_bytes(4), 0.0)
            self.responder.respond(_packet(), self.port, 0)
            self.outside.waiting.clear()


def _packet() -> bytes:
    """A query in which everything that a client may choose is random."""
    label = b"%x" % random.getrandbits(random.choice((8, 64, 120)))
    suffix = random.choice((b"\1s\1a\3svc\7cluster\5local", b"\1a\3svc\7cluster\5local", b"\7example\3com", b""))
    name = random.choice((bytes((len(label),)) + label, b"")) + suffix + b"\0"
    if random.random() < 0.1:
        name = name.upper()
    kind = random.choice((1, 28, 16, 33, random.getrandbits(16)))
    klass = random.choice((1, 1, 1, 1, random.getrandbits(16)))
    flags = random.choice((0x100, 0, 0x120, 0x110, random.getrandbits(15)))
    size = random.choice((None, 512, 1200, 1232, 4096, random.getrandbits(16)))
    head = struct.pack("!HHHHHH", random.getrandbits(16), flags, 1, 0, 0, size is not None)
    opt = b""
    if size is not None:
        option = random.randbytes(random.choice((0, 0, 8)))
        data = struct.pack("!HH", random.getrandbits(16), len(option)) + option if option else b""
        opt = struct.pack("!BHHIH", 0, 41, size, random.choice((0, 0x8000, random.getrandbits(32))), len(data)) + data
    return head + name + struct.pack("!HH", kind, klass) + opt


@pytest.fixture(scope="module")
def crowded() -> Crowded:
    return Crowded()


# What grows, how large it is, and how large it may be.
GROWING: dict[str, tuple[Callable[[Crowded], int], int]] = {
    "templates": (lambda c: len(c.responder.templates), 256),
    "templates of missing names": (lambda c: c.responder.templates.longest(), 127),
    "labels in metrics": (lambda c: len(c.port.table.traffic().replies), 400),
    "replies": (lambda c: c.replies.statistics().size, 1 << 20),
    "the reply cache with all that it notes": (lambda c: octets(c.replies), 2 << 20),
    "clients": (lambda c: c.guard.clients, 100),
    "names of limits": (lambda c: len(c.guard.limited), 5),
    "places of faults": (lambda c: sum(c.responder.faults.counts.values()), 0),
}


@pytest.mark.parametrize("what", GROWING)
def test_what_a_client_can_make_grow_has_an_end(what: str, crowded: Crowded) -> None:
    size, most = GROWING[what]
    assert size(crowded) <= most
    if most:
        assert size(crowded) > 0  # it did grow
