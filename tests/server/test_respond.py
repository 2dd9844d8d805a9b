"""Any octets give a reply or a drop, never an exception; a kept reply equals the reply that would be made anew."""

import time
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.record import Reason
from tests.answering import Answering, synced
from tests.cluster import endpoints, listed, namespace, service
from tests.messages import SIZE, addresses, d, header, option
from tests.universe import BASE, PACKETS, QUESTIONS, normal, zone

# Names over and over, with now and then something in the way of whoever reads them.
_label = st.one_of(st.binary(max_size=8), st.just(b"svc"), st.just(b"cluster"), st.just(b"local"), st.just(b"arpa"))
_name = st.lists(_label, max_size=6).map(lambda labels: b"".join(bytes((len(one),)) + one for one in labels) + b"\0")
_counts = st.integers(0, 3)
_broken = st.builds(
    lambda flags, counts, name, tail: header(flags, *counts) + name + tail,
    st.integers(0, 0x7FFF),
    st.tuples(_counts, _counts, _counts, _counts),
    _name,
    st.binary(max_size=40),
)
_mutated = st.builds(
    lambda packet, at, octets: packet[: at % len(packet)] + octets + packet[at % len(packet) + len(octets) :],
    st.sampled_from(PACKETS),
    st.integers(0, 100),
    st.binary(max_size=3),
)


def answering(stream: bool = True) -> Answering:
    cluster = zone()
    for event in listed(BASE):
        cluster.apply(event, 0, 1)
    made = Answering(cluster)
    made.port.stream = stream
    return made


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.binary(max_size=200), _broken, _mutated), st.booleans())
@example(b"", False)
@example(header(extras=65535) + b"\0\0\1\0\1", False)
@example(header() + b"\x01x" * 127 + b"\0\0\1\0\1", True)
def test_any_octets_get_a_reply_or_none(packet: bytes, stream: bool) -> None:
    made = answering(stream)
    began = time.process_time()
    reply = made.responder.respond(packet, made.port, 0)
    assert time.process_time() - began < 1.0  # it takes 0.1 ms; garbage may be collected just then
    assert made.responder.panics == 0
    if len(packet) < 12 or packet[2] & 0x80:
        assert reply is None
        return
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.id == int.from_bytes(packet[:2])
    assert message.flags & dns.flags.QR
    assert message.opcode() == packet[2] >> 3 & 15
    assert len(reply) <= (65535 if stream else SIZE)
    assert message.question == [] or reply[12:].startswith(packet[12:16])


def _query(question: tuple[str, str], upper: bool, flags: int, edns: dict[str, Any] | None, tail: bytes) -> bytes:
    name = question[0].title() if upper else question[0]
    return d(name, question[1], flags=flags, **(edns or {"use_edns": None})).to_wire() + tail


_edns: st.SearchStrategy[dict[str, Any] | None] = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "payload": st.sampled_from((0, 100, 512, 600, 1231, 1232, 1233, 4096, 65535)),
            "ednsflags": st.sampled_from((0, 0, dns.flags.DO, 0x40)),
            "options": st.sampled_from(([], [], [option(10, b"12345678")])),
        }
    ),
)
_flags = st.sampled_from((0, dns.flags.RD, dns.flags.RD | dns.flags.AD, dns.flags.CD, 0x40))
_queries = st.builds(
    _query, st.sampled_from(QUESTIONS), st.booleans(), _flags, _edns, st.sampled_from((b"", b"", b"tail"))
)


@settings(deadline=None, max_examples=100)
@given(st.lists(_queries, min_size=1, max_size=12), st.booleans())
def test_a_kept_reply_is_the_one_that_would_be_made(packets: list[bytes], stream: bool) -> None:
    warm = answering(stream)
    for packet in [*packets, *packets, *packets]:
        kept, made = warm.ask(packet), answering(stream).ask(packet)
        # Address records take turns; the records of these names all have one size, so that is all that may differ.
        assert kept == made or (len(kept) == len(made) and normal(kept) == normal(made))
    for reply in warm.port.table.replies.values():
        assert len(reply.wire) <= (65535 if stream else SIZE) - 2


