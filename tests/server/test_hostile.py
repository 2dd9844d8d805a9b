"""Replies of upstreams with octets changed at random: whatever is made of them can be read by a strict client.

Each is asked for by its own name in several spellings, sizes and flags, behind an ExternalName, and again when its TTLs
have been counted down. `tests.observed` reads all of it strictly; here it is read once more, as a reply to its query.
"""

import time

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire import upstream_reply
from dnsserver.wire.message import FormatError
from dnsserver.wire.scope import Scope
from dnsserver.wire.upstream_reply import TTLLimits, Verdict
from tests import strict
from tests.server.unplugged import ALIAS, WWW, Server
from tests.wire.hostile import NAME, Shape, reply
from tests.wire.replies import RECORDS, message

TYPES = (m.A, m.MX, m.CNAME, m.SRV, m.NS, m.HTTPS)
QUESTION_END = 12 + len(NAME) + 4
# What an octet is likely to be turned into: a pointer, or a length that takes a name over where it should end.
_octets = st.one_of(st.sampled_from((0, 0x0C, 0x10, 0x3F, 0x40, 0xC0, 0xC1, 0xFF)), st.integers(0, 255))
_changes = st.lists(st.tuples(st.integers(0, 500), _octets), max_size=4)


def ask_all(server: Server, wire: bytes, type_: int, *, do: bool) -> int:
    """Ask for what this upstream's reply says in all ways, and return how many replies there were; see `strict`."""
    try:
        reading = upstream_reply.read(wire, NAME, type_, do, Scope(), TTLLimits())
    except FormatError:
        return 0
    if reading.verdict is not Verdict.GOOD:
        return 0
    now = server.now
    outcome = Outcome(
        reading.rcode, reading.body, reading.ad, FORWARDED, now, now + max(reading.ttl, 3), reading.follow
    )
    server.outside.known[Question(NAME, type_, do)] = outcome
    replies = 0
    for _ in range(3):
        for name in (WWW, WWW.upper(), ALIAS):
            for size in (512, 1232):
                query = dns.message.make_query(name, type_, use_edns=0, payload=size, want_dnssec=do)  # type: ignore[arg-type]
                packet = query.to_wire()
                for port, limit in ((server.udp, size), (server.tcp, 65_535)):
                    made = port.ask(packet)
                    if made is not None:  # else it leads on, to what is not known
                        strict.reply(made, packet)
                        assert len(made) <= limit
                        replies += 1
        server.now += 1
    assert not server.responder.panics
    return replies


@settings(deadline=None, max_examples=150)
@given(RECORDS, RECORDS, st.sampled_from((0, 3)), st.sampled_from(TYPES), st.booleans(), _changes)
def test_whatever_an_upstream_sends_what_is_made_of_it_is_well_formed(
    answer: list[str], authority: list[str], rcode: int, type_: int, do: bool, changes: list[tuple[int, int]]
) -> None:
    wire = bytearray(message(*answer, authority=tuple(authority), rcode=rcode, type_=type_))
    for at, octet in changes:
        if QUESTION_END + at < len(wire):
            wire[QUESTION_END + at] = octet
    ask_all(Server(), bytes(wire), type_, do=do)


E = QUESTION_END


def raw(*records: bytes, counts: tuple[int, int] = (0, 0)) -> bytes:
    """Return a reply with these records, all of them answers unless `counts` says otherwise."""
    an, ns = counts if any(counts) else (len(records), 0)
    head = b"\0\1\x81\x80\0\1" + an.to_bytes(2) + ns.to_bytes(2) + b"\0\0"
    return head + names.from_text(WWW) + b"\0\1\0\1" + b"".join(records)


def rr(type_: int, rdata: bytes, owner: bytes = b"\xc0\x0c", length: int | None = None) -> bytes:
    size = len(rdata) if length is None else length
    return owner + type_.to_bytes(2) + b"\0\1\0\0\1\x2c" + size.to_bytes(2) + rdata


def to(at: int) -> bytes:
    return (0xC000 | at).to_bytes(2)


ADDRESS = rr(m.A, b"\xc0\0\2\1")
OTHER = rr(0x63, bytes(4))
AT = E + 12  # where the first record's data begins

