"""The table of docs/security.md: how many octets a UDP reply has for each octet of the query that caused it."""

import re
from ipaddress import ip_network
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from dnsserver.config import Config
from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.server.guard import NOT_ALLOWED, Guard
from dnsserver.wire.message import NOERROR, Body
from tests.cluster import endpoints, namespace, service
from tests.server.unplugged import Server

SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
THINGS = (
    namespace("b"),
    service("w", "10.9.0.1", namespace="b"),
    service("h", namespace="b"),
    *(endpoints("h", *(f"10.1.{n}.{host}" for host in range(1, 101)), name=f"h-{n}", namespace="b") for n in range(2)),
)
# What is asked, by how its row begins.
QUESTIONS = {
    "a Service's address": ("w.b.svc.cluster.local", "A"),
    "a name that does not exist": ("x.b.svc.cluster.local", "A"),
    "ANY": ("w.b.svc.cluster.local", "ANY"),
    "a headless Service of 200": ("h.b.svc.cluster.local", "A"),
    "an outside name with a reply that is cut": (".", "TXT"),
}


def make(name: str, type_: str, *, edns: bool) -> bytes:
    return dns.message.make_query(name, type_, use_edns=0 if edns else -1, payload=4096).to_wire()


def full(question: Question, now: float) -> Outcome:
    """Return more records than any reply over UDP takes, of which the first ones fill it to the last octet."""
    record = b"\xc0\x0c\0\x10\0\1\0\0\1\0"  # TXT, as they stand behind the question

    def txt(size: int) -> bytes:
        return record + (size - 12).to_bytes(2) + b"x" * (size - 12)

    room = {False: 512 - 17, True: 1232 - 28}
    data = txt(room[False]) + txt(room[True] - room[False]) + txt(300)
    return Outcome(NOERROR, Body(3, 0, 0, data, ()), False, FORWARDED, now, now + 60)


def measured(name: str, type_: str, *, edns: bool) -> tuple[int, int]:
    """Return the octets of the reply and of the query."""
    server = Server(*THINGS)
    packet = make(name, type_, edns=edns)
    reply = server.udp.ask(packet)
    if reply is None:
        server.outside.finish(full)
        ((_, reply),) = server.udp.sent
    return len(reply), len(packet)


def rows() -> dict[str, list[str]]:
    table = re.search(r"### Amplification\n.*?\n\n(\|.*?)\n\n", SECURITY, re.DOTALL)
    assert table is not None
    return {cells[1].strip(): [cell.strip() for cell in cells[2:4]] for cells in map(_cells, table[1].splitlines()[2:])}


def _cells(line: str) -> list[str]:
    return line.split("|")


@pytest.mark.parametrize("start", QUESTIONS)
def test_the_documented_factors_are_those_that_are_measured(start: str) -> None:
    (written,) = (cells for row, cells in rows().items() if row.startswith(start))
    for edns, cell in zip((False, True), written, strict=True):
        reply, query = measured(*QUESTIONS[start], edns=edns)
        assert cell == f"{reply} / {query} = {reply / query:.1f}"


def test_the_last_row_is_the_most_there_can_be() -> None:
    assert Config().udp.size == 1232
    most = {False: 512, True: Config().udp.size}
    for edns, limit in most.items():
        reply, query = measured(*QUESTIONS["an outside name with a reply that is cut"], edns=edns)
        assert reply == limit, "no reply over UDP is longer"
        assert query == 12 + 5 + 11 * edns, "no question is shorter"


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda packet: packet[:2] + b"\x28" + packet[3:],  # UPDATE
        lambda packet: packet[:12],  # a header alone
        lambda packet: packet[:4] + b"\0\2" + packet[6:],  # two questions
        lambda packet: packet.replace(b"\0\1\0\1", b"\0\1\0\3", 1),  # class CH
        lambda packet: packet.replace(b"\0\1\0\1", b"\0\xfc\0\1", 1),  # AXFR
    ],
    ids=["opcode", "header", "questions", "class", "transfer"],
)
def test_what_is_refused_is_no_longer_than_the_query(change: object, edns: bool) -> None:
    assert callable(change)
    packet: bytes = change(make("w.b.svc.cluster.local", "A", edns=edns))
    reply = Server(*THINGS).udp.ask(packet)
    assert reply is not None
    assert len(reply) <= len(packet)


def test_the_documented_factor_of_who_may_not_ask_is_that_which_is_measured() -> None:
    (written,) = (cells for row, cells in rows().items() if row.startswith("from outside of `clients.allow`"))
    server = Server(*THINGS, guard=Guard([ip_network("192.0.2.0/24")], refuses=True))
    for edns, cell in zip((False, True), written, strict=True):
        packet = make(".", "A", edns=edns)
        reply = server.responder.turn_away(packet, server.udp, 0, NOT_ALLOWED)
        assert reply is not None
        assert dns.message.from_wire(reply).rcode() == dns.rcode.REFUSED
        assert cell == f"{len(reply)} / {len(packet)} = {len(reply) / len(packet):.1f}"
