"""One question in all forms that a client can write: few copies are kept, and answers are as without a cache."""

import itertools

import dns.edns
import dns.flags
import dns.message
import pytest

from dnsserver.wire import message as m
from tests.messages import d, option
from tests.port import Port
from tests.server.parts import LARGE, Parts

FLAGS = [sum(bits) for bits in itertools.product((0, m.RD), (0, m.AD), (0, m.CD), (0, 0x40), (0, 0x0400))]
SIZES = [None, *range(500, 1300, 131), 511, 512, 513, 1200, 1231, 1232, 1233, 1400, 4096, 65535]
OPTIONS: list[list[dns.edns.Option]] = [[], [option(10, b"12345678")]]


def spellings(name: str, type_: str) -> list[bytes]:
    found = []
    for flags, size, do, options, text in itertools.product(
        FLAGS, SIZES, (0, dns.flags.DO), OPTIONS, (name, name.upper())
    ):
        if size is None:
            query = d(text, type_, flags=flags, use_edns=None)
        else:
            query = d(text, type_, flags=flags, payload=size, ednsflags=do, options=options)
        found.append(query.to_wire())
    return found


# A reply that fits everybody, one that fits some sizes only, one that fits TCP only, one that says there is nothing.
QUESTIONS = [("web.shop.", "A"), ("medium.shop.", "TXT"), (LARGE, "TXT"), ("web.shop.", "AAAA"), ("none.shop.", "A")]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize(("name", "type_"), QUESTIONS)
async def test_row_29_all_spellings_of_a_question_are_kept_few_times_and_answered_alike(
    name: str, type_: str, protocol: str
) -> None:
    parts = Parts()
    port = Port(parts.replies.add_table(protocol, "1"))
    for packet in spellings(name, type_):
        parts.responder.respond(packet, port, 0)
    most = 8 * (1 + 2 * (5 if protocol == "udp" else 1))  # RD, AD, CD; without EDNS, or DO and five sizes
    assert len(port.table.replies) <= most
    forgetful = Parts()
    other = Port(forgetful.replies.add_table(protocol, "1"))
    for packet in spellings(name, type_)[::7]:
        forgetful.replies.clear()
        assert parts.responder.respond(packet, port, 0) == forgetful.responder.respond(packet, other, 0)
