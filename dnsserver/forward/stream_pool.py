"""The connections to one upstream, the questions on them, and how many a connection takes. It opens no socket.

An upstream may close a connection while questions are unanswered, or never answer them. The pool learns how many
questions a connection answers before that, and then puts only so many on each of several connections. After a while it
forgets this again.
"""

from collections import deque

import msgspec
import trio

from dnsserver.forward.lookup import Attempt
from dnsserver.forward.receiver import FORGET_AFTER
from dnsserver.forward.stream_link import Opener, Stream
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger

log = get_logger(__name__)

CONNECTIONS = 16  # at once to one upstream that takes only so many questions on each
IDLE_TIME = 10.0
_SPARE = 4  # of the connections for questions asked again because one connection is slow

# An upstream closes right behind its last answer. One that has not by then takes more than was thought.
_CLOSES_WITHIN = 0.2
_LEARNT_FOR = 60.0
_SUSPECTED_FOR = 10.0  # that it leaves questions for good: it may have been slow
_MOST_LEARNT = 128
_AT_ONCE = 0.5  # a connection that was silent for longer was closed because of that
_LOOK = 1.0  # between two looks whether anybody waits still
_CONFUSED = 0.25  # how long the right reply may follow on a wrong one
_SWEEP_AT = 256

# Connections that may end under a question, and that had nothing but this question and answered nothing. Many ends of
# connections without an answer in a row, and one is enough; and where that happens to several questions while others
# are answered, it is not the question that is odd: half of all connections may end so.
_LOST = 6
_LOST_ALONE = 3
_FRUITLESS = 2 * CONNECTIONS
_UNLUCKY = 3
_LOST_UNLUCKY = 16


class StreamQuery(msgspec.Struct, gc=False, eq=False):
    """What is asked, of somebody who waits (`wanted`) or for a probe.

    `lost` and `alone` count the connections that ended under it. `elsewhere` is the same question on a connection that
    is late with it, `spoilt` says that a wrong reply came, `on` where it was sent.
    """

    attempt: Attempt
    message: bytes
    wanted: bool
    elsewhere: "StreamQuery | None" = None
    on: "Connection | None" = None
    spoilt: bool = False
    lost: int = 0
    alone: int = 0

    @property
    def dead(self) -> bool:
        """Nobody waits for it any more."""
        return self.wanted and self.attempt.lookup is None


