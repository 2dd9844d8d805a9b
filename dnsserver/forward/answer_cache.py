"""Outcomes by their Question: fresh ones, stale ones for when no upstream answers, and recent failures.

Promises: an outcome is fresh until the TTL of its first record has run down, and never longer. Pure: the time is an
argument. The octets are bounded; the oldest outcome that nobody has asked for since is dropped first (CLOCK).
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from dnsserver import metrics
from dnsserver.clock_queue import ClockQueue
from dnsserver.forward.failure import LONGEST_TEXT, with_errors
from dnsserver.forward.failure_cache import FailureCache
from dnsserver.forward.outcome import STALE, Outcome, Question
from dnsserver.forward.settings import CacheSettings
from dnsserver.wire.extended_errors import age_text, cut_text
from dnsserver.wire.message import (
    AAAA,
    CNAME,
    EDE,
    EMPTY,
    HTTPS,
    MX,
    NAPTR,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    SERVFAIL,
    SOA,
    SRV,
    TXT,
    A,
    with_ttl,
)
from dnsserver.wire.name import is_below
from dnsserver.zone.record import Reason

# What an entry holds beside the octets of its name and records: measured with tracemalloc over 20,000 entries of one
# address each, 64-bit CPython 3.11 to 3.13.
_OVERHEAD = 480
_PER_RECORD = 40
_PER_ERROR = 200  # what an upstream said beside its answer: a tuple, and a text that may take more room than octets
_STALE_TTL = 30  # RFC 8767 section 4
_USUAL_TYPES = (A, AAAA, HTTPS, SRV, TXT, MX, CNAME, PTR, NS, SOA, NAPTR)
_RENEW_PART = 0.1
_RENEW_MIN = 5.0
_RENEW_WHOLE = 10.0  # from here on the part is more than a second


# Tells by the name that was asked, and the octets of the records, whether an answer may be another by now.
IsAltered = Callable[[bytes, bytes], bool]


class _Entry(msgspec.Struct, gc=False, eq=False):
    """An outcome, how often it is asked for, and whether it was already asked again before it expires."""

    question: Question
    outcome: Outcome
    size: int
    denial: bool
    hits: int = 0
    seen: int = 0
    held: bool = True
    renewed: bool = False


class AnswerCache:
    """What upstreams said, until it is too old to be said again; `failures` are those who said nothing of use."""

    def __init__(self, settings: CacheSettings) -> None:
        """Make an empty cache."""
        self._settings = settings
        # Not cachetools, whose TTL caches evict by time, which would lose the stale answers.
        self._entries: dict[Question, _Entry] = {}
        self._queue: ClockQueue[_Entry] = ClockQueue(settings.size)
        self.failures = FailureCache()
        self._hits = self._misses = self._failed = self._renewals = self._evicted = 0
        self._denials = self._denial_hits = self._denials_evicted = 0

    def get(self, question: Question, now: float) -> Outcome | None:
        """Return a fresh outcome, or None."""
        entry = self._entries.get(question)
        if entry is None or entry.outcome.expires <= now:
            self._misses += 1
            return None
        self._hits += 1
        self._denial_hits += entry.denial
        entry.hits += 1
        return entry.outcome

    def peek(self, question: Question, now: float) -> Outcome | None:
        """Return a fresh outcome, or None, as if nobody had asked."""
        entry = self._entries.get(question)
        return None if entry is None or entry.outcome.expires <= now else entry.outcome

    def put(self, question: Question, outcome: Outcome) -> None:
        """Keep an outcome until it expires, and then as long as it may be given out stale.

        One that may not be kept still ends what it follows on: a record that was seen gone does not come back.
        """
        if self.failures.size:
            self.failures.forget(question)
        if outcome.expires <= outcome.stored:
            for gone in self._of_name(question, same_type=outcome.rcode != NXDOMAIN):
                self._forget(self._entries.pop(gone.question))
            return
        body = outcome.body
        size = _OVERHEAD + 2 * len(question.name) + len(body.data) + _PER_RECORD * len(body.ttls)
        if outcome.reason.also:
            size += sum(_PER_ERROR + len(text) for _, text in outcome.reason.also)
        denial = outcome.rcode != NOERROR or not body.an
        old = self._entries.get(question)
        if old is not None:
            self._forget(old)
        self._entries[question] = entry = _Entry(question, outcome, size, denial)
        if denial:
            self._denials += 1
        queue = self._queue
        queue.append(entry)
        queue.size = taken = queue.size + size
        if taken > queue.limit:
            self._make_room()

    def _make_room(self) -> None:
        queue = self._queue
        while queue.size > queue.limit:
            self._evicted += 1
            evicted = queue.evict()
            self._denials_evicted += evicted.denial
            del self._entries[evicted.question]
            self._forget(evicted)

    def _forget(self, entry: _Entry) -> None:
        entry.held = False
        self._denials -= entry.denial
        self._queue.removed(entry)

    def renewal_due(self, question: Question, now: float, hits: int = 0) -> bool:
        """Tell, once for each entry, that a popular one is about to expire; `hits` are added to those it had."""
        entry = self._entries.get(question)
        if entry is None:
            return False
        entry.hits += hits
        wanted = self._settings.renew_hits
        if not wanted or entry.hits < wanted or entry.renewed:
            return False
        stored, expires = entry.outcome.stored, entry.outcome.expires
        lasts = expires - stored
        ahead = lasts * _RENEW_PART if lasts >= _RENEW_WHOLE else 1.0
        if lasts < _RENEW_MIN or not expires - ahead <= now < expires:
            return False
        entry.renewed = True
        self._renewals += 1
        return True

    def stale(self, question: Question, now: float, lasts: float = 0.0, *, why: Reason | None = None) -> Outcome | None:
        """Return an expired outcome in the form in which it may be given out (RFC 8767), for `lasts` seconds.

        `why` there is none that is fresh is told with it.
        """
        entry = self._stale_entry(question, now)
        if entry is None:
            return None
        old = entry.outcome
        code = EDE.STALE_NXDOMAIN if old.rcode == NXDOMAIN else EDE.STALE_ANSWER
        age, why = age_text(now - old.expires), why or STALE
        reason = Reason(
            STALE.code, code, cut_text(f"expired more than {age} ago; {why.text}", LONGEST_TEXT), old.reason.also
        )
        if why.also:
            reason = with_errors(reason, why.also)
        body = with_ttl(old.body, _STALE_TTL)
        return Outcome(old.rcode, body, old.ad, reason, now, now + lasts, old.follow, old.upstream)

    def _stale_entry(self, question: Question, now: float) -> _Entry | None:
        """Return the entry that may be given as stale, unless a newer entry of the name shows that it is gone."""
        entry = self._entries.get(question)
        if entry is None or entry.outcome.expires + self._settings.stale <= now:
            return None
        for other in self._of_name(question, same_type=False):
            found = other.outcome
            says_gone = found.rcode == NXDOMAIN or (other.question.type == question.type and not found.body.an)
            if found.stored > entry.outcome.stored and says_gone:
                return None
        return entry

    def _of_name(self, question: Question, *, same_type: bool) -> Iterator[_Entry]:
        """Yield the entries of a name, with and without DO, for this type or also for the usual types.

        An index by name would cost time at each put. This costs time only if a name is gone or an entry is stale.
        """
        for type_ in (question.type,) if same_type else {question.type, *_USUAL_TYPES}:
            for do in (False, True):
                entry = self._entries.get(Question(question.name, type_, do, question.cd))
                if entry is not None:
                    yield entry

    def fail(self, question: Question, reason: Reason, now: float, began: float | None = None) -> Outcome:
        """Keep a failure for a short time, longer each time it follows on another (RFC 9520 section 3.2).

        The question `began` to be asked then, or now.
        """
        self.failures.add(question, reason, now, self._settings.failure_ttl, self._settings.failure_cap, began)
        return Outcome(SERVFAIL, EMPTY, False, reason, now, now)

    def failure(self, question: Question, now: float, *, counts: bool = True) -> Outcome | None:
        """Return the failure of a moment ago, if there was one."""
        failure = self.failures.get(question, now)
        if failure is not None:
            self._failed += counts
        return failure

    def use(self, settings: CacheSettings) -> None:
        """Go by other settings from now on: what is held longer than they allow is dropped, what has no room goes."""
        self._settings = settings
        for question, entry in tuple(self._entries.items()):
            outcome = entry.outcome
            cap = settings.negative_cap if outcome.rcode or not outcome.body.an else settings.ttl_cap
            if outcome.expires - outcome.stored > cap:
                self._forget(self._entries.pop(question))
        self._queue.limit = settings.size
        self._make_room()

    def drop(self, is_altered: IsAltered, labels: Collection[bytes] = ()) -> int:
        """Drop the answers and failures of which `is_altered` is true; return how many answers that were.

        Only answers that have one of the `labels`, if there are any, are looked at closely.
        """
        entries: Iterable[_Entry] = self._entries.values()
        if labels:
            entries = dict.fromkeys(
                entry
                for label in labels
                for entry in entries
                if label in entry.question.name or label in entry.outcome.body.data.lower()
            )
        dropped = [entry.question for entry in entries if is_altered(entry.question.name, entry.outcome.body.data)]
        for question in dropped:
            self._forget(self._entries.pop(question))
        for question in [question for question in self.failures if is_altered(question.name, b"")]:
            self.failures.forget(question)
        return len(dropped)

    def sweep(self, then: float) -> None:
        """Give back the room of failures that did not count any more then.

        Answers stay, as they may be given out stale.
        """
        self.failures.sweep(then)

    def forget_failures(self) -> None:
        """Forget every failure: an upstream is back, or new."""
        self.failures.clear()

    def flush(self, name: bytes, *, below: bool = False) -> list[Question]:
        """Drop what is held of a name, or of a whole domain; return what was dropped."""
        flushed = self._matching(self._entries, name, below=below)
        for question in flushed:
            self._forget(self._entries.pop(question))
        for question in self._matching(self.failures, name, below=below):
            self.failures.forget(question)
        return flushed

    @staticmethod
    def _matching(asks: Iterable[Question], name: bytes, *, below: bool) -> list[Question]:
        return [question for question in asks if question.name == name or (below and is_below(question.name, name))]

    def statistics(self) -> metrics.AnswerCache:
        """Return the cache in numbers."""
        return metrics.AnswerCache(
            entries=len(self._entries),
            failed=len(self.failures),
            denials=self._denials,
            denial_hits=self._denial_hits,
            denials_evicted=self._denials_evicted,
            size=self._queue.size,
            hits=self._hits,
            misses=self._misses,
            failures=self._failed,
            renewals=self._renewals,
            evicted=self._evicted,
        )
