"""Questions over TCP and TLS: persistent connections, many questions on each at once (RFC 7766).

There is one connection for each upstream, as long as it takes all questions. Questions that a connection leaves
unanswered at its end are asked again on another one (`stream_pool`), a bounded number of times.
"""

from collections.abc import Collection

import trio

from dnsserver.forward import outcome as o
from dnsserver.forward.lookup import Attempt
from dnsserver.forward.receiver import BAD_REPLIES, Receiver
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.stream_link import OpenError, Stream
from dnsserver.forward.stream_pool import CONNECTIONS, IDLE_TIME, Connection, Pool, StreamQuery
from dnsserver.forward.upstream import Upstream
from dnsserver.logger import get_logger
from dnsserver.wire.message import EDE
from dnsserver.zone.record import Reason

log = get_logger(__name__)

_CLOSE_TIME = 0.5
_READ = 8192  # one read brings at most some 130 replies, which is 2 ms of work: then others get their turn

_MOST_ASKED = 32_768  # of one upstream at once: half of the IDs


class StreamTransport:
    """All connections to all upstreams; `on_batch_end` is called after each batch of replies."""

    def __init__(self, receiver: Receiver, runtime: Runtime) -> None:
        """Connect to nothing yet."""
        self._receiver = receiver
        self._faults = runtime.faults
        self._entropy = runtime.entropy
        self._clock = runtime.clock
        self._on_batch_end = runtime.on_batch_end
        self._pools: dict[Upstream, Pool] = {}
        self._nursery: trio.Nursery | None = None

    def submit(self, attempt: Attempt, rest: bytes) -> None:
        """Send the attempt once there is a connection; the receiver gets the result later, never within this call."""
        pool = self._pools.get(attempt.upstream)
        if pool is None:
            pool = self._pools[attempt.upstream] = Pool(attempt.upstream)
        pool.sweep(self._clock())
        if len(pool.asked) >= _MOST_ASKED:
            if self._nursery is not None:
                self._nursery.start_soon(self._faults.once, "upstream-stream", self._turn_away, attempt)
            return
        identifier = self._entropy.take(2)
        while identifier in pool.asked:
            identifier = self._entropy.take(2)
        attempt.identifier = identifier
        pool.add(StreamQuery(attempt, identifier + rest, attempt.lookup is not None))
        self._pump(pool)

    async def _turn_away(self, attempt: Attempt) -> None:
        """Fail an attempt for which there is no ID."""
        await trio.lowlevel.checkpoint()
        self._receiver.lost(attempt, o.OVERLOAD, self._clock(), reached=True)
        self._on_batch_end()

    def _pump(self, pool: Pool) -> None:
        """Give questions to connections that have room, and open connections for the other questions."""
        if self._nursery is None:
            return
        now = self._clock()
        while pool.queue:
            question = pool.queue[0]
            if not question.dead:
                connection = pool.place(question, now)
                if connection is None and len(pool.connections) < CONNECTIONS:
                    connection = Connection(now)
                    pool.connections.append(connection)
                    self._nursery.start_soon(self._faults.once, "upstream-stream", self._serve, pool, connection)
                if connection is None:
                    return
                connection.put(question, now)
            else:
                pool.forget(question)
            pool.queue.popleft()

    async def run(self) -> None:
        """Hold the connections, for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for pool in self._pools.values():
                self._pump(pool)
            await trio.sleep_forever()

    def sweep(self, present: Collection[Upstream]) -> None:
        """Forget upstreams without open questions that no route names any more."""
        for upstream in [upstream for upstream in self._pools if upstream not in present]:
            if not self._pools[upstream].connections and not self._pools[upstream].queue:
                del self._pools[upstream]

    def authorities_changed(self, file: str) -> None:
        """Have upstreams whose authorities are in this file show their certificates again, on new connections."""
        for upstream, pool in self._pools.items():
            if upstream.spec.authorities == file:
                pool.opener.doubt_authorities()
                self.drop(upstream)

    def drop(self, upstream: Upstream) -> None:
        """End the connections to an upstream that went silent; what it still owes is asked on new ones."""
        pool = self._pools.get(upstream)
        for connection in pool.connections if pool is not None else ():
            if connection.open:
                connection.drop()

    async def _serve(self, pool: Pool, connection: Connection) -> None:
        """Open a connection and use it until it ends."""
        why: Reason | None = None
        try:
            with connection.scope:
                stream = await pool.opener.open()
                connection.open = True
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(connection.write, stream)
                        await self._read(pool, connection, stream)
                        nursery.cancel_scope.cancel()
                finally:
                    connection.ended = True
                    with trio.move_on_after(_CLOSE_TIME):
                        await stream.aclose()
        except* OpenError as group:
            why = next(e.reason for e in group.exceptions if isinstance(e, OpenError))
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            log.debug("upstream connection ended", upstream=pool.upstream.name, error=repr(group.exceptions[0]))
        except* Exception as group:
            self._faults.took("upstream-stream", group, upstream=pool.upstream.name)
        finally:
            pool.connections.remove(connection)
        now = self._clock()
        if why is not None:
            for question in connection.waiting.values():
                self._lose(pool, question, why, now, reached=False)
        else:
            pool.learn(connection, now)
            self._ask_again(pool, connection, now)
        self._pump(pool)
        self._on_batch_end()

    def _ask_again(self, pool: Pool, connection: Connection, now: float) -> None:
        """Queue the questions that a connection left unanswered, except those that have lost too many connections."""
        alone = connection.sent == 1 and not connection.answered and not connection.dropped
        most, most_alone = pool.most_lost(connection)
        again = []
        for question in connection.waiting.values():
            question.lost += 1
            question.alone += alone
            if question.dead:
                pool.forget(question)
            elif question.alone >= most_alone or question.lost >= most or not question.wanted:
                code, kind = o.CLOSED, "closes connections without an answer"
                if connection.bad:
                    code, kind = o.UPSTREAM_FORMAT.code, "sends what is no answer"
                why = Reason(code, EDE.NETWORK_ERROR, f"{pool.upstream.name}: it {kind}")
                self._lose(pool, question, why, now, reached=True)
            else:
                again.append(question)
        pool.queue.extendleft(reversed(again))

    def _lose(self, pool: Pool, question: StreamQuery, why: Reason, now: float, *, reached: bool) -> None:
        pool.forget(question)
        self._receiver.lost(question.attempt, why, now, reached=reached)

    async def _read(self, pool: Pool, connection: Connection, stream: Stream) -> None:
        """Receive replies until the peer closes, is silent for too long, or sends invalid data."""
        buffer = bytearray()
        while connection.bad < BAD_REPLIES:
            data: bytes | None = None
            with trio.move_on_after(connection.read_timeout(pool.limit)):
                data = bytes(await stream.receive_some(_READ))
            now = self._clock()
            if data is None:
                if not self._is_worth_waiting(pool, connection, now):
                    return
                continue
            if not data:
                return
            buffer += data
            while len(buffer) >= 2 and len(buffer) >= 2 + (size := int.from_bytes(buffer[:2])):
                message = bytes(buffer[2 : 2 + size])
                del buffer[: 2 + size]
                self._take(pool, connection, message, now, stream)
            self._on_batch_end()

    def _is_worth_waiting(self, pool: Pool, connection: Connection, now: float) -> bool:
        """Handle a silence; return False if the connection is of no more use."""
        if connection.waiting and connection.spoilt:
            self._give_up_spoilt(pool, connection, now)
            return connection.bad < BAD_REPLIES
        if connection.waiting:
            connection.stalled = all(question.dead for question in connection.waiting.values())
            return not connection.stalled and now < max(connection.heard, connection.busy_since) + IDLE_TIME
        if connection.is_used_up(pool.limit) and not pool.leaves_open:
            pool.takes_more(connection)
            self._pump(pool)
            return True
        return False

    def _give_up_spoilt(self, pool: Pool, connection: Connection, now: float) -> None:
        """Fail the questions that got only a wrong reply; if there are none, give up the whole connection."""
        connection.spoilt = False
        spoilt = [question for question in connection.waiting.values() if question.spoilt]
        if not spoilt:
            connection.bad = BAD_REPLIES
        for question in spoilt:
            del connection.waiting[question.message[:2]]
            self._lose(pool, question, o.UPSTREAM_FORMAT, now, reached=True)
        self._on_batch_end()

    def _take(self, pool: Pool, connection: Connection, message: bytes, now: float, stream: Stream) -> None:
        """Give a reply to its question. Off-path attackers cannot reach a stream, so this only checks for mistakes."""
        question = connection.waiting.get(message[:2])
        try:
            kind = self._judge(question, message, now)
        except Exception as error:  # it must not cost the others theirs; this question times out
            self._faults.took("upstream-reply", error, upstream=pool.upstream.name)
            kind = None
        if kind is None and question is not None:
            connection.waiting.pop(message[:2], None)  # a sweep within the judgement may have taken it
            connection.took(now)
            pool.took(question, now)
            if connection.answered == 1:
                pool.opener.keep_session(stream)
            return
        pool.upstream.sent_rubbish(kind or "malformed")
        connection.bad += 1
        connection.spoilt = connection.spoilt or question is not None or not connection.answered
        if question is not None:
            question.spoilt = True

    def _judge(self, question: StreamQuery | None, message: bytes, now: float) -> str | None:
        """Return what is wrong with a reply; None if the reply was accepted."""
        if question is None or len(message) < 12:
            return "id" if len(message) >= 12 else "malformed"
        attempt = question.attempt
        if message[2] & 0xF8 != 0x80:
            return "not-a-reply"
        if self._receiver.errored(attempt, message, now):
            return None
        if message[4:6] != b"\0\1":
            return "not-a-reply"
        if message[12 : 12 + len(attempt.section)].lower() != attempt.section.lower():
            return "question"
        return None if self._receiver.replied(attempt, message, now) else "malformed"
