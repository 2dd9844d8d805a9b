"""Turns an Answer into a reply: the octets for one client, and the part that the reply cache can keep."""

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from dnsserver.forward.outcome import (
    FORWARDED,
    FORWARDED_NO_DATA,
    STALE,
    UNASKED,
    Asker,
    Cork,
    Outcome,
    Question,
    Waiter,
)
from dnsserver.resolver.reply_cache import FOREVER, AgingReply, Reply, ReplyCache, ReplyTable, RingReply
from dnsserver.resolver.tally import Labels
from dnsserver.server.observer import CACHE, LOCAL, UPSTREAM, Noted, Observer
from dnsserver.wire import message as m
from dnsserver.wire.extended_errors import shortened
from dnsserver.wire.message import EMPTY, Body
from dnsserver.wire.query import MIN_SIZE, Query
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import compose, echo, opt_record, write_reply
from dnsserver.zone.record import Answer, Key, Reason, looked_up_as, names_of

STREAM_LIMIT = 65535
_pack_head = struct.Struct("!HHHHH").pack
# The type that a query is counted under: none, 0, for all that have no name, or a client could count up 65,536.
COUNTED = {type_: type_ for type_ in m.TYPE_NAMES}
DEFERRED = b""  # what stands for a reply that goes out later


class Port(Protocol):
    """Where packets come from and replies go: a UDP socket, or one TCP connection."""

    table: ReplyTable
    stream: bool
    waited: float  # seconds that its packets had waited before they were looked at

    def begin_deferred(self, index: int) -> Any:
        """Return what `send` needs, once, to reach the sender of packet `index` of this batch later; it is not None."""

    def peer_address(self, index: int) -> bytes:
        """Return the address, packed, of the sender of packet `index` of this batch."""

    def sender(self, index: int) -> Any:
        """Return who sent packet `index` of this batch, as `begin_deferred` does, and begin nothing."""

    def endpoint(self, sender: Any) -> tuple[bytes, int]:
        """Return the packed address and the port number of a sender, as `sender` or `begin_deferred` has it."""

    def asker(self, client: Any, identifier: bytes) -> Asker:
        """Return who asks with this message ID; `client` is what `begin_deferred` has returned."""

    def send(self, wire: bytes, client: Any) -> None:
        """Send a whole message; one that cannot be sent is lost, as UDP loses them."""


class Outside(Protocol):
    """Whoever answers for names outside the cluster; `cork` is on while a batch of packets is answered."""

    cork: Cork

    def answer_now(self, question: Question, now: float) -> Outcome | None:
        """Return the outcome if it is known without asking anybody; else `start` gets it."""

    def start(self, question: Question, waiter: Waiter, now: float, packet: bytes = b"") -> None:
        """Have that asked which `answer_now` does not know: `waiter` gets the outcome once, after this has returned.

        `packet` is the client's: it may be a query that this server sent itself and that came back through a loop.
        """

    def record_hits(self, question: Question, hits: int = 1) -> None:
        """Record that an outcome went out so many times from a cache in front."""

    def uncork(self) -> None:
        """Send what was held back."""