MALFORMED = {
    "over its own beginning": raw(rr(m.CNAME, to(E + 1)), OTHER),
    "to itself": raw(rr(m.CNAME, to(AT)), ADDRESS),
    "to the octet behind its pointer": raw(rr(m.CNAME, to(AT + 1)), ADDRESS),
    "forward": raw(rr(m.CNAME, to(AT + 20)), ADDRESS),
    "past the message": raw(rr(m.CNAME, to(0x3FFF)), ADDRESS),
    "into the header": raw(rr(m.CNAME, to(6)), ADDRESS),
    "into the middle of the question's name": raw(rr(m.CNAME, to(13)), ADDRESS),
    "into the question's type": raw(rr(m.CNAME, to(E - 4)), ADDRESS),
    "into another record's TTL": raw(rr(m.CNAME, b"\1a" + to(12)), rr(m.CNAME, to(E + 6), to(AT)), ADDRESS),
    "into another record's address": raw(ADDRESS, rr(m.MX, b"\0\1" + to(AT)), counts=(2, 0)),
    "into a string": raw(rr(m.TXT, b"\3\1a\0"), rr(m.CNAME, to(AT + 1)), counts=(2, 0)),
    "past the end of its data": raw(rr(m.CNAME, b"\3www" + to(12), length=4)),
    "short of the end of its data": raw(rr(m.CNAME, to(12) + b"\0")),
    "an empty target": raw(rr(m.CNAME, b""), ADDRESS),
    "a label of 64": raw(rr(m.CNAME, b"\x40" + b"a" * 64 + b"\0")),
    "a label type of old": raw(rr(m.CNAME, b"\x80a\0")),
    "256 octets": raw(rr(m.CNAME, b"\1x" * 127 + b"\1y\0")),
    "256 octets by a pointer": raw(rr(m.CNAME, b"\1x" * 120 + to(12))),
    "an owner that runs into its own type": raw(rr(m.A, bytes(4), b"\3www" + to(E))),
    "a signature without a signer": raw(ADDRESS, rr(m.RRSIG, b"\0\1" + bytes(16))),
    "a signer past its signature": raw(ADDRESS, rr(m.RRSIG, b"\0\1" + bytes(16) + b"\5abcde\0", length=20)),
    "an SOA with a name too few": raw(rr(m.SOA, to(12) + bytes(20)), counts=(0, 1)),
    "an SOA that points into its numbers": raw(rr(m.SOA, to(12) + to(AT + 4) + bytes(20)), counts=(0, 1)),
    "an address of five octets": raw(rr(m.A, bytes(5))),
}
WELL_FORMED = {
    "to the question": raw(rr(m.CNAME, b"\1a" + to(12)), rr(m.A, bytes(4), to(AT))),
    "to a part of the question": raw(rr(m.CNAME, b"\1a" + to(16)), rr(m.A, bytes(4), to(AT))),
    "to another target": raw(
        rr(m.CNAME, b"\1a\3net\0"), rr(m.CNAME, b"\1b" + to(AT + 2), to(AT)), rr(m.A, bytes(4), b"\1b" + to(AT + 2))
    ),
    "to an owner": raw(
        rr(m.CNAME, b"\1a\3net\0"), rr(m.CNAME, b"\1b" + to(E + 12), b"\1a\3net\0"), rr(m.A, bytes(4), b"\1b\1a\3net\0")
    ),
    "written out": raw(rr(m.CNAME, b"\1a\3net\0", names.from_text(WWW)), rr(m.A, bytes(4), b"\1a\3net\0")),
}


@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("case", MALFORMED)
def test_a_reply_with_a_name_that_is_none_counts_as_malformed(case: str, do: bool) -> None:
    with pytest.raises(strict.MalformedError):
        strict.message(MALFORMED[case])
    refused = 0
    for type_ in (m.A, m.CNAME, m.MX, m.TXT):
        try:
            upstream_reply.read(MALFORMED[case], NAME, type_, do, Scope(), TTLLimits())
        except FormatError:
            refused += 1
        else:
            ask_all(Server(), MALFORMED[case], type_, do=do)  # what was taken of it is well-formed
    assert refused


@pytest.mark.parametrize("case", WELL_FORMED)
def test_names_may_be_compressed_in_all_the_ways_that_servers_use(case: str) -> None:
    strict.message(WELL_FORMED[case])
    assert ask_all(Server(), WELL_FORMED[case], m.A, do=False) == 36


@pytest.mark.parametrize("owner", ["asked", "long", "label+long", "chained", "nested"])
@pytest.mark.parametrize("target", ["asked", "long", "label+long", "chained", "own"])
@pytest.mark.parametrize("type_", [m.CNAME, m.SOA, m.RRSIG, m.NSEC])
def test_large_replies_are_well_formed_however_they_are_cut(owner: str, target: str, type_: int) -> None:
    wire = reply(Shape(owner, target, type_, "both", 300, m.NOERROR, do=True))
    ask_all(Server(), wire, m.A, do=True)


def test_a_reply_that_takes_more_room_written_out_than_a_message_has_is_too_large() -> None:
    other = rr(m.A, bytes(4), b"\1x" * 126 + b"\0")  # is cut out, and so all is written anew
    signature = m.A.to_bytes(2) + bytes(16) + to(E) + b"signature"
    wire = raw(other, ADDRESS, *[rr(m.RRSIG, signature)] * 600)
    assert len(wire) < 30_000
    assert upstream_reply.read(wire, NAME, m.A, True, Scope(), TTLLimits()).verdict is Verdict.TOO_LARGE


@pytest.mark.parametrize("code", [3, 8, 10, 15, 65_001], ids=["NSID", "subnet", "cookie", "error", "unknown"])
@pytest.mark.parametrize("size", [0, 1, 8, 700])
def test_a_query_of_many_options_costs_little(code: int, size: int) -> None:
    """As many options as a message over TCP has room for: a reply with none of them, or FORMERR, within 20 ms."""
    count = 65_000 // (4 + size)
    options = (code.to_bytes(2) + size.to_bytes(2) + bytes(size)) * count
    opt = b"\0\0\x29\4\xd0" + bytes(4) + len(options).to_bytes(2) + options
    packet = b"\0\7\1\0\0\1\0\0\0\0\0\1" + names.from_text("web.shop.svc.cluster.local") + b"\0\1\0\1" + opt
    server = Server()
    took = []
    for port in (server.udp, server.tcp) * 3:
        begun = time.process_time()
        made = port.ask(packet)
        took.append(time.process_time() - begun)
        assert made is not None
        found = strict.reply(made, packet)
        assert len(made) <= 512
        assert found.opt is None or code.to_bytes(2) + size.to_bytes(2) not in found.opt.rdata
    assert min(took) < 0.02