class Pool:
    """All that is asked of one upstream over streams, and the connections for it.

    `limit` is how many questions a connection takes, as far as closed ones have shown; None is any number.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.opener = Opener(upstream)
        self.asked: dict[bytes, StreamQuery] = {}
        self.queue: deque[StreamQuery] = deque()
        self.connections: list[Connection] = []
        self.limit: int | None = None
        self._fruitless = 0  # connections in a row that ended without an answer
        self._unlucky: deque[bytes] = deque(maxlen=CONNECTIONS)  # what was asked alone on those that did so lately
        self.leaves_open = False  # it leaves connections open that it answers nothing on any more
        self._forget_at = 0.0
        self._sweep_at = _SWEEP_AT

    def add(self, question: StreamQuery) -> None:
        """Queue a question; one of the same lookup that is under way says which connection is slow."""
        lookup = question.attempt.lookup
        if lookup is not None:
            others = (self.asked.get(attempt.identifier) for attempt in lookup.attempts)
            question.elsewhere = next((o for o in others if o is not None and o.attempt.lookup is lookup), None)
        self.asked[question.message[:2]] = question
        self.queue.append(question)

    def forget(self, question: StreamQuery) -> None:
        """Forget a question."""
        self.asked.pop(question.message[:2], None)
        question.elsewhere = question.on = None

    def sweep(self, now: float) -> None:
        """Forget, now and then, what nobody waits for any more: a silent name's question would be kept for ever."""
        if len(self.asked) < self._sweep_at:
            return
        for connection in self.connections:
            for identifier, question in list(connection.waiting.items()):
                if question.dead and question.attempt.sent + FORGET_AFTER < now:
                    del connection.waiting[identifier]
                    self.forget(question)
        for question in [question for question in self.queue if question.dead]:
            self.queue.remove(question)
            self.forget(question)
        self._sweep_at = max(_SWEEP_AT, 2 * len(self.asked))

    def place(self, question: StreamQuery, now: float) -> "Connection | None":
        """Return the connection to ask on, None for a new one."""
        if self.limit is not None and now > self._forget_at:
            self.limit = None
        free = [connection for connection in self.connections if not connection.is_used_up(self.limit)]
        if question.elsewhere is not None and len(self.connections) < _SPARE:
            free = [connection for connection in free if not connection.waiting]
        return max(free, key=lambda connection: (not connection.spoilt, connection.heard), default=None)

    def learn(self, connection: "Connection", now: float) -> None:
        """Record how many questions a connection took before it ended under others, or left them for good."""
        if not connection.answered and connection.sent and not connection.dropped and not connection.stalled:
            self._fruitless += 1
            if connection.sent == 1 and not connection.bad:
                self._unlucky += [question.attempt.section for question in connection.waiting.values()]
        idle = connection.answered and connection.busy_since > connection.heard + _AT_ONCE
        if connection.waiting and connection.sent > 1 and not (connection.dropped or connection.stalled or idle):
            self._set_limit(max(1, connection.answered), now, leaves_open=False)

    def most_lost(self, connection: "Connection") -> tuple[int, int]:
        """Return how many connections may end under a question, and how many that it had for itself.

        One less where it is nonsense that came.
        """
        if self._fruitless >= _FRUITLESS:
            return _LOST, 1
        if len(set(self._unlucky)) >= _UNLUCKY:
            return 2 * _LOST_UNLUCKY, _LOST_UNLUCKY
        return _LOST, _LOST_ALONE - bool(connection.bad)

    def _set_limit(self, limit: int, now: float, *, leaves_open: bool) -> int:
        if self.limit is None:
            log.info("upstream answers few questions on a connection", upstream=self.upstream.name, questions=limit)
        self.limit = limit if self.limit is None else min(self.limit, limit)
        self.leaves_open = leaves_open
        self._forget_at = now + (_SUSPECTED_FOR if leaves_open else _LEARNT_FOR)
        return self.limit

    def takes_more(self, connection: "Connection") -> None:
        """Record that a connection stayed open behind what was thought to be its last answer."""
        if self.limit is not None and connection.sent >= self.limit:
            self.limit = 2 * self.limit if self.limit < _MOST_LEARNT else None

    def took(self, question: StreamQuery, now: float) -> None:
        """Record an answer; a connection that is late with what others answer, twice, has left the rest for good."""
        self._fruitless = 0
        slow = question.elsewhere.on if question.elsewhere is not None else None
        self.forget(question)
        if slow is None or slow.ended:
            return
        slow.overtaken += 1
        if slow.overtaken > 1:
            limit = self._set_limit(max(1, slow.answered), now, leaves_open=True)
            for connection in self.connections:
                if connection.waiting and connection.sent > limit and not connection.ended:
                    connection.drop()


class Connection:
    """One connection, being opened or open: the questions on it, and how it has done."""

    def __init__(self, now: float) -> None:
        self.waiting: dict[bytes, StreamQuery] = {}
        self.scope = trio.CancelScope()
        self.open = False
        self.ended = False
        self.dropped = False
        self.stalled = False
        self.spoilt = False
        self.sent = self.answered = self.overtaken = self.bad = 0
        self.heard = self.busy_since = now
        self._unsent: list[bytes] = []
        self._wake = trio.Event()

    def is_used_up(self, limit: int | None) -> bool:
        """Tell whether it has been asked all that it takes."""
        return self.ended or (limit is not None and self.sent >= limit)

    def put(self, question: StreamQuery, now: float) -> None:
        """Send a question as soon as the connection is open."""
        if not self.waiting:
            self.busy_since = now
        self.waiting[question.message[:2]] = question
        question.on = self
        self.sent += 1
        self._unsent.append(len(question.message).to_bytes(2) + question.message)
        self._wake.set()

    def drop(self) -> None:
        """End it, although it is not closed; nothing is learnt from that."""
        self.dropped = self.ended = True
        self.scope.cancel()

    def took(self, now: float) -> None:
        """Record an answer."""
        self.answered += 1
        self.bad = 0
        self.heard = now
        if self.spoilt:
            self.spoilt = any(question.spoilt for question in self.waiting.values())

    def read_timeout(self, limit: int | None) -> float:
        """How many seconds of silence are worth a thought."""
        if not self.waiting:
            return _CLOSES_WITHIN if self.is_used_up(limit) else IDLE_TIME
        return _CONFUSED if self.spoilt else _LOOK

    async def write(self, stream: Stream) -> None:
        """Send what there is to send, all of it at once, for ever."""
        while True:
            self._wake = trio.Event()
            unsent, self._unsent = self._unsent, []
            if unsent:
                await stream.send_all(b"".join(unsent))
            if not self._unsent:
                await self._wake.wait()