class ReplyWriter:
    """Writes the replies of all ports. `udp_limit` in octets, `recursion` says whether RA is set."""

    def __init__(
        self,
        outside: Outside,
        replies: ReplyCache,
        clock: Callable[[], float],
        observer: Observer,
        *,
        udp_limit: int,
        recursion: bool,
    ) -> None:
        """Write with the bits that are this server's; the `observer` is told what it wants to know."""
        self._replies = replies
        self.observer = observer
        self.clock = clock
        self.stale: Reason | None = None  # why own data is marked as too old, when it is
        self.use(outside, udp_limit=udp_limit, recursion=recursion)

    def use(self, outside: Outside, *, udp_limit: int, recursion: bool) -> None:
        """Write with these bits from now on."""
        self._outside = outside
        self._udp_limit = udp_limit
        self._ra = m.RA if recursion else 0
        self._opts = {do: opt_record(udp_limit, do=do) for do in (False, True)}

    def local(self, query: Query, key: bytes, answer: Answer, port: Port) -> bytes:
        """Reply with the server's own data; with no octets where it says that there is to be no reply."""
        rcode, depends = answer.rcode, answer.depends
        if rcode == m.DROP:
            return self.drop(query, answer.reason)
        body = compose(query.name, answer.answer, answer.authority, answer.additional)
        labels = (COUNTED.get(query.type, 0), rcode, answer.reason.code)
        reason = answer.reason if self.stale is None else _marked(answer, answer.reason, self.stale)
        wire = self._write(query, labels, m.AA if answer.aa else 0, body, reason, port)
        if depends is not None and (rcode != m.NXDOMAIN or self._replies.seen_before(key)):
            reply = Reply(wire, labels, depends)
            if body.ring is not None:
                reply = _ring_reply(wire, labels, depends, body, query.end) or reply
            if query.regular or self._is_for_others(query, reply, body, reason):
                reply.reason = reason
                self._replies.keep(port.table, key, reply, missing=rcode == m.NXDOMAIN)
                return query.packet[:2] + wire
        port.table.namespaces.count(depends, labels)
        return query.packet[:2] + wire

    def forwarded(
        self,
        query: Query,
        key: bytes,
        answer: Answer,
        outcome: Outcome,
        port: Port,
        *,
        until: float = FOREVER,
        from_cache: bool,
    ) -> bytes:
        """Reply with the outcome from outside, behind the CNAMEs that led to it, which hold `until` then.

        `from_cache` is one that was asked for before: a finished reply is kept of it as well.
        """
        assert answer.follow is not None  # it is what was asked outside
        flags, renaming = m.AA if answer.aa else 0, answer.renaming
        validated = outcome.ad and not answer.aa and renaming is None
        if validated and (query.do or query.flags & m.AD):  # RFC 6840 section 5.7
            flags |= m.AD
        body = outcome.body
        if answer.answer or renaming is not None:
            records, authority, _ = rrsets(body, answer.follow)
            if renaming is not None:
                records, authority = renaming.apply(records), renaming.apply(authority)
            body = compose(query.name, (*answer.answer, *records), authority, own=len(answer.answer))
        labels = (COUNTED.get(query.type, 0), outcome.rcode, _code(outcome))
        reason = outcome.reason if renaming is None else looked_up_as(outcome.reason, renaming.new)
        if self.stale is not None:
            reason = _marked(answer, reason, self.stale)
        wire = self._write(query, labels, flags, body, reason, port)
        if self.observer.noted is not None:
            source = LOCAL if reason.code in UNASKED else CACHE if from_cache else UPSTREAM
            self.observer.noted = Noted(labels, reason, source, outcome.upstream)
        now = self.clock()
        expires = outcome.expires if outcome.expires < until else until  # noqa: FURB136 - a third of the cost of min()
        keep = from_cache and answer.depends is not None and expires > now + 1 and not _ends_with_outage(outcome)
        if not keep:
            port.table.namespaces.count(answer.depends, labels)
            if now < outcome.stored + 1:
                return query.packet[:2] + wire
        start = query.end - 2
        aging = max(0, len(body.ttls) - _left_out(wire, query, body))
        ttls = [start + ttl for ttl in body.ttls[:aging]]
        record_hits = partial(self._outside.record_hits, asked(query, answer.follow))
        reply = AgingReply(wire, labels, answer.depends or (), ttls, outcome.stored, expires, record_hits)
        if now >= reply.due:
            wire = reply.renew(now) or wire
        if keep:
            self._keep(query, key, reply, body, reason, port)
        return query.packet[:2] + wire

    def search_nxdomain(self, query: Query, key: bytes, answer: Answer, until: float, port: Port) -> bytes:
        """Reply that the name does not exist, which what the search list led to says `until` then."""
        labels = (COUNTED.get(query.type, 0), answer.rcode, answer.reason.code)
        body = compose(query.name, (), answer.authority)
        reason = answer.reason if self.stale is None else _marked(answer, answer.reason, self.stale)
        wire = self._write(query, labels, m.AA if answer.aa else 0, body, reason, port)
        now = self.clock()
        if answer.depends is not None and until > now:
            reply = AgingReply(wire, labels, answer.depends, (), now, until)
            self._keep(query, key, reply, body, reason, port)
        else:
            port.table.namespaces.count(answer.depends, labels)
        return query.packet[:2] + wire

    def refuse(
        self,
        query: Query,
        rcode: int,
        reason: Reason,
        port: Port,
        depends: tuple[Key, ...] | None = None,
        *,
        lean: bool = False,
    ) -> bytes:
        """Reply without records to a well-formed query; `depends` is what the answer would have depended on.

        `lean` as in `_write`.
        """
        labels = (COUNTED.get(query.type, 0), rcode, reason.code)
        port.table.namespaces.count(depends, labels)
        return query.id + self._write(query, labels, 0, EMPTY, reason, port, lean=lean)

    def truncated(self, query: Query, reason: Reason, port: Port) -> bytes:
        """Reply with nothing but TC: a client with a real address asks again over TCP."""
        labels = (COUNTED.get(query.type, 0), m.NOERROR, reason.code)
        return query.id + self._write(query, labels, m.TC, EMPTY, reason, port, lean=True)

    def error(self, packet: bytes, port: Port, rcode: int, reason: Reason) -> bytes:
        """Reply with a header and nothing else: what a packet that cannot be read leaves to say (RFC 8906)."""
        labels = (0, rcode, reason.code)
        port.table.shapes[labels, len(packet), m.HEADER_SIZE, False] += 1
        self.observer.noted = Noted(labels, reason)
        flags = (m.QR | (packet[2] & 0x79) << 8 | self._ra | packet[3] & m.CD | rcode).to_bytes(2, "big")
        return packet[:2] + flags + bytes(8)

    def drop(self, query: Query, reason: Reason) -> bytes:
        """Return the octets that mean "no reply", and tell the observers."""
        self.observer.noted = Noted((COUNTED.get(query.type, 0), m.DROP, reason.code), reason)
        return b""

    def _keep(self, query: Query, key: bytes, reply: Reply, body: Body, reason: Reason, port: Port) -> None:
        """Cache a reply if it is valid for other clients that ask the same; the cache then counts that it is sent."""
        if query.regular or self._is_for_others(query, reply, body, reason):
            reply.reason = reason
            self._replies.keep(port.table, key, reply, missing=reply.labels[1] == m.NXDOMAIN)
        else:
            port.table.namespaces.count(reply.depends, reply.labels)

    def _is_for_others(self, query: Query, reply: Reply, body: Body, reason: Reason) -> bool:
        """Tell whether the reply to an irregular query is valid for all queries with the same meaning, and adapt it."""
        if query.is_odd(self._udp_limit):
            whole = query.end + len(body.data) + len(self._opt(query, reply.labels[1], reason))
            if whole > MIN_SIZE:  # others may take more of it, or less
                return False
        reply.wire = echo(reply.wire, query.name + query.question[-4:])
        return True

    def _write(
        self,
        query: Query,
        labels: Labels,
        flags: int,
        body: Body,
        reason: Reason,
        port: Port,
        *,
        lean: bool = False,
    ) -> bytes:
        """Return a reply without its ID, and count it under its labels. It has the reason if an EDE exists for that.

        No record is left out to make room for the reason. A `lean` reply has only as much of the reason as its query
        has room for, so that a forged sender address gains an attacker nothing. Most tools send a cookie, which leaves
        room for a word.
        """
        rcode, size, opt = labels[1], query.size, b""
        if size:
            opt = self._opts[query.do]
        limit = STREAM_LIMIT if port.stream else max(MIN_SIZE, min(size, self._udp_limit))
        if size and (reason.ede is not None or reason.also or rcode >= m.BADVERS):
            most = min(limit, len(query.packet) + query.cut) if lean and not port.stream else limit
            opt = self._opt(query, rcode, reason)
            room = most - (query.end or m.HEADER_SIZE) - len(body.data)
            if len(opt) > room:
                opt = shortened(opt, room)
        wire = write_reply(query, rcode, flags | self._ra, body, limit, opt)
        port.table.shapes[labels, len(query.packet) + query.cut, len(wire) + 2, query.do] += 1
        if rcode or not body.an or reason.ede is not None or self.observer.everything:
            self.observer.noted = Noted(labels, reason)
        return wire

    def _opt(self, query: Query, rcode: int, reason: Reason) -> bytes:
        """Return the OPT of a reply, with the extended errors of the reason."""
        do = query.do and rcode != m.BADVERS  # an unknown version's flags mean nothing to us
        return opt_record(self._udp_limit, rcode, do=do, ede=reason.ede, text=reason.text, also=reason.also)

    def template(self, query: Query) -> "ForwardedTemplate":
        """Return what all questions that differ from this one in the name only have in common when forwarded."""
        opt = self._opts[query.do] if query.size else b""
        tail = len(query.packet) - query.end
        return ForwardedTemplate(
            query.type,
            (COUNTED.get(query.type, 0), m.NOERROR, FORWARDED.code),
            query.do,
            bool(query.flags & m.CD),
            query.do or bool(query.flags & m.AD),
            m.QR | query.flags & (m.RD | m.CD) | self._ra,
            len(opt) > 0,
            opt,
            -tail or None,
            max(MIN_SIZE, min(query.size, self._udp_limit)) + tail - len(opt),
            STREAM_LIMIT + tail - len(opt),
        )


