"""Replies that are made to cost much: as many names as possible, as long as possible, in all places for names.

`python -m tests.wire.hostile` prints the cost of the most expensive ones.
"""

import itertools
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from dnsserver.wire import message as m
from dnsserver.wire import upstream_query, upstream_reply
from dnsserver.wire.message import EMPTY, FormatError
from dnsserver.wire.name import from_text
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import whole_body
from dnsserver.wire.scope import Scope
from dnsserver.wire.upstream_reply import TTLLimits

NAME = from_text("www.example.com")
QUESTION_END = 12 + len(NAME) + 4
MOST = 65_535
_SCOPES = (Scope(), Scope(denied=(b"\1x\0", b"\1x\1x\0", b"\7example\0")))


class Shape(NamedTuple):
    """What a reply is made of: how owners and the names in rdata are written, the types, where, and how it is read."""

    owner: str
    target: str
    type: int
    section: str
    records: int
    rcode: int
    do: bool


def shapes() -> Iterator[Shape]:
    """Give the hostile shapes, some 1,500."""
    owners = ("asked", "long", "label+long", "chained", "nested")
    types = (m.A, m.CNAME, m.NS, m.SOA, m.MX, m.RRSIG, m.NSEC, m.NSEC3, m.SRV, m.TXT)
    for owner, target, type_, section in itertools.product(
        owners, ("asked", "long", "label+long", "chained", "own"), types, ("answer", "authority", "both")
    ):
        for do, rcode in ((False, m.NOERROR), (True, m.NOERROR), (True, m.NXDOMAIN)):
            if do or owner != "asked" or target != "asked":
                yield Shape(owner, target, type_, section, 1000, rcode, do)


def reply(shape: Shape) -> bytes:
    """Return the octets of a shape, at most as many as a message has."""
    out = bytearray(upstream_query.write(NAME, m.A, False, False)[0])
    base = 12
    places = {"long": 0, "last": 12, "nested": 12}

    def pointer(to: int) -> bytes:
        return (0xC000 | to & 0x3FFF).to_bytes(2)

    def name(form: str, number: int) -> bytes:
        here = base + len(out)
        long = (b"\1x" * 126) + b"\0"
        if form == "asked":
            return pointer(12)
        if form == "own" or not places["long"]:
            places["long"] = places["long"] or here
            return (b"\1x" * 122 + b"\2" + (number & 0xFFFF).to_bytes(2)) + b"\0" if form == "own" else long
        if form == "long":
            return pointer(places["long"])
        if form == "label+long":
            return b"\2" + (number & 0xFFFF).to_bytes(2) + pointer(places["long"] + 4)
        if form == "nested":  # each a label longer than the one before
            last, places["nested"] = places["nested"], here
            return b"\1y" + pointer(last if number % 100 else 12)
        last, places["last"] = places["last"], here
        return pointer(last if last <= 0x3FFF and number % 120 else 12)

    def rdata(number: int) -> bytes:
        def one() -> bytes:
            return name(shape.target, number)

        match shape.type:
            case m.A:
                return number.to_bytes(4)
            case m.TXT:
                return b"\1x" * 30
            case m.MX:
                return b"\0\1" + one()
            case m.SRV:
                return bytes(6) + one()
            case m.NSEC3:
                return bytes(40)
            case m.RRSIG:
                return struct.pack("!HBBIIIH", m.NSEC, 8, 3, 60, 1 << 31, 1, number & 0xFFFF) + one() + bytes(8)
            case m.NSEC:
                return one() + b"\0\1\x40"
            case m.SOA:
                return one() + name("asked", number) + bytes(20)
            case _:
                return one()

    written = 0
    for number in range(shape.records):
        size = len(out)
        out += name(shape.owner, number)
        out += struct.pack("!HHI", shape.type, 1, 60) + b"\0\0"
        at = len(out)
        out += rdata(number)
        out[at - 2 : at] = (len(out) - at).to_bytes(2)
        if base + len(out) > MOST:
            del out[size:]
            break
        written += 1
    least = max(0, written - upstream_reply.MAX_AUTHORITY)
    first = {"answer": written, "authority": least, "both": max(written // 2, least)}[shape.section]
    counts = struct.pack("!4H", 1, first, written - first, 0)
    return struct.pack("!2H", 1, 0x8180 | shape.rcode) + counts + bytes(out)


def cost(wire: bytes, do: bool, scope: Scope) -> tuple[float, bool]:
    """Return the seconds of processor time that a reply costs, read and joined behind an alias, and if it was taken."""
    before = time.process_time()
    taken = True
    try:
        body = upstream_reply.read(wire, NAME, m.A, do, scope, TTLLimits()).body
        if body is not EMPTY:
            answer, authority, _ = rrsets(body, NAME)
            whole_body(NAME, answer, authority)
    except FormatError:
        taken = False
    return time.process_time() - before, taken


def costs() -> list[tuple[float, bool, Shape]]:
    """Return what each shape costs, the least of three times, dearest first."""
    found = []
    for shape in shapes():
        wire = reply(shape)
        times = [cost(wire, shape.do, scope) for scope in (*_SCOPES, _SCOPES[0])]
        found.append((sorted(times)[1][0], times[0][1], shape))
    return sorted(found, reverse=True)


if __name__ == "__main__":
    measured = costs()
    print(f"{len(measured)} shapes, {sum(taken for _, taken, _ in measured)} of them well-formed")  # noqa: T201
    for seconds, taken, shape in measured[:12]:
        print(f"{seconds * 1e3:6.2f} ms  {'taken' if taken else 'refused'}  {shape}")  # noqa: T201
