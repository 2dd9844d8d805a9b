"""Names outside the cluster: from the cache, from a question already under way, or from the upstreams.

Asking is two steps: `answer_now` gives what is known, and what is not is asked by `start`, which calls nobody back
before it has returned. Outcomes come later, once each, from a transport's drain, a timer or the queue of `delivery`.
Over 400 lines: what is asked, joined and ended is one account of who waits, and is read as one.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

import msgspec
import trio

from dnsserver import metrics
from dnsserver.forward import outcome as o
from dnsserver.forward.answer_cache import AnswerCache, IsAltered
from dnsserver.forward.crowd import CROWD, thinned
from dnsserver.forward.delivery import Deliveries
from dnsserver.forward.engine import LookupEngine
from dnsserver.forward.failure import with_errors
from dnsserver.forward.join import Join
from dnsserver.forward.lookup import NEVER, Lookup
from dnsserver.forward.nonce import SECRET_SIZE, Nonces
from dnsserver.forward.outcome import Outcome, OwnQuestion, Question, Waiter
from dnsserver.forward.route import Route, unasked
from dnsserver.forward.route_table import RouteTable
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.settings import CacheSettings, ForwardSettings, Limits
from dnsserver.forward.sources import Followers, Known, look_ahead
from dnsserver.forward.upstream import Upstream
from dnsserver.forward.wheel import Wheel
from dnsserver.pace import next_look
from dnsserver.wire.message import EMPTY, HINFO, MAX_CHAIN, REFUSED, SERVFAIL, FormatError
from dnsserver.wire.name import is_below
from dnsserver.wire.upstream_reply import Reading
from dnsserver.zone.record import Reason

_TICK, _TICK_DEGRADED = 1.0, 0.25  # seconds; the second one while an upstream is down


class Forwarder:
    """All upstreams, and what they said."""

    def __init__(
        self,
        routes: Sequence[ForwardSettings],
        cache: CacheSettings,
        *,
        own: Sequence[bytes] = (),
        limits: Limits | None = None,
        runtime: Runtime | None = None,
        secret: bytes = b"",
    ) -> None:
        """Open nothing yet; `run` does.

        `routes` has one entry for each domain, `own` the zones of which no upstream is believed. The processes of a
        server share `secret`, to know each other's probes.
        """
        entropy = (runtime := runtime or Runtime()).entropy
        nonces = Nonces(secret or entropy.take(SECRET_SIZE), entropy)
        self._faults, self._clock = runtime.faults, runtime.clock
        self._limits = limits or Limits()
        self._cache_settings = cache
        self._own = tuple(own)
        self._routes = RouteTable(routes, own, entropy)
        self._cache = AnswerCache(cache)
        self._followers = Followers(runtime.faults, self._cache.forget_failures)
        self._engine = LookupEngine(self, cache.ttls(), nonces, runtime, self._limits.loop_retry)
        self._lookups, self._means = self._engine.lookups, self._engine.means
        self._shares = self._means.shares
        self._shares.resize(self._limits.in_flight)
        self.cork, self.uncork = self._engine.udp.cork, self._engine.udp.uncork
        self._joins: dict[Question, Join] = {}
        self._joins_due: Wheel[Join] = Wheel()
        self._probes = self._engine.probes
        self._on_batch_end = runtime.on_batch_end
        self._deliveries = Deliveries(runtime)
        self._awake = trio.Event()
        self._wakes_at = NEVER
        self._coalesced = self._dropped = self._all_down = 0
        self._waiting = 0  # who waits for any of the lookups

    # ---- questions

    def answer_now(self, question: Question, now: float, counts: bool = True) -> Outcome | None:
        """Return the outcome if it is known without asking anybody; else `start` gets it.

        What does not count leaves no trace: it is in no number, and has nothing renewed.
        """
        cache = self._cache
        outcome = cache.get(question, now) if counts else cache.peek(question, now)
        if outcome is not None:
            if counts and cache.renewal_due(question, now):
                self.start(question, None, now)
            return outcome
        lookup = self._lookups.get(question)
        if lookup is not None:
            return cache.stale(question, now, why=lookup.verdict(now)) if lookup.stale_given else None
        if cache.failures.size and (outcome := cache.failure(question, now, counts=counts)) is not None:
            return cache.stale(question, now, outcome.expires - now, why=outcome.reason) or outcome
        if question.type == HINFO and self._probes.is_probe(question.name):
            self._probes.came_back(question.name, now)
            return Outcome(REFUSED, EMPTY, False, o.LOOP, now, now)
        route = self._routes.default or self._routes.find(question.name)
        if route is None or not route.usable:
            nobody = unasked(route, now)
            return cache.stale(question, now, why=nobody.reason) or nobody
        return None

    def start(self, question: Question, waiter: Waiter | None, now: float, packet: bytes = b"") -> None:
        """Have the upstreams asked, or join who asks them the same; `waiter` gets the outcome once, but not from here.

        For what `answer_now` has just not known, or without `waiter` to renew what is held. `packet` is a client's,
        if one asks: should it look like a query that this server sent itself, and that came back through a loop of
        forwarders, then the upstream is probed.
        """
        lookups = self._lookups
        if question in lookups or question in self._joins:
            if waiter is not None:
                self._wait_for(lookups.get(question) or self._joins[question], waiter, now, packet)
            return
        waiting = [] if waiter is None else [waiter]
        route = self._routes.default or self._routes.find(question.name)
        if route is None or not (order := route.order(now)):
            self._deliveries.queue(waiting, unasked(route, now))
            return
        # One look at the numbers tells that there is room, as there nearly always is.
        busy = self._shares.held or len(lookups) + len(self._joins) + self._waiting >= self._shares.watched_from
        if (busy or route.in_flight >= route.most_in_flight) and (full := self._refusal(question, waiter, route, now)):
            self._dropped += len(waiting)
            self._deliveries.queue(waiting, self._failure(question, full, now))
            return
        self._waiting += len(waiting)
        stale_at = now
        if order[0].health.up:
            stale_at += self._cache_settings.stale_wait
        else:  # with every upstream down there is nothing to wait for; the question is asked all the same
            self._all_down += 1
        lookup = Lookup(self._means, question, route, order, waiting, now, now + route.settings.deadline, stale_at)
        try:
            if not lookup.begin(now):
                failed = self._failure(question, lookup.failure or o.UPSTREAM_UNREACHABLE, now)
                self._deliveries.queue(self._close(lookup), failed)
        except Exception as error:
            self._faults.took("upstream-query", error)
            self.broken(lookup, now)
        if lookup.due < self._wakes_at:
            self.hurry(lookup.due)

    def _refusal(self, question: Question, waiter: Waiter | None, route: Route, now: float) -> Reason | None:
        """Return why one more question may not be asked; None after room was made for it."""
        if route.in_flight >= route.most_in_flight:
            return o.OVERLOAD
        lookups, shares, most = self._lookups, self._shares, self._limits.in_flight
        if shares.held or len(lookups) >= shares.watched_from:
            full = shares.take(question, waiter, lookups, now)
            if full is not None:
                return full
        if len(lookups) + len(self._joins) >= most or self._waiting + (waiter is not None) > 2 * most:
            self._make_room(now)
        return None

    def _wait_for(self, pending: Lookup | Join, waiter: Waiter, now: float, packet: bytes) -> None:
        """Add one more waiter to a question that is under way."""
        if packet and isinstance(pending, Lookup):
            self._engine.look_for_loop(pending, packet, now)
        self._coalesced += 1
        if len(pending.waiting) >= pending.crowd:
            self._thin(pending, now)
        self._waiting += 1
        pending.waiting.append(waiter)
        if self._waiting > 2 * self._limits.in_flight:
            self._make_room(now, pending if len(pending.waiting) > CROWD else None)

    def probe_seen(self, name: bytes) -> None:
        """Record that a client asked another process for this probe's name: if it is one of ours, it came back."""
        self._probes.seen(name, self._clock())

    def take_strangers(self) -> list[bytes]:
        """Return the probes' names, of other processes, that clients asked since the last time: tell those of them."""
        return self._probes.take_strangers()

    def record_hits(self, question: Question, hits: int = 1) -> None:
        """Record that an answer went out so many times without being asked for here, and renew it if that is due."""
        try:
            now = self._clock()
            if self._cache.renewal_due(question, now, hits):
                self.start(question, None, now)
        except Exception as error:
            self._faults.took("prefetch", error)

    def flush(self, name: bytes, *, below: bool = False) -> list[Question]:
        """Forget a name, or all names below it as well; return what was forgotten, for caches in front of this one."""
        return self._cache.flush(name, below=below)

    def hurry(self, at: float) -> None:
        """Look at the wheel by then, which may be earlier than what is on it was due."""
        if at < self._wakes_at:
            self._wakes_at = at
            self._awake.set()

    def _make_room(self, now: float, pending: Lookup | Join | None = None) -> None:
        """Let a question fail for all its waiters; without a given question, it is the oldest one under way."""
        oldest: Iterator[Lookup | Join] = chain(self._lookups.values(), self._joins.values())
        pending = pending or next(oldest, None)
        if pending is not None:
            self._dropped += 1
            self._deliveries.queue(self._close(pending), self._failure(pending.question, o.OVERLOAD, now))

    def _thin(self, pending: Lookup | Join, now: float) -> None:
        """Reduce the waiters of a question: a repeated question is forgotten, one above its client's share fails."""
        pending.waiting, again, over = thinned(pending.waiting)
        pending.crowd = max(CROWD, 2 * len(pending.waiting))  # many clients stay many: not looked through each time
        self._waiting -= len(again) + len(over)
        self._dropped += len(over)
        for waiter in again:
            waiter.give_up()
        self._deliveries.queue(over, Outcome(SERVFAIL, EMPTY, False, o.OVERLOAD, now, now))

    # ---- what becomes of questions under way

    def finished(self, lookup: Lookup, reading: Reading | None, now: float, upstream: str = "") -> None:
        """Give out what has become of a question, and keep it; a failure is that which the lookup carries."""
        try:
            if reading is None:
                failure = lookup.failure or o.UPSTREAM_TIMEOUT
                outcome = self._failure(lookup.question, failure, now, lookup.counts_from(now))
            else:
                follow = reading.follow
                if follow is not None and not any(is_below(follow, zone) for zone in self._own):
                    self._follow(lookup, reading, follow, now)
                    return
                reason = o.FORWARDED if not reading.errors else with_errors(o.FORWARDED, reading.errors)
                outcome = Outcome(
                    reading.rcode, reading.body, reading.ad, reason, now, now + reading.ttl, follow, upstream
                )
                self._cache.put(lookup.question, outcome)
            waiting = lookup.close()
            self._waiting -= len(waiting)
            self._deliveries.give(waiting, outcome)
        except Exception as error:
            self._faults.took("upstream-outcome", error)
            self.broken(lookup, now)

    def broken(self, lookup: Lookup, now: float) -> None:
        """Have done with a question that a bug has stopped: whoever asks the same from now on must not join it."""
        self._deliveries.queue(self._close(lookup), Outcome(SERVFAIL, EMPTY, False, o.BUG, now, now))

    def _failure(self, question: Question, reason: Reason, now: float, began: float | None = None) -> Outcome:
        """Return the outcome for those who wait if there is no answer; a failure is kept for some time.

        It follows on one that counted when it `began`, or now.
        """
        if reason.code in o.FULL:  # who asks next may find room
            failed = Outcome(SERVFAIL, EMPTY, False, reason, now, now)
        else:
            failed = self._cache.fail(question, reason, now, began)
        return self._cache.stale(question, now, self._cache_settings.failure_ttl, why=reason) or failed

    def _follow(self, lookup: Lookup, reading: Reading, follow: bytes, now: float) -> None:
        """Ask another route for the rest of a chain, as the upstreams of the first route may not answer all of it."""
        question, at = lookup.question, lookup.deadline
        rest = Question(follow, question.type, question.do, question.cd)
        waiting = lookup.close()
        before = max((waiter.aliases for waiter in waiting if isinstance(waiter, OwnQuestion)), default=0)
        last = self._last_of(rest)
        self._joins[question] = join = Join(question, waiting, reading, rest, before, now)
        join.bucket = self._joins_due.add(join, at)
        self.hurry(at)
        aliases = before + reading.aliases
        if last is None or last == question or aliases > MAX_CHAIN:
            self._unjoined(join, o.CHAIN_TOO_LONG, now)
        elif (known := self.answer_now(rest, now)) is not None:
            self._joined(join, known)
        else:
            self.start(rest, OwnQuestion(partial(self._joined, join), aliases), now)

    def _last_of(self, question: Question) -> Question | None:
        """Return what a question waits for in the end: itself, or the rest of the last chain on the way.

        None if there are more chains on the way than an answer may have aliases.
        """
        for _ in range(MAX_CHAIN):
            join = self._joins.get(question)
            if join is None:
                return question
            question = join.rest
        return None

    def _joined(self, join: Join, rest: Outcome) -> None:
        """Deliver a chain whose rest is known now."""
        if self._joins.get(join.question) is not join:  # it took too long
            return
        try:
            outcome = rest if rest.rcode == SERVFAIL else join.outcome(rest)
        except FormatError:
            self._unjoined(join, o.UPSTREAM_FORMAT, self._clock())
            return
        if outcome.rcode == SERVFAIL:
            self._unjoined(join, outcome.reason, self._clock())
            return
        if rest.reason.code != o.STALE.code:  # that says nothing new of the whole
            self._cache.put(join.question, outcome)
        self._deliveries.queue(self._close(join), outcome)  # not at once, as others of them are chains too

    def _unjoined(self, join: Join, reason: Reason, now: float, began: float | None = None) -> None:
        """Deliver that a chain has no end; `began` is as for a failure.

        If it is only too long for who has aliases before it, the others are asked for anew.
        """
        question, waiting = join.question, self._close(join)
        if reason.code == o.CHAIN_TOO_LONG.code and join.before:
            over = [each for each in waiting if isinstance(each, OwnQuestion) and each.aliases >= join.before]
            self._deliveries.queue(over, Outcome(SERVFAIL, EMPTY, False, reason, now, now))
            for waiter in waiting:
                if waiter not in over:
                    self.start(question, waiter, now)
            return
        if reason.code in o.OLD:
            known = Outcome(SERVFAIL, EMPTY, False, reason, now, now)
            failed = self._cache.stale(question, now, self._cache_settings.failure_ttl, why=reason) or known
        else:
            failed = self._failure(question, reason, now, join.read_at if began is None else began)
        self._deliveries.queue(waiting, failed)

    def _end_joins(self, now: float) -> None:
        """End the chains whose rest took too long."""
        for join in self._joins_due.due(now):
            if self._joins.get(join.question) is join:
                last = self._last_of(join.rest)
                rest = None if last is None else self._lookups.get(last)
                if rest is None:
                    self._unjoined(join, o.CHAIN_TOO_SLOW, now)
                else:
                    self._unjoined(join, rest.verdict(now), now, rest.counts_from(now))

    def overdue(self, lookup: Lookup, now: float) -> None:
        """Give those who wait a stale answer; the question stays under way for the cache's sake."""
        outcome = self._cache.stale(lookup.question, now, why=lookup.verdict(now)) if lookup.waiting else None
        if outcome is not None:
            waiting = lookup.give_stale()
            self._waiting -= len(waiting)
            self._deliveries.give(waiting, outcome)

    def changed(self, upstream: Upstream, *, usable: bool) -> None:
        """Record that an upstream is up again, or down."""
        route = self._routes.get(upstream.domain)
        if route is not None:
            route.reorder()
        if usable:
            self._cache.forget_failures()
        elif upstream.looping:
            self._engine.leave(upstream, self._clock())

    def _close(self, pending: Lookup | Join) -> list[Waiter]:
        """End a question that was under way, and return its waiters."""
        if isinstance(pending, Join):
            self._joins.pop(pending.question, None)
        waiting = pending.close()
        self._waiting -= len(waiting)
        return waiting

    # ---- other settings

    async def look_ahead(self, routes: Sequence[ForwardSettings]) -> Known:
        """Find out where the upstreams of routes are that are to be in force soon."""
        return await look_ahead(routes, self._routes)

    def reconfigure(
        self,
        routes: Sequence[ForwardSettings],
        cache: CacheSettings,
        own: Sequence[bytes],
        limits: Limits,
        known: Known,
        is_altered: IsAltered | None,
        labels: Sequence[bytes] = (),
    ) -> None:
        """Go by other settings from now on; what goes on being asked of the same upstreams is not disturbed.

        `known` is what `look_ahead` found. What `is_altered` is true of, with one of the `labels`, is not kept. Whoever
        waits for upstreams that are not asked any more is asked for anew: everybody is still answered once.
        """
        now = self._clock()
        self._own, self._limits, self._cache_settings = tuple(own), limits, cache
        for gone in self._routes.replace(routes, own, known):
            self._probes.forget(gone)
        self._engine.use(cache.ttls(), limits.loop_retry)
        self._shares.resize(limits.in_flight)
        self._followers.replace(tuple(self._routes), limits, known)
        self._cache.use(cache)
        anew: list[Lookup | Join] = []
        if is_altered is not None:
            self._cache.drop(is_altered, labels)
            self._cache.forget_failures()  # the rest of a chain may be one that has other upstreams now
            joins = tuple(self._joins.values())
            anew += [join for join in joins if is_altered(join.question.name, join.head.body.data)]
        for lookup in self._lookups.values():
            route = self._routes.find(lookup.question.name)
            if route is not lookup.route or not all(upstream in route.upstreams for upstream in lookup.order):
                anew.append(lookup)
        for pending in anew:
            for waiter in self._close(pending):
                self.start(pending.question, waiter, now)

    def authorities_changed(self, file: str) -> None:
        """Record that a file of certificate authorities says something else now."""
        self._engine.streams.authorities_changed(file)

    @property
    def longest_deadline(self) -> float:
        """Return the seconds that a question may take, on the route where it is most."""
        return self._routes.longest_deadline()

    # ---- tasks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve for ever; started when the upstreams' addresses are known as far as no look-up is needed."""
        try:
            async with trio.open_nursery() as nursery:
                keep = self._faults.keep
                await nursery.start(self._followers.run, tuple(self._routes), self._limits)
                nursery.start_soon(keep, "upstream-reply", self._engine.udp.run)
                nursery.start_soon(keep, "upstream-stream", self._engine.streams.run)
                nursery.start_soon(keep, "upstream-timer", self._keep_time)
                nursery.start_soon(keep, "delivery", self._deliveries.run)
                nursery.start_soon(keep, "upstream-probes", self._maintain_upstreams)
                task_status.started()
        finally:
            self._engine.udp.close()

    async def _keep_time(self) -> None:
        """Turn the timer wheel as long as it has entries."""
        wheels = self._engine.wheel, self._joins_due
        while True:
            soonest = min(wheel.next for wheel in wheels)
            self._awake = trio.Event()
            self._wakes_at = max(soonest, self._clock() + 0.005)
            with trio.move_on_at(self._wakes_at):
                await self._awake.wait()
                continue  # something has to be looked after sooner
            # After a stall of this process the replies are here already, and their senders were not silent.
            self._engine.udp.drain(self._clock() - self._wakes_at)
            self._end_joins(self._clock())
            while self._engine.process_due(self._clock()):
                self._on_batch_end()
                await trio.lowlevel.checkpoint()
            self._on_batch_end()

    async def _maintain_upstreams(self) -> None:
        """Probe upstreams, close old sockets and forget old failures, from time to time."""
        while True:
            now = self._clock()
            upstreams = self._routes.upstreams()
            self._probes.send_due_probes(upstreams, now)
            self._engine.udp.sweep(now)
            self._engine.streams.sweep(upstreams)
            self._cache.sweep(now - self.longest_deadline)
            self._probes.forget_others(upstreams)
            well = all(upstream.health.up and not upstream.looping for upstream in upstreams)
            await trio.sleep_until(next_look(_TICK if well else _TICK_DEGRADED))

    def statistics(self) -> metrics.Forward:
        """Return forwarding in numbers."""
        return metrics.Forward(
            upstreams=tuple(upstream.statistics() for upstream in self._routes.upstreams()),
            cache=self._cache.statistics(),
            in_flight=len(self._lookups) + len(self._joins),
            coalesced=self._coalesced,
            **msgspec.structs.asdict(self._engine.counts),
            dropped=self._dropped,
            loops=self._probes.returned,
            all_down=self._all_down,
        )