class ForwardedTemplate(msgspec.Struct, frozen=True, gc=False):
    """All that an unread question for the outside says beside its name, and what its replies have in common.

    `answered` are the labels of a reply with records. The question ends at `end`, counted from behind. A reply fits if
    the packet and the records have no more than `room` octets, or over TCP `stream_room`.
    """

    type: int
    answered: Labels
    do: bool
    cd: bool
    wants_ad: bool
    flags: int
    extras: int
    opt: bytes
    end: int | None
    room: int
    stream_room: int

    def write(self, packet: bytes, outcome: Outcome, port: Port, now: float, observer: Observer) -> bytes | None:
        """Return the reply of an outcome that was waited for, if it is a fresh answer that fits; else None."""
        body, rcode, size = outcome.body, outcome.rcode, len(packet)
        data = body.data
        if (
            outcome.reason is not FORWARDED
            or outcome.follow is not None
            or now >= outcome.stored + 1
            or size + len(data) > (self.stream_room if port.stream else self.room)
        ):
            return None
        flags = self.flags | rcode
        if outcome.ad and self.wants_ad:
            flags |= m.AD
        head = _pack_head(flags, 1, body.an, body.ns, body.ar + self.extras)
        wire = b"".join((packet[:2], head, packet[m.HEADER_SIZE : self.end], data, self.opt))
        labels = self.answered
        if rcode or not body.an:
            labels = (labels[0], rcode, FORWARDED.code if rcode else FORWARDED_NO_DATA.code)
        port.table.shapes[labels, size, len(wire), self.do] += 1
        if labels is not self.answered or observer.everything:
            observer.noted = Noted(labels, FORWARDED, UPSTREAM, outcome.upstream)
        return wire


