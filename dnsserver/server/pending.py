"""Forwards a question: answers at once what is known, and keeps the client's question while it has to wait.

    respond ── Resolution.run: chain ─► Question ─► outside.answer_now ─ known ─► chain ... ─► reply
                                                   └ not known ─► PendingQuery ─► outside.start
    a transport's drain, or a timer ─► PendingQuery.deliver ─► Resolution.run ... ─► reply, through `port.send`

What is like a question that was answered before is asked by its template (`templates`), which also writes out most
answers: a Resolution is made of it only for what is left.

States. A Resolution asks for one thing at a time, `asks`, until it has the reply. It knows nothing of clients and never
waits. A PendingQuery is one client's question from `outside.start` to its one reply: it waits while it has a `handle`.

Who may change them. `run` alone moves a Resolution on. `deliver` alone ends the wait of a PendingQuery, or `give_up`.

Invariants. `outside.start` has returned before `deliver` is called, so nobody has to know whether he is still inside
the call that asked. Whoever begins to wait is answered once, also where a bug ends it. What the chain said holds until
the zone changes: then it is asked again before anything is made of an outcome.

Rejected: one call that delivers at once or later. It had every state twice, before and after it was known whether there
was anything to wait for, and who delivered had to be ready for questions asked meanwhile. A task for each question: 25
us more in a prototype of it, of the 45 that one costs now. To ask what is known outside before a Resolution is made: it
would cost one more look-up for each question whose answer is not known there.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from dnsserver.faults import Faults
from dnsserver.forward.failure import with_errors
from dnsserver.forward.outcome import Asker, Outcome, Question
from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import FOREVER, ReplyCache
from dnsserver.resolver.search import SearchResult, Step, Walk
from dnsserver.server.guard import Guard
from dnsserver.server.observer import UPSTREAM, Noted
from dnsserver.server.reply import DEFERRED, ForwardedTemplate, Outside, Port, ReplyWriter, asked
from dnsserver.wire import message as m
from dnsserver.wire.query import Query, read_query
from dnsserver.wire.records import rrsets
from dnsserver.zone.record import Answer, Reason, joined

_TAIL = 11  # octets of an OPT without options
_MAX_TURNS = 16  # times a chain may come back into the cluster, or the zone change under a question
_NEVER = -1  # no number of changes
_TOO_LONG = Reason("chain-too-long", m.EDE.OTHER, "the chain of names is too long")
_BUG = Reason("internal-error", m.EDE.OTHER, "internal error")


class Resolver:
    """Answers questions that lead outside: at once if the answer is cached, or later."""

    def __init__(
        self,
        chain: Chain,
        outside: Outside,
        replies: ReplyCache,
        writer: ReplyWriter,
        guard: Guard | None,
        faults: Faults,
    ) -> None:
        """`guard` bounds how many questions of a client wait at once."""
        self.chain = chain
        self.outside = outside
        self.replies = replies
        self.writer = writer
        self.guard = guard
        self.faults = faults

    def answer(self, query: Query, key: bytes, answer: Answer, port: Port, index: int) -> bytes | None:
        """Return the reply if all is known, else `DEFERRED`: it goes out through `port.send`. None if there is none."""
        guard, host = self.guard, b""
        if guard is not None:
            host = port.peer_address(index)
            denial = guard.inflight_denial(host, self.writer.clock(), stream=port.stream)
            if denial is not None:
                if guard.has_reply(denial, stream=port.stream):
                    return self.writer.truncated(query, denial, port)
                return self.writer.drop(query, denial)
        resolution = Resolution(self, query, key, port, answer, answer, self.replies.changes)
        return self._run(resolution, None, index, host)

    def _run(self, resolution: "Resolution", outcome: Outcome | None, index: int, host: bytes = b"") -> bytes:
        """Return the reply, or `DEFERRED` if there is something to wait for."""
        reply = resolution.run(outcome)
        if reply is not None:
            return reply
        query, port = resolution.query, resolution.port
        packet = query.packet
        if len(packet) > query.end + _TAIL:  # whatever a client put behind its question is not needed any more
            query.packet, query.cut = packet[: query.end], len(packet) - query.end
        now = self.writer.clock()
        pending = PendingQuery(self, query.packet, port, now, index, resolution=resolution)
        self.outside.start(resolution.asks, pending, now, packet)
        pending.handle = port.begin_deferred(index)
        if host and self.guard is not None:
            pending.on_end = self.guard.begin(host, stream=port.stream)
        return DEFERRED

    def go_on(self, packet: bytes, outcome: Outcome, port: Port, index: int) -> bytes:
        """Return the reply to a question that was forwarded as it came, from its outcome, or `DEFERRED`."""
        return self._run(self.resume(packet, port), outcome, index)

    def resume(self, packet: bytes, port: Port) -> "Resolution":
        """Return what continues a question that was forwarded as it came, once its first outcome is there."""
        query = read_query(packet)
        answer = Answer(follow=query.name, aa=False)  # what the zone says of the name was not worked out: it will be
        return Resolution(self, query, packet[2:], port, answer, answer, _NEVER, turns=1)


class Resolution(msgspec.Struct, gc=False, eq=False):
    """How far the answer to one question has got: a Struct, made in 0.05 us, an object with slots in 0.18.

    `given` is what the chain said, when the zone had changed `seen` times; `answer` is what has become of it. While the
    search list is walked, `walk` is under way and `step` what it asks; what it found holds until `until`.
    """

    of: Resolver
    query: Query
    key: bytes
    port: Port
    given: Answer
    answer: Answer
    seen: int
    asks: Question = Question(b"", 0)
    walk: Walk | None = None
    step: Step | None = None
    until: float = FOREVER
    turns: int = 0
    from_cache: bool = True

    def run(self, outcome: Outcome | None) -> bytes | None:
        """Go on with the outcome of what it `asks`, at first None; return None while the next outcome is not known."""
        reply = self._go_on(self.given) if outcome is None else self._take(outcome)
        outside, clock = self.of.outside, self.of.writer.clock
        while reply is None:
            outcome = outside.answer_now(self.asks, clock())
            if outcome is None:
                return None
            reply = self._take(outcome)
        return reply

    def _go_on(self, answer: Answer) -> bytes | None:
        """Return the reply that an answer of the chain makes by itself, or None if there is something to ask."""
        self.given = self.answer = answer
        self.seen = self.of.replies.changes
        self.turns += 1
        self.walk, self.until = None, FOREVER
        if answer.search:
            self.walk = self.of.chain.walk(answer)
            return self._walk_on(None)
        return self._ask_or_reply()

    def _ask_or_reply(self) -> bytes | None:
        """Ask for the name that the answer leads to, or return the reply if it leads nowhere."""
        if self.answer.rcode == m.DROP:  # by a rule that has come since it was asked; who waits is counted, so told
            return self.of.writer.refuse(self.query, m.REFUSED, self.answer.reason, self.port)
        if self.answer.follow is None:
            return self.of.writer.local(self.query, self.key, self.answer, self.port)
        self.turns += 1
        self.asks = asked(self.query, self.answer.follow)
        return None

    def _take(self, outcome: Outcome) -> bytes | None:
        """Return the reply that an outcome makes, or None if there is more to ask."""
        query = self.query
        if self.turns >= _MAX_TURNS:
            return self.of.writer.refuse(query, m.SERVFAIL, _TOO_LONG, self.port, self.answer.depends)
        if self.seen != self.of.replies.changes:
            fresh, old = self.of.chain.answer(query.name, query.type), self.given
            if (fresh.follow, fresh.search, fresh.answer) != (old.follow, old.search, old.answer):
                return self._go_on(fresh)
            if fresh.search:  # what was seen on the way may be another now, so nothing is kept of it
                self.answer = msgspec.structs.replace(self.answer, depends=None)
            else:
                self.answer = fresh
            self.given, self.seen = fresh, self.of.replies.changes
        return self._walk_on(outcome) if self.walk is not None else self._end(outcome)

    def _end(self, outcome: Outcome) -> bytes | None:
        """Return the reply made of the answer and what it led to; go on in the cluster if that leads back there."""
        if outcome.follow is not None:
            return self._return(self.answer, outcome, outcome.follow)
        return self.of.writer.forwarded(
            self.query, self.key, self.answer, outcome, self.port, until=self.until, from_cache=self.from_cache
        )

    def _walk_on(self, outcome: Outcome | None) -> bytes | None:
        """Take the next step through the search list. At the end of the list, go on with the result."""
        assert self.walk is not None
        query, writer = self.query, self.of.writer
        try:
            step = self.walk.send(outcome)  # type: ignore[arg-type]  # None starts it
        except StopIteration as end:
            found: SearchResult = end.value
        else:
            self.step = step
            self.asks = msgspec.structs.replace(asked(query, step.name), type=step.type)
            return None
        self.walk, self.until = None, found.expires
        if found.failure is not None:
            return writer.refuse(query, m.SERVFAIL, found.failure, self.port, self.answer.depends)
        missing = msgspec.structs.replace(self.answer, depends=joined(self.answer.depends, found.depends))
        if found.name is None:
            return writer.search_nxdomain(query, self.key, missing, found.expires, self.port)
        self.answer = self.of.chain.alias(query.name, found.name, query.type, missing)
        if self.answer.follow is None and self.until < FOREVER:
            self.answer = msgspec.structs.replace(self.answer, depends=None)  # it does not say how long it lasts
        last = self.step
        if outcome is not None and last is not None and (last.name, last.type) == (self.answer.follow, query.type):
            return self._end(outcome)
        return self._ask_or_reply()

    def _return(self, answer: Answer, outcome: Outcome, name: bytes) -> bytes | None:
        """Go on in the cluster: the chain from outside leads back to a name of the cluster."""
        assert answer.follow is not None  # it was asked
        before = rrsets(outcome.body_at(self.of.writer.clock()), answer.follow)[0]
        if answer.renaming is not None:
            before = answer.renaming.apply(before)
        rest = self.of.chain.answer_as_is(name, self.query.type)
        # Not kept: its records are partly the outside's, which age, and partly ours, which do not.
        self.answer = msgspec.structs.replace(
            rest,
            answer=(*answer.answer, *before, *rest.answer),
            depends=None,
            aa=answer.aa,
            renaming=answer.renaming,
            reason=with_errors(rest.reason, outcome.reason.also),
        )
        self.given = self.answer
        return self._ask_or_reply()


class PendingQuery(msgspec.Struct, gc=False, eq=False):
    """One client's question that waits for the outside, as long as there is a `handle` to reply through.

    With a `template` it was not read: that writes out fresh answers, and all other outcomes go through a `resolution`.
    It `began` when its packet was looked at, which is number `index` of its batch. `on_end` is called when it waits no
    more.
    """

    of: Resolver
    packet: bytes
    port: Port
    began: float
    index: int
    template: ForwardedTemplate | None = None
    resolution: Resolution | None = None
    handle: Any = None
    on_end: Callable[[], None] | None = None

    def deliver(self, outcome: Outcome) -> None:
        """Send the reply that an outcome makes, or ask further: all outcomes come in through this border."""
        handle = self.handle
        if handle is None:  # asking it has failed, and was answered with that
            return
        of, port, template = self.of, self.port, self.template
        observer, now = of.writer.observer, of.writer.clock()
        try:
            reply = None if template is None else template.write(self.packet, outcome, port, now, observer)
            if reply is None:
                reply = self._go_on(outcome)
        except Exception as error:  # the forwarder must not end for one answer
            of.faults.took("question", error, packet=self.packet.hex())
            reply = self._bug()
        if reply is None:
            return
        self.handle = None
        if self.on_end is not None:
            self.on_end()
        seconds = now - self.began + port.waited
        port.table.durations.observe(seconds)
        if seconds >= observer.slow and observer.noted is None:
            observer.noted = Noted((0, outcome.rcode, outcome.reason.code), outcome.reason, UPSTREAM, outcome.upstream)
        if observer.noted is not None:
            packet, size = self._asked()
            observer.made_late(packet, size, port, handle, reply, seconds)
        port.send(reply, handle)

    def asker(self) -> Asker:
        """Return who waits, or is about to: nobody else is equal to that one, whose batch is still at hand."""
        if self.handle is None:
            return self.port.peer_address(self.index), None
        return self.port.asker(self.handle, self.packet[:2])

    def give_up(self) -> None:
        """Stop waiting: the client has asked the same again."""
        if self.on_end is not None:
            self.on_end()

    def _go_on(self, outcome: Outcome) -> bytes | None:
        """Return the reply for an outcome that no template can write; None after the next question is asked."""
        of, resolution = self.of, self.resolution
        if resolution is None:
            self.template, self.resolution = None, (resolution := of.resume(self.packet, self.port))
        resolution.from_cache = False
        reply = resolution.run(outcome)
        if reply is None:
            of.outside.start(resolution.asks, self, of.writer.clock(), self.packet)
        return reply

    def _asked(self) -> tuple[bytes, int]:
        """Return the question, with its OPT if that was cut off, and the number of octets that it had."""
        query = None if self.resolution is None else self.resolution.query
        if query is None or not query.cut:
            return self.packet, len(self.packet)
        return query.without_options() if query.size else self.packet, len(self.packet) + query.cut

    def _bug(self) -> bytes:
        query = read_query(self.packet) if self.resolution is None else self.resolution.query
        return self.of.writer.refuse(query, m.SERVFAIL, _BUG, self.port)
