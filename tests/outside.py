"""The outside for tests without sockets: it replaces the forwarder, below all parts that answer.

Upstreams with sockets are `tests.forward.scripted`, and `tests.upstream` for a whole zone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dns.rrset
import trio

from dnsserver.forward.outcome import FORWARDED, UPSTREAM_TIMEOUT, Cork, Outcome, Question, Waiter
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import Body, RRset
from dnsserver.wire.reply import whole_body
from dnsserver.zone.record import Reason

Tell = Callable[[Question, float], Outcome | None]
Late = bool | Callable[[Question], bool]


def rrset(line: str) -> RRset:
    """Return the RRset that a line of a master file shows, as the server has it."""
    owner, ttl, _, type_, data = line.split(" ", 4)
    found = dns.rrset.from_text(owner, int(ttl), "IN", type_, data)
    return RRset(
        names.from_text(owner).lower(), int(found.rdtype), found.ttl, tuple(rdata.to_wire() for rdata in found)
    )


def text(ask: Question) -> str:
    """Return a question as `name. TYPE`."""
    return f"{names.to_text(ask.name)} {m.type_name(ask.type)}"


class Outside:
    """Knows what `tell` returns, or else what is in `known`; names in `late` are answered only on the test's command.

    All other questions wait until the test answers them.
    """

    def __init__(self, tell: Tell | None = None, *, late: Late = False) -> None:
        self.cork = Cork()
        self.known: dict[Question, Outcome] = {}
        self.said: dict[Question, Outcome] = {}
        self.tell: Tell = tell or (lambda ask, _: self.known.get(ask))
        self.late = late
        self.clock: Callable[[], float] = lambda: 0.0
        self.asked: list[tuple[Question, bytes]] = []  # all that was, with the packet that goes out
        self.waiting: list[tuple[Question, Waiter]] = []
        self.hits: list[tuple[Question, int]] = []
        self._news = trio.Event()

    # ---- what the server sees

    def answer_now(self, ask: Question, now: float) -> Outcome | None:
        if self.late(ask) if callable(self.late) else self.late:
            return None
        outcome = self.tell(ask, now)
        if outcome is not None:
            self.asked.append((ask, b"at once"))
        return outcome

    def start(self, ask: Question, waiter: Waiter, now: float, packet: bytes = b"") -> None:
        del now
        self.asked.append((ask, packet))
        self.waiting.append((ask, waiter))
        self._news.set()

    def record_hits(self, ask: Question, hits: int = 1) -> None:
        self.hits.append((ask, hits))

    def uncork(self) -> None:
        pass

    # ---- what the test does

    @property
    def open(self) -> list[str]:
        """What waits, as text."""
        return [text(ask) for ask, _ in self.waiting]

    async def wait_asked(self, count: int = 1) -> None:
        """Wait until so many questions wait."""
        while len(self.waiting) < count:
            self._news = trio.Event()
            await self._news.wait()

    def finish(self, tell: Tell | None = None) -> None:
        """Answer all waiting questions, and those that follow from them, with what `tell` returns."""
        while self.waiting:
            ask, waiter = self.waiting.pop(0)
            outcome = (tell or self.tell)(ask, self.clock())
            assert outcome is not None, f"nothing is known of {text(ask)}"
            waiter.deliver(outcome)

    def answer(
        self, *lines: str, authority: Sequence[str] = (), lasts: float | None = None, rcode: int = 0, **more: Any
    ) -> None:
        """Answer the oldest question with these records; it `lasts` as long as its shortest TTL."""
        ask, waiter = self.waiting.pop(0)
        sections = [[rrset(line) for line in section] for section in (lines, authority)]
        body = whole_body(ask.name, *sections)
        if lasts is None:
            lasts = min((found.ttl for section in sections for found in section), default=0)
        self.said[ask] = self.deliver(waiter, body, lasts, rcode, **more)

    def deliver(
        self,
        waiter: Waiter,
        body: Body,
        lasts: float,
        rcode: int = 0,
        *,
        ad: bool = False,
        reason: Reason = FORWARDED,
        follow: str = "",
        age: float = 0,
    ) -> Outcome:
        """Hand an outcome to who waits, and return it."""
        stored = self.clock() - age
        left = names.from_text(follow) if follow else None
        outcome = Outcome(rcode, body, ad, reason, stored, stored + lasts, left)
        waiter.deliver(outcome)
        return outcome

    def fail(self) -> None:
        """Answer the oldest question with a failure."""
        self.answer(rcode=m.SERVFAIL, reason=UPSTREAM_TIMEOUT)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Know meanwhile what was said before, as the cache of outcomes does."""
        self.known = self.said
        yield
        self.known = {}