def _ends_with_outage(outcome: Outcome) -> bool:
    """Tell whether an outcome is over as soon as an upstream is back, which nobody tells the reply cache."""
    return outcome.rcode == m.SERVFAIL or outcome.reason.code == STALE.code


def _code(outcome: Outcome) -> str:
    """Return the word under which an outcome is counted."""
    if outcome.rcode or outcome.body.an or outcome.reason.code != FORWARDED.code:
        return outcome.reason.code
    return FORWARDED_NO_DATA.code


def asked(query: Query, name: bytes) -> Question:
    """Return what the outside is asked for a client's query that led to `name`."""
    return Question(name, query.type, query.do, bool(query.flags & m.CD))


def _marked(answer: Answer, reason: Reason, stale: Reason) -> Reason:
    """Return the reason to tell the client; for an answer of the cluster, it also says if the data is old.

    Old data may be why a name does not exist. Answers that depend on nothing in the cluster are not old: those of zone
    files, hosts and rules, and those about names that the cluster can never have.
    """
    depends = answer.depends
    if not answer.aa or (depends is not None and len(depends) == sum(1 for _ in names_of(depends))):
        return reason
    assert stale.ede is not None  # whoever marks data has something to say
    return Reason(reason.code, reason.ede, reason.text, ((stale.ede, stale.text), *reason.also))


def _left_out(wire: bytes, query: Query, body: Body) -> int:
    """Return how many records of the Body did not fit into the reply; these are its last ones."""
    counts = sum(int.from_bytes(wire[at : at + 2], "big") for at in (4, 6, 8))
    return body.an + body.ns + body.ar - (counts - bool(query.size))


def _ring_reply(wire: bytes, labels: Labels, depends: tuple[Any, ...], body: Body, end: int) -> Reply | None:
    """Make the reply whose records rotate, unless it is cut so short that nothing is left to rotate."""
    assert body.ring is not None  # the caller's test
    offset, step, count = body.ring
    shown = min(count, int.from_bytes(wire[4:6], "big") - (body.an - count))
    if shown < 1:
        return None
    block = body.data[offset : offset + step * count]
    return RingReply(wire, labels, depends, end - 2 + offset, step, block, shown)
