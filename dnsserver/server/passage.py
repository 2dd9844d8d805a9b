"""What nearly everybody asks of the outside, passed on and answered without being read.

What stands around the name is the same in thousands of packets: the header before it; the type, the class and the OPT
behind. The first question of such a form is read like any other (`respond`, `pursuit`); the next ones differ in the
name only, and so do their replies. Whatever is not that plain goes the long way: before it is asked if the packet is
unusual, afterwards if the outcome is.

Of the processor time of a forwarded question this spares a tenth (`python -m tests.bench.forward`: 3 us of 30).
"""

import struct
from typing import Any

import msgspec

from dnsserver.forward.outcome import FORWARDED, Ask, Outcome
from dnsserver.resolver.chain import Chain
from dnsserver.server.pursuit import Pursuer, Pursuit
from dnsserver.server.reply import STREAM_LIMIT, Asker, Port, counted
from dnsserver.wire import message as m
from dnsserver.wire.name import MAX_LABEL, MAX_NAME
from dnsserver.wire.query import Query, read_query

_MOST = 256  # forms: types times flags times sizes; who makes up more gets the long way
_pack_head = struct.Struct("!HHHHH").pack


class _Form(msgspec.Struct, frozen=True, gc=False):
    """All that a plain question says beside its name, and what its replies have in common.

    `tail` is how many octets stand behind the question. A reply fits if the packet and the records have no more than
    `room` octets, or over TCP `stream_room`.
    """

    type: int
    counted: int
    do: bool
    cd: bool
    wants_ad: bool
    flags: int
    extras: int
    opt: bytes
    tail: int
    room: int
    stream_room: int


class Passages:
    """Takes plain questions outside. Not for servers that count what each client has under way: the long way does."""

    def __init__(self, chain: Chain, pursuer: Pursuer) -> None:
        """Know no form yet; `pursuer` follows what turns out not to be plain."""
        self.pursuer = pursuer
        self.clock = pursuer.writer.clock
        self._chain = chain
        self._outside = pursuer.outside
        self._forms: dict[bytes, _Form] = {}

    def __len__(self) -> int:
        """Return how many forms are known."""
        return len(self._forms)

    def begin(self, packet: bytes, port: Port, index: int) -> "Passage | None":
        """Ask a plain question and return its Passage, with the reply if it is there at once; None if it is not plain.

        `packet` has a whole header.
        """
        end = packet.find(0, m.HEADER_SIZE)
        form = self._forms.get(packet[2:12] + packet[end:])
        if form is None:
            return None
        position = m.HEADER_SIZE
        while position < end:
            length = packet[position]
            if length > MAX_LABEL:
                return None
            position += length + 1
        name = packet[m.HEADER_SIZE : end + 1]
        if position != end or len(name) > MAX_NAME or name != name.lower() or not self._chain.leaves(name, form.type):
            return None
        passage = Passage(self, packet, form, port)
        self._outside.ask(Ask(name, form.type, form.do, form.cd), passage.deliver, packet)
        if passage.reply is None:
            waits = passage.pursuit or passage
            waits.client = port.begin_deferred(index)
            waits.waiting = True
        return passage

    def learn(self, query: Query) -> None:
        """Take the form of a question that was read, class IN, and went outside."""
        if not query.regular or len(self._forms) >= _MOST or not self._chain.leaves(query.name, query.type):
            return
        packet, writer = query.packet, self.pursuer.writer
        opt = writer.opt(do=query.do) if query.size else b""
        tail = len(packet) - query.end
        self._forms[packet[2:12] + packet[query.end - 5 :]] = _Form(
            query.type,
            counted(query),
            query.do,
            bool(query.flags & m.CD),
            query.do or bool(query.flags & m.AD),
            writer.flags(query),
            len(opt) > 0,
            opt,
            tail,
            writer.limit(query.size) + tail - len(opt),
            STREAM_LIMIT + tail - len(opt),
        )


class Passage(msgspec.Struct, gc=False, eq=False):
    """One plain question under way: once it is `waiting` the reply is sent to `client`, until then left in `reply`.

    What is known at once, or turns out not to be plain, is left to a `pursuit`.
    """

    of: Passages
    packet: bytes
    form: _Form
    port: Port
    waiting: bool = False
    client: Any = None
    reply: bytes | None = None
    pursuit: Pursuit | None = None

    def deliver(self, outcome: Outcome) -> None:
        """Take the outcome: one that was waited for, so it is fresh, and is an answer that fits is written out here."""
        form, packet, port = self.form, self.packet, self.port
        body = outcome.body
        data = body.data
        if (
            not self.waiting
            or outcome.reason is not FORWARDED
            or outcome.follow is not None
            or self.of.clock() >= outcome.stored + 1
            or len(packet) + len(data) > (form.stream_room if port.stream else form.room)
        ):
            self._deliver_unusual(outcome)
            return
        flags = form.flags | outcome.rcode
        if outcome.ad and form.wants_ad:
            flags |= m.AD
        port.table.counts[form.counted, outcome.rcode, FORWARDED.code] += 1
        head = _pack_head(flags, 1, body.an, body.ns, body.ar + form.extras)
        question = packet[m.HEADER_SIZE : len(packet) - form.tail]
        port.send(b"".join((packet[:2], head, question, data, form.opt)), self.client)

    def asker(self) -> Asker:
        """Return who waits; nobody else is equal to one that does not wait yet."""
        return self.port.asker(self.client, self.packet[:2]) if self.waiting else (b"", None)

    def give_up(self) -> None:
        """Wait no more: the client has asked the same again. Nobody has counted that it did."""

    def _deliver_unusual(self, outcome: Outcome) -> None:
        self.pursuit = pursuit = self.of.pursuer.take_over(read_query(self.packet), self.port)
        pursuit.client, pursuit.waiting = self.client, self.waiting
        pursuit.deliver(outcome)
        self.reply = pursuit.reply
