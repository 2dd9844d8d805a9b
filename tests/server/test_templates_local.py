"""Templates of services give the same octets as the long way, for every question and after every change."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.respond import Responder
from dnsserver.wire.message import EDE
from dnsserver.wire.query import Query, read_query
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, ListStarted, Namespace, Put, Remove, Service
from dnsserver.zone.record import Reason
from tests.answering import little
from tests.outside import Outside
from tests.port import Port

_WORDS = ("a", "web", "db", "head", "alias", "dual", "gone", "A", "x" * 63, "svc", "")
_HEADERS = (b"\1\0\0\1\0\0\0\0\0", b"\1\x20\0\1\0\0\0\0\0", b"\0\0\0\1\0\0\0\0\0", b"\1\x10\0\1\0\0\0\0\0")
_OPTS = (b"", b"\0\0\x29\x04\xd0\0\0\0\0\0\0", b"\0\0\x29\x10\0\0\0\x80\0\0\0", b"\0\0\x29\2\0\0\0\0\0\0\0")


class _Both:
    """One zone behind two responders, with and without templates."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        for kind in Kind:
            self.cluster.apply(ListStarted(kind), 0, 0)
        for obj in _objects():
            self.cluster.apply(Put(obj), 0, 1)
        for kind in Kind:
            self.cluster.apply(ListDone(kind), 0, 1)
        self.caches = ReplyCache(), ReplyCache()
        self.ports = [Port(cache.add_table("udp", "1")) for cache in self.caches]
        chain = Chain([self.cluster])
        self.responders = [
            Responder(chain, Outside(little), cache, lambda: 0.0, services=services)
            for cache, services in zip(self.caches, (self.cluster, None), strict=True)
        ]

    def ask(self, packet: bytes) -> None:
        short, long = (
            responder.respond(packet, port, 0) for responder, port in zip(self.responders, self.ports, strict=True)
        )
        assert short == long
        kept, expected = (
            {key: (reply.wire, reply.depends, reply.labels) for key, reply in port.table.replies.items()}
            for port in self.ports
        )
        assert kept == expected
        tables = [port.table for port in self.ports]
        assert tables[0].traffic() == tables[1].traffic()
        one, other = (table.namespaces for table in tables)
        assert (one.questions, one.failures) == (other.questions, other.failures)

    def change(self, event: Put | Remove, wall: int) -> None:
        changed = self.cluster.apply(event, 0, wall)
        for cache in self.caches:
            cache.drop(changed)


def _objects() -> list[Namespace | Service]:
    made: list[Namespace | Service] = [
        msgspec.convert({"metadata": {"name": name}}, Namespace) for name in ("a", "web", "svc", "x" * 63)
    ]
    specs: dict[str, dict[str, object]] = {
        "web": {"clusterIP": "10.0.0.1"},
        "a": {"clusterIP": "fd00::1"},
        "dual": {"clusterIPs": ["10.0.0.2", "fd00::2"]},
        "two": {"clusterIPs": ["10.0.0.2", "10.0.0.3"]},
        "head": {"clusterIP": "None"},
        "alias": {"type": "ExternalName", "externalName": "web.a.svc.cluster.local"},
        "x" * 63: {"clusterIP": "10.0.0.4"},
    }
    # A Service whose Namespace is not there (yet) does not exist.
    for namespace in ("a", "web", "gone"):
        for name, spec in specs.items():
            thing = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
            made.append(msgspec.convert(thing, Service))
    return made


def _packet(labels: tuple[str, ...], qtype: int, header: bytes, opt: bytes, tail: bytes) -> bytes:
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return b"\0\1" + header + (b"\1" if opt else b"\0") + name + tail + b"\0" + bytes((qtype, 0, 1)) + opt


packets = st.builds(
    _packet,
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(tuple),
    st.sampled_from((1, 28, 33, 16)),
    st.sampled_from(_HEADERS),
    st.sampled_from(_OPTS),
    st.sampled_from((b"\3svc\7cluster\5local\0", b"\3svc\7cluster\5LOCAL\0", b"\3pod\7cluster\5local\0")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(packets, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_a_reply_by_template_is_the_long_ways(asked: list[bytes], rng: random.Random) -> None:
    both = _Both()
    wall = 1
    for packet in asked:
        both.ask(packet)
        if rng.random() < 0.2:
            wall += rng.randrange(2)
            name = rng.choice(("web", "a", "head", "new"))
            address = rng.choice(("10.1.0.1", "None", "fd00::9"))
            thing = {"metadata": {"name": name, "namespace": "a"}, "spec": {"clusterIP": address}}
            event = Put(msgspec.convert(thing, Service)) if rng.random() < 0.7 else Remove(Kind.SERVICES, "a", name)
            both.change(event, wall)
        if rng.random() < 0.1:
            both.change(Remove(Kind.NAMESPACES, "", "a"), wall)
        both.ask(packet)


@pytest.mark.parametrize("name", ["web", "a", "none"])
@pytest.mark.parametrize("qtype", [1, 28])
@pytest.mark.parametrize("opt", _OPTS)
def test_an_address_is_read_once_whether_there_is_one_or_not(
    name: str, qtype: int, opt: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    def counting(packet: bytes) -> Query:
        nonlocal read
        read += 1
        return read_query(packet)

    monkeypatch.setattr("dnsserver.server.respond.read_query", counting)
    both = _Both()
    packet = _packet((name, "a"), qtype, _HEADERS[0], opt, b"\3svc\7cluster\5local\0")
    for number in range(1, 5):
        both.ask(packet)
        for cache in both.caches:
            cache.clear()
        assert read == 1 + number  # the long way alone reads each


@pytest.mark.parametrize("cut", range(60))
def test_a_cut_packet_has_no_template(cut: int) -> None:
    both = _Both()
    packet = _packet(("web", "a"), 1, _HEADERS[0], _OPTS[1], b"\3svc\7cluster\5local\0")
    both.ask(packet)
    both.ask(packet[:cut])


def test_stale_data_is_marked_whether_there_are_templates_or_not() -> None:
    both = _Both()
    names = ("web", "dual", "missing")
    asked = [_packet((name, "a"), 1, _HEADERS[0], _OPTS[1], b"\3svc\7cluster\5local\0") for name in names]
    for packet in asked:
        both.ask(packet)
    for responder, cache in zip(both.responders, both.caches, strict=True):
        responder.mark_stale(Reason("stale", EDE.STALE_ANSWER, "old"))
        cache.clear()
    for packet in asked:
        both.ask(packet)
