"""Turns a packet that is not in the reply cache into a reply. Only here an exception becomes an rcode."""

from collections.abc import Callable, Iterator
from random import random
from typing import cast

from dnsserver.faults import Faults
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import AgingReply, ReplyCache, Wants
from dnsserver.server.guard import NOT_ALLOWED, Guard
from dnsserver.server.keepalive import KeepalivePort, Stream
from dnsserver.server.observer import CACHE, LOCAL, NEVER, Noted, Observer
from dnsserver.server.pending import Resolver
from dnsserver.server.reply import DEFERRED, Outside, Port, ReplyWriter
from dnsserver.server.standstill import Standstill
from dnsserver.server.templates import Services, Templates
from dnsserver.traffic.sampler import Sampler
from dnsserver.wire import message as m
from dnsserver.wire.message import FormatError
from dnsserver.wire.query import Query, read_query
from dnsserver.wire.reply import echo
from dnsserver.zone.record import FOUND, Reason

_QUERY_OPCODE = 0
_TRANSFERS = {m.AXFR, m.IXFR}

_BAD_FORMAT = Reason("format-error")
_NOT_IMPLEMENTED = Reason("opcode-not-implemented")
_BAD_VERSION = Reason("edns-version")
_REFUSED_CLASS = Reason("class-refused", m.EDE.NOT_SUPPORTED, "only class IN is answered")
_REFUSED_TRANSFER = Reason("transfer-refused", m.EDE.NOT_SUPPORTED, "there are no zone transfers")
_BUG = Reason("internal-error", m.EDE.OTHER, "internal error")


