"""A packet that the reply cache does not know, to its reply. The one place where an exception becomes an rcode."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog

from dnsserver.resolver.chain import Chain, completed
from dnsserver.resolver.outcome import LOOP, Ask, Deliver, Outcome
from dnsserver.resolver.reply_cache import AgingReply, Labels, Lane, Reply, ReplyCache, RingReply
from dnsserver.server.guard import Guard
from dnsserver.wire import message as m
from dnsserver.wire import query as q
from dnsserver.wire.message import EMPTY, Body, FormatError
from dnsserver.wire.query import Query
from dnsserver.wire.records import rrsets
from dnsserver.wire.writer import compose
from dnsserver.zone.record import Answer, Reason

log = structlog.get_logger(__name__)

STREAM_LIMIT = 65535
_QUERY_OPCODE = 0
_TRANSFERS = {m.AXFR, m.IXFR}

_BAD_FORMAT = Reason("format-error")
_NOT_IMPLEMENTED = Reason("opcode-not-implemented")
_BAD_VERSION = Reason("edns-version")
_REFUSED_CLASS = Reason("class-refused")
_REFUSED_TRANSFER = Reason("transfer-refused")
_BUG = Reason("internal-error", m.EDE.OTHER, "internal error")


class Port(Protocol):
    """Where packets come from and replies go: a UDP socket, or one TCP connection."""

    lane: Lane
    stream: bool

    def client(self, index: int) -> Any:
        """Return what `send` needs to reach the sender of packet `index` of this batch, later."""

    def host(self, index: int) -> bytes:
        """Return the address, packed, of the sender of packet `index` of this batch."""

    def send(self, wire: bytes, client: Any) -> None:
        """Send a whole message; one that cannot be sent is lost, as UDP loses them."""


class Outside(Protocol):
    """Whoever answers for names outside the cluster."""

    def ask(self, ask: Ask, deliver: Deliver) -> None:
        """Call `deliver` once with the outcome, now or later, never from another thread."""

    def is_own_question(self, ask: Ask, packet: bytes) -> bool:
        """Tell whether a packet is a query that this server sent itself and that came back through a loop."""

    def touch(self, ask: Ask, hits: int = 1) -> None:
        """Take in that an outcome went out so many times from a cache in front."""


class Responder:
    """Turns packets into replies and keeps the replies that can be kept.

    `udp_limit` is the largest UDP reply in octets, and what every OPT of ours shows (RFC 9715).
    """

    def __init__(
        self,
        chain: Chain,
        outside: Outside,
        replies: ReplyCache,
        clock: Callable[[], float],
        *,
        udp_limit: int = 1232,
        recursion: bool = True,
        stale: Callable[[], Reason | None] = lambda: None,
        guard: Guard | None = None,
    ) -> None:
        """Wire it up; `recursion` says whether RA is set, `stale` gives the reason when cluster data is too old.

        `guard` has its say here before a question is asked outside, and in the ports before anything else.
        """
        self.guard = guard
        self._chain = chain
        self._outside = outside
        self._replies = replies
        self._clock = clock
        self._udp_limit = udp_limit
        self._ra = m.RA if recursion else 0
        self._stale = stale
        self._opts = {do: q.opt_record(udp_limit, do=do) for do in (False, True)}
        self.panics = 0

    def respond(self, packet: bytes, port: Port, index: int) -> bytes | None:
        """Return the reply to a packet, or None if there is none, or not yet: then it goes out through `port.send`."""
        if len(packet) < m.HEADER_SIZE or packet[2] & 0x80:  # no ID to answer to, or itself a reply
            return None
        try:
            return self._respond(packet, port, index)
        except FormatError:
            return self._error(packet, port, m.FORMERR, _BAD_FORMAT)
        except Exception:  # a bug in one answer must not cost the others theirs
            self.panics += 1
            log.exception("answer failed", packet=packet.hex())
            return self._error(packet, port, m.SERVFAIL, _BUG)

    def _respond(self, packet: bytes, port: Port, index: int) -> bytes | None:
        query = q.read_query(packet)
        if query.opcode != _QUERY_OPCODE:
            return self._error(packet, port, m.NOTIMP, _NOT_IMPLEMENTED)
        key = query.key(self._udp_limit)
        if not query.regular:  # the same question may have been answered to somebody who wrote it plainly
            reply = port.lane.replies.get(key)
            if reply is not None:
                now = self._clock()
                wire = reply.wire if reply.due > now else reply.renew(now)
                if wire is not None:
                    reply.hits += 1
                    return query.id + q.echo(wire, query.question)
        if query.version:
            return self._refuse(query, m.BADVERS, _BAD_VERSION, port)
        if query.klass != m.CLASS_IN:
            return self._refuse(query, m.REFUSED, _REFUSED_CLASS, port)
        if query.type in _TRANSFERS:
            return self._refuse(query, m.REFUSED, _REFUSED_TRANSFER, port)
        answer = self._chain.answer(query.name, query.type)
        if answer.follow is None and not answer.search:
            return self._own(query, key, answer, port)
        return self._ask(query, key, answer, port, index)

    def turn_away(self, packet: bytes, port: Port, reason: Reason) -> bytes | None:
        """Return REFUSED to a query whose sender may not ask, whatever it asks; None for what is not a query."""
        if len(packet) < m.HEADER_SIZE or packet[2] & 0x80:
            return None
        try:
            return self._refuse(q.read_query(packet), m.REFUSED, reason, port)
        except FormatError:
            return self._error(packet, port, m.REFUSED, reason)

    def _refuse(self, query: Query, rcode: int, reason: Reason, port: Port) -> bytes:
        """Reply to a well-formed query that is not for this server."""
        port.lane.counts[Labels(query.type, rcode, reason.code)] += 1
        return query.id + self._encode(query, rcode, 0, EMPTY, reason, port)

    def _own(self, query: Query, key: bytes, answer: Answer, port: Port) -> bytes:
        """Reply with the server's own data."""
        body = compose(query.name, answer.answer, answer.authority, answer.additional)
        labels = Labels(query.type, answer.rcode, answer.reason.code)
        wire = self._plain(query, answer, body, port, labels)
        if answer.depends is not None and (answer.rcode != m.NXDOMAIN or self._replies.seen_before(key)):
            reply = Reply(wire, labels, answer.depends)
            if body.ring is not None:
                reply = _ring_reply(wire, labels, answer.depends, body, query.end) or reply
            self._keep(query, key, reply, port)
        return query.packet[:2] + wire

    def _plain(self, query: Query, answer: Answer, body: Body, port: Port, labels: Labels) -> bytes:
        reason = answer.reason
        if reason.ede is None and answer.aa:
            reason = self._stale() or reason
        port.lane.counts[labels] += 1
        return self._encode(query, answer.rcode, m.AA if answer.aa else 0, body, reason, port)

    def _ask(self, query: Query, key: bytes, answer: Answer, port: Port, index: int) -> bytes | None:
        """Ask the outside for the rest of an answer; return the reply if it is there at once."""
        at_once: list[bytes] = []
        waiting = False
        client: Any = None
        ask_first = Ask(answer.follow or answer.search[0], query.type, query.do, bool(query.flags & m.CD))
        if self._outside.is_own_question(ask_first, query.packet):
            return self._refuse(query, m.REFUSED, LOOP, port)
        guard, host = self.guard, b""
        if guard is not None:
            host = port.host(index)
            busy = guard.is_busy(host)
            if busy is not None:
                return self._refuse(query, m.REFUSED, busy, port) if guard.refuses else None
        candidates = iter(answer.search)
        target = answer.follow if answer.follow is not None else next(candidates)

        def deliver(outcome: Outcome) -> None:
            nonlocal target
            if answer.search and outcome.rcode != m.NOERROR:
                following = next(candidates, None)
                if following is not None and outcome.rcode == m.NXDOMAIN:
                    target = following
                    ask(target)
                    return
                wire = self._missing(query, key, answer, outcome, port)
            else:
                found = completed(query.name, target, answer) if answer.search else answer
                wire = self._joined(query, key, found, outcome, port)
            if waiting:
                if guard is not None:
                    guard.end(host)
                port.send(query.id + wire, client)
            else:
                at_once.append(query.id + wire)

        def ask(name: bytes) -> None:
            self._outside.ask(Ask(name, query.type, query.do, bool(query.flags & m.CD)), deliver)

        ask(target)
        if at_once:
            return at_once[0]
        client = port.client(index)
        if guard is not None:
            guard.begin(host)
        waiting = True
        return None

    def _missing(self, query: Query, key: bytes, answer: Answer, outcome: Outcome, port: Port) -> bytes:
        """Reply that the name does not exist, as long as the outside says the same of what the search list led to."""
        labels = Labels(query.type, answer.rcode, answer.reason.code)
        wire = self._plain(query, answer, compose(query.name, (), answer.authority), port, labels)
        if answer.depends is not None and outcome.expires > self._clock():
            self._keep(query, key, AgingReply(wire, labels, answer.depends, (), outcome.stored, outcome.expires), port)
        return wire

    def _joined(self, query: Query, key: bytes, answer: Answer, outcome: Outcome, port: Port) -> bytes:
        """Reply with the outcome from outside, behind the CNAMEs that led to it."""
        flags = m.AA if answer.aa else 0
        if outcome.ad and not answer.aa and (query.do or query.flags & m.AD):  # RFC 6840 section 5.7
            flags |= m.AD
        body = outcome.body
        assert answer.follow is not None  # as above
        if answer.answer:
            sections = rrsets(body, answer.follow)
            body = compose(query.name, (*answer.answer, *sections[0]), sections[1], own=len(answer.answer))
        labels = Labels(query.type, outcome.rcode, outcome.reason.code)
        wire = self._encode(query, outcome.rcode, flags, body, outcome.reason, port)
        port.lane.counts[labels] += 1
        now = self._clock()
        if answer.depends is not None and outcome.expires > now + 1:
            start = query.end - 2
            ttls = [start + ttl for ttl in body.ttls if start + ttl + 4 <= len(wire)]
            ask = Ask(answer.follow, query.type, query.do, bool(query.flags & m.CD))
            touch = partial(self._outside.touch, ask)
            reply = AgingReply(wire, labels, answer.depends, ttls, outcome.stored, outcome.expires, touch)
            wire = reply.renew(now) or wire
            self._keep(query, key, reply, port)
        return wire

    def _keep(self, query: Query, key: bytes, reply: Reply, port: Port) -> None:
        if not query.regular:
            reply.wire = q.echo(reply.wire, query.name + query.question[-4:])
        self._replies.keep(port.lane, key, reply, missing=reply.labels.rcode == m.NXDOMAIN)

    def _encode(self, query: Query, rcode: int, flags: int, body: Body, reason: Reason, port: Port) -> bytes:
        size = query.size
        opt = b""
        if size:
            do = query.do and rcode != m.BADVERS  # an unknown version's flags mean nothing to us
            if reason.ede is None and rcode < m.BADVERS:
                opt = self._opts[do]
            else:
                opt = q.opt_record(self._udp_limit, rcode, do=do, ede=reason.ede, text=reason.text)
        limit = STREAM_LIMIT if port.stream else min(max(size, q.MIN_SIZE), self._udp_limit)
        return q.reply(query, rcode, flags | self._ra, body, limit, opt)

    def _error(self, packet: bytes, port: Port, rcode: int, reason: Reason) -> bytes:
        """Reply with a header and nothing else: what a packet that cannot be read leaves to say (RFC 8906)."""
        port.lane.counts[Labels(0, rcode, reason.code)] += 1
        flags = (m.QR | (packet[2] & 0x79) << 8 | self._ra | packet[3] & m.CD | rcode).to_bytes(2, "big")
        return packet[:2] + flags + bytes(8)


def _ring_reply(wire: bytes, labels: Labels, depends: tuple[Any, ...], body: Body, end: int) -> Reply | None:
    """Make the reply that rotates, unless it is cut so short that there is nothing to rotate."""
    assert body.ring is not None  # the caller's test
    offset, step, count = body.ring
    shown = min(count, int.from_bytes(wire[4:6], "big") - (body.an - count))
    if shown < 1:
        return None
    block = body.data[offset : offset + step * count]
    return RingReply(wire, labels, depends, end - 2 + offset, step, block, shown)