def test_records_of_one_name_take_turns() -> None:
    things = [namespace("shop"), service("web"), endpoints("web", *(f"10.1.0.{n}" for n in range(1, 6)))]
    cluster = Cluster()
    for event in listed(things):
        cluster.apply(event, 0, 1)
    made = Answering(cluster)
    packet = d("web.shop.svc.cluster.local").to_wire()
    first = [dns.message.from_wire(made.ask(packet), one_rr_per_rrset=True).answer[0][0].to_text() for _ in range(15)]
    assert {first.count(address) for address in first} == {3}
    assert len(set(first)) == 5
    whole = {frozenset(addresses(dns.message.from_wire(made.ask(packet)))) for _ in range(5)}
    assert len(whole) == 1


def test_a_cut_reply_shows_every_address_in_turn() -> None:
    things = [namespace("shop"), service("web"), endpoints("web", *(f"10.1.0.{n}" for n in range(1, 121)))]
    cluster = Cluster()
    for event in listed(things):
        cluster.apply(event, 0, 1)
    made = Answering(cluster)
    made.port.stream = False
    packet = d("web.shop.svc.cluster.local", use_edns=None).to_wire()
    replies = [dns.message.from_wire(made.ask(packet)) for _ in range(120)]
    assert all(reply.flags & dns.flags.TC for reply in replies)
    assert len(set().union(*map(addresses, replies))) == 120


def test_before_the_first_sync_cluster_names_fail_with_a_reason_and_are_not_kept() -> None:
    made = Answering(Cluster())
    for name in ("web.shop.svc.cluster.local", "shop.svc.cluster.local"):
        reply = dns.message.from_wire(made.ask(d(name).to_wire()))
        (error,) = reply.options
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert isinstance(error, dns.edns.EDEOption)
        assert error.code == 14
        assert "services" in (error.text or "")
    assert made.port.table.replies == {}
    assert dns.message.from_wire(made.ask(d("localhost").to_wire())).rcode() == dns.rcode.NOERROR


def test_stale_data_is_marked_and_outside_answers_are_not() -> None:
    made = answering()
    made.responder.mark_stale(Reason("stale", m.EDE.STALE_ANSWER, "old"))
    cluster, outside = (
        dns.message.from_wire(made.ask(d(name).to_wire())) for name in ("t.b.svc.cluster.local", "www.example.com")
    )
    assert [int(found.code) for found in cluster.options if isinstance(found, dns.edns.EDEOption)] == [3]
    assert addresses(cluster) == {"10.9.0.1"}
    assert outside.options == ()


@pytest.mark.parametrize("recursion", [True, False])
def test_ra_says_whether_there_are_upstreams(recursion: bool) -> None:
    made = answering()
    made.responder = type(made.responder)(made.chain, made.outside, made.replies, lambda: 0.0, recursion=recursion)
    for packet in (*PACKETS[:5], header(dns.opcode.NOTIFY << 11), header() + b"\xc0\0"):
        assert bool(made.ask(packet)[3] & 0x80) is recursion


def test_replies_are_counted_once_by_type_rcode_and_reason() -> None:
    made = answering()
    for _ in range(3):
        made.ask(d("t.b.svc.cluster.local").to_wire())
        made.ask(d("nobody.b.svc.cluster.local", "AAAA").to_wire())
    made.ask(d("T.b.svc.cluster.local").to_wire())
    made.ask(header() + b"\xc0\0")
    traffic = made.port.table.traffic()
    made.replies.clear()
    assert made.port.table.traffic() == traffic
    assert made.port.table.namespaces.questions == {b"b": 7}
    assert made.port.table.namespaces.failures == {(b"b", m.NXDOMAIN): 3}
    assert traffic.replies == {
        (m.A, m.NOERROR, "found"): 4,
        (m.AAAA, m.NXDOMAIN, "service-missing"): 3,
        (0, m.FORMERR, "format-error"): 1,
    }


def test_what_a_client_can_make_up_is_not_counted_apart() -> None:
    made = synced(service("web", "10.9.0.1"))
    for number in range(1000, 1500):
        for name, klass in (("web.shop.svc.cluster.local", "IN"), ("x.shop.svc.cluster.local", "IN"), ("x.", "CH")):
            made.ask(dns.message.make_query(name, dns.rdatatype.RdataType(number), klass).to_wire())
    traffic = made.port.table.traffic()
    assert set(traffic.replies) == {(0, 0, "no-data"), (0, 3, "service-missing"), (0, 5, "class-refused")}
    assert traffic.replies.total() == 1500