class Responder:
    """Turns packets into replies, and caches the replies that can be cached.

    `udp_limit` is the largest UDP reply in octets, and what every OPT of ours shows (RFC 9715). `sampler` takes samples
    of the packets that ports read; `streams` counts messages of streams for it. `miss` is for a packet that a port does
    not find in the reply cache: it is `respond`, or does more while there are replies that somebody follows.
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
        guard: Guard | None = None,
        services: Services | None = None,
        faults: Faults | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Wire it up; `recursion` says whether RA is set.

        `guard` has its say here before a question is asked outside, and in the ports before anything else. Of
        `services` there are templates. The `observer` is told of replies that somebody looks at.
        """
        self.guard = guard
        self.outside = outside
        self.replies = replies
        self.clock = clock
        self.faults = faults or Faults()
        self.observer = observer or Observer(clock)
        self.standstill = Standstill(clock, lambda: replies.changes)
        self.sampler = Sampler(random)
        self.streams = self.sampler.countdown()
        self.miss: Callable[[bytes, Port, int], bytes | None] = self.respond
        self._chain = chain
        self._udp_limit = udp_limit
        self._write = ReplyWriter(
            outside, replies, clock, udp_limit=udp_limit, recursion=recursion, observer=self.observer
        )
        self.resolver = Resolver(chain, outside, replies, self._write, guard, self.faults)
        self._make_templates(services)

    def reconfigure(
        self, outside: Outside, *, udp_limit: int, recursion: bool, guard: Guard | None, services: Services | None
    ) -> None:
        """Use other settings from now on, also for questions under way; each port has its own guard to change."""
        self.guard = self.resolver.guard = guard
        self.outside = self.resolver.outside = outside
        self._udp_limit = udp_limit
        self._write.use(outside, udp_limit=udp_limit, recursion=recursion)
        local = self.templates.local
        self._make_templates(services)
        self.templates.local = local

    def _make_templates(self, services: Services | None) -> None:
        forwards = self.guard is None or not self.guard.counts
        self.templates = Templates(self.resolver, services, forwards=forwards)

    def respond(self, packet: bytes, port: Port, index: int) -> bytes | None:
        """Return the reply to a packet, or None if there is none, or not yet: then it goes out through `port.send`."""
        if len(packet) < m.HEADER_SIZE or packet[2] & 0x80:  # no ID to answer to, or itself a reply
            return None
        try:
            reply = self.templates.answer(packet, port, index)
            if reply is None:
                query = read_query(packet)
                if port.stream and query.size not in {0, self._udp_limit}:  # a stream carries any reply to anybody
                    query.size, query.regular = self._udp_limit, False
                if not query.regular or query.klass != m.CLASS_IN or query.type in _TRANSFERS:
                    reply = self._answer_odd(query, port, index)
                if reply is None:
                    key = packet[2:] if query.regular else query.key(self._udp_limit)
                    answer = self._chain.answer(query.name, query.type)
                    if answer.follow is not None or answer.search:
                        self.templates.learn_forwarded(query)
                        reply = self.resolver.answer(query, key, answer, port, index)
                    else:
                        reply = self._write.local(query, key, answer, port)
                        self.templates.learn_local(query, answer, reply)
        except FormatError:
            reply = self._write.error(packet, port, m.FORMERR, _BAD_FORMAT)
        except Exception as error:  # a bug in one answer must not cost the others theirs
            self.faults.took("question", error, packet=packet.hex())
            reply = self._write.error(packet, port, m.SERVFAIL, _BUG)
        if self.observer.noted is not None:
            self.observer.made(packet, port, index, reply)
        return reply or None

    def follow(self, wants: Wants | None) -> Iterator[None]:
        """Start or stop observing replies, cached ones included; see `ReplyCache.follow`."""
        self.miss = self.respond if wants is None else self._answer_followed
        self.observer.began = NEVER
        return self.replies.follow(wants)

    def _answer_followed(self, packet: bytes, port: Port, index: int) -> bytes | None:
        """Return the cached reply that is followed, or what `respond` returns, and measure the time."""
        now = self.observer.began = self.clock()
        wire = self._followed(packet[2:], port, now)
        if wire is None:
            return self.respond(packet, port, index)
        reply = packet[:2] + wire
        self.observer.made(packet, port, index, reply)
        return reply

    def _followed(self, key: bytes, port: Port, now: float) -> bytes | None:
        """Return the octets of the followed reply that is kept for a question, as `kept` does, and note that."""
        reply = port.table.followed.get(key)
        if reply is None:
            return None
        try:
            wire = reply.send(now)
        except Exception as error:
            self.forget(key, port, error)
            return None
        if wire is not None:
            source = CACHE if isinstance(reply, AgingReply) else LOCAL
            self.observer.noted = Noted(reply.labels, getattr(reply, "reason", FOUND), source)
        return wire

    def _answer_keepalive(self, query: Query, port: Stream, index: int) -> bytes:
        """Answer the query without its option, and add the option to the reply; it is empty if there is none yet."""
        told = KeepalivePort(port)
        reply = self.answer(query.without_options(), told, index, self.clock())
        return DEFERRED if reply is None else told.told(reply)

    def _answer_odd(self, query: Query, port: Port, index: int) -> bytes | None:
        """Return the reply to a query that the chain is not for, or one kept for another spelling; None for the chain.

        The reply is empty if there is none, or none yet.
        """
        if query.opcode != _QUERY_OPCODE:
            return self._write.error(query.packet, port, m.NOTIMP, _NOT_IMPLEMENTED)
        if query.version:
            return self._write.refuse(query, m.BADVERS, _BAD_VERSION, port)
        if query.keepalive and port.stream:
            return self._answer_keepalive(query, cast("Stream", port), index)
        if not query.regular:
            key = query.key(self._udp_limit)
            now = self.clock()
            wire = self.kept(key, port, now) or self._followed(key, port, now)
            if wire is not None and (reply := port.table.find(key)) is not None:
                port.table.correct(reply, len(query.packet))
                return query.id + echo(wire, query.question)
        if query.klass != m.CLASS_IN:
            return self._write.refuse(query, m.REFUSED, _REFUSED_CLASS, port, lean=True)
        if query.type in _TRANSFERS:
            return self._write.refuse(query, m.REFUSED, _REFUSED_TRANSFER, port, lean=True)
        return None

    def answer(self, packet: bytes, port: Port, index: int, now: float) -> bytes | None:
        """Return the kept reply to a packet, or what `respond` returns."""
        wire = self.kept(packet[2:], port, now)
        return self.miss(packet, port, index) if wire is None else packet[:2] + wire

    def kept(self, key: bytes, port: Port, now: float) -> bytes | None:
        """Return the octets of the reply kept under a question, less the ID, if there is one that can be sent."""
        reply = port.table.replies.get(key)
        if reply is None:
            return None
        try:
            return reply.send(now)
        except Exception as error:
            self.forget(key, port, error)
            return None

    def forget(self, key: bytes, port: Port, error: Exception) -> None:
        """Forget a cached reply that cannot be sent because of a bug, so that the question is answered anew."""
        self.faults.took("cache-hit", error, key=key.hex())
        try:
            self.replies.discard(port.table, key)
        except Exception as bug:
            self.faults.took("cache-hit", bug)
            port.table.replies.pop(key, None)
            port.table.followed.pop(key, None)

    @property
    def panics(self) -> int:
        """How many questions were answered with an error because of a bug."""
        return self.faults.counts["question"]

    def mark_stale(self, reason: Reason | None) -> None:
        """Mark the server's own data as too old from here on, or no longer; finished replies are not altered."""
        self._write.stale = reason
        self.templates.mark_stale(stale=reason is not None)

    def turn_away(self, packet: bytes, port: Port, index: int, reason: Reason) -> bytes | None:
        """Return REFUSED for a client that may not ask, TC for one that asks too much, where the settings want it.

        None if they are not, or to what is not a query.
        """
        if len(packet) < m.HEADER_SIZE or packet[2] & 0x80:
            return None
        if self.guard is None or not self.guard.has_reply(reason, stream=port.stream):
            self.observer.dropped(packet, port, index, reason)
            return None
        try:
            query = read_query(packet)
            if reason is not NOT_ALLOWED:
                reply = self._write.truncated(query, reason, port)
            else:
                reply = self._write.refuse(query, m.REFUSED, reason, port)
        except FormatError:
            if reason is not NOT_ALLOWED:
                return None
            reply = self._write.error(packet, port, m.REFUSED, reason)
        except Exception as error:
            self.faults.took("question", error, packet=packet.hex())
            return None
        self.observer.began = NEVER
        self.observer.made(packet, port, index, reply)
        return reply
