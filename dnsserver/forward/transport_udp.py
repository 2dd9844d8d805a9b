"""Questions over UDP: many short-lived sockets, one epoll for all of them, and no task for any question.

Each socket is connected, so the kernel drops what comes from anywhere but the upstream, reports a closed port at once,
and spares us an address per packet. It picks the port from its own random source, out of the ephemeral range: a port
chosen here could be one that a server on this node wants. A socket costs 10 us from open to close, so each serves a few
questions; they take turns, and so no two questions in a row share one.
"""

import select
import socket
from collections import deque
from collections.abc import Callable

import msgspec
import trio

from dnsserver.forward.lookup import Attempt
from dnsserver.forward.outcome import Cork
from dnsserver.forward.receiver import BAD_REPLIES, FORGET_AFTER, Receiver
from dnsserver.forward.runtime import Runtime
from dnsserver.forward.upstream import Upstream

PORTS = 64  # open at once for each upstream, and as many again that only wait for their last replies
QUESTIONS = 16
LIFETIME = 10.0
MOST_WAITING = 512  # queries on one socket, but for those that are recent or whose question is still open
ALL_WAITING = 4096  # the same on all sockets, which share it; of the recent ones as many again
RECENT = 1.0
_NOW_AND_THEN = 16

NEAR = 0.0003  # seconds of a round trip, the time to write a query and to read the reply included
BUSY_POLLS = 100  # half a microsecond to one each
_MOST_SKIPPED_POLLS = 1024

SKIP_POLLS = 8  # after a poll that was in vain
_BATCH = 64  # replies taken before the clock is looked at: some 1 ms
_ROUNDS = 16
_TURN, _LONGEST_TURN = 0.002, 0.02  # seconds of replies before others get their turn; the second one after a stall
_RECEIVE = 4096
_NEVER = float("inf")


class UpstreamSocket(msgspec.Struct, eq=False):
    """One socket, connected to an upstream, and the queries that wait for their replies on it, by ID.

    Of `bad` replies nobody asked for, but for as many as queries were `forgotten`: an upstream may answer late.
    """

    sock: socket.socket
    upstream: Upstream
    opened: float
    send: Callable[[bytes], int]
    recv: Callable[[int], bytes]
    waiting: dict[bytes, Attempt] = {}
    left: int = QUESTIONS
    retired: bool = False
    bad: int = 0
    forgotten: int = 0

    def forget_ended(self, now: float, most: int) -> None:
        """Make room where an upstream is silent: what has ended elsewhere needs its reply least, what is old less."""
        ended = [key for key, attempt in self.waiting.items() if attempt.lookup is None]
        for key in ended[: max(0, len(ended) - most)]:
            self.forget(key)
        for key in ended[-most:]:
            if self.waiting[key].sent + RECENT < now:
                self.forget(key)

    def forget(self, identifier: bytes) -> None:
        """Wait for a reply no longer."""
        del self.waiting[identifier]
        self.forgotten += 1


class Sockets:
    """One upstream's sockets, by turns: `ports` take questions still, `retired` ones only wait for replies.

    `polls_to_skip` is the number of queries to go before the reply to one is polled for at once again, `skip_next` what
    it will be when that is in vain.
    """

    __slots__ = ("polls_to_skip", "ports", "retired", "skip_next")

    def __init__(self) -> None:
        """Begin with none."""
        self.ports: deque[UpstreamSocket] = deque()
        self.retired = 0
        self.polls_to_skip = 0
        self.skip_next = SKIP_POLLS


class UdpTransport:
    """All UDP sockets to all upstreams, in `sockets`; `on_batch_end` is called after each batch of replies."""

    def __init__(self, receiver: Receiver, runtime: Runtime) -> None:
        """Open nothing yet but the epoll."""
        self._receiver = receiver
        self._faults = runtime.faults
        self._entropy = runtime.entropy
        self._clock = runtime.clock
        self._on_batch_end = runtime.on_batch_end
        self._epoll = select.epoll()
        self._ports: dict[int, UpstreamSocket] = {}
        self.sockets: dict[Upstream, Sockets] = {}
        self._most_waiting = MOST_WAITING
        self.cork = Cork()
        self._replied = receiver.replied

    def send(self, attempt: Attempt, rest: bytes, now: float) -> OSError | None:
        """Send the attempt's ID and `rest`, another one if that is taken; return why the system refuses, or None."""
        upstream = attempt.upstream
        sockets = self.sockets.get(upstream)
        if sockets is None:
            sockets = self.sockets[upstream] = Sockets()
        ports = sockets.ports
        try:
            port = ports[0] if len(ports) >= PORTS else self._open(upstream, ports, now)
        except OSError as error:  # out of descriptors, mostly: the sockets that are there must do
            if not ports:
                return error
            port = ports[0]
        ports.rotate(-1)
        waiting = port.waiting
        identifier = attempt.identifier
        while identifier in waiting:
            attempt.identifier = identifier = self._entropy.take(2)
        waiting[identifier] = attempt
        if len(waiting) > self._most_waiting and not len(waiting) % _NOW_AND_THEN:
            port.forget_ended(now, self._most_waiting)
        port.left = left = port.left - 1
        # While an upstream is silent its sockets wait for replies that do not come: then their number is the limit.
        if left <= 0 and sockets.retired < PORTS:
            ports.pop()
            port.retired = True
            sockets.retired += 1
        query, cork = identifier + rest, self.cork
        if cork.on:
            cork.queries.append((port, query))
            return None
        try:
            port.send(query)
        except OSError as error:
            return self._send_again(port, query, error)
        return None

    def _send_again(self, port: UpstreamSocket, query: bytes, error: OSError) -> OSError | None:
        """Send a query again that failed with `error`, if that was about an earlier packet. Return the error left."""
        if isinstance(error, ConnectionRefusedError):
            try:
                port.send(query)
            except OSError as again:
                error = again
            else:
                return None
        del port.waiting[query[:2]]
        return error

    def uncork(self) -> None:
        """Send what was held back; the reply to a single query to an upstream close by is waited for at once."""
        self.cork.on = False
        queries, self.cork.queries = self.cork.queries, []
        for port, query in queries:
            try:
                port.send(query)
            except OSError as error:
                attempt = port.waiting[query[:2]]
                refusal = self._send_again(port, query, error)
                if refusal is not None:
                    self._receiver.unreachable(attempt, refusal, self._clock())
        if len(queries) == 1:
            self._busy_poll(queries[0][0].upstream)

    def _busy_poll(self, upstream: Upstream) -> None:
        """Wait for the reply of a near upstream, which is about to arrive.

        One turn of the event loop takes 50 us, and the reply would come within that time. Where one name is asked after
        the other (`python -m tests.bench.forward`), a lookup costs 148 us of processor time with this and 162 without,
        and takes a seventh less time. If no reply came, the next 8 queries are not polled for, then 16, and so on.
        """
        sockets = self.sockets[upstream]
        if sockets.polls_to_skip:
            sockets.polls_to_skip -= 1
        elif 0 < upstream.health.rtt < NEAR:
            for _ in range(BUSY_POLLS):
                if self._epoll.poll(0):
                    self.drain()
                    sockets.skip_next = SKIP_POLLS
                    return
            sockets.polls_to_skip = sockets.skip_next
            sockets.skip_next = min(2 * sockets.skip_next, _MOST_SKIPPED_POLLS)

    def _open(self, upstream: Upstream, ports: deque[UpstreamSocket], now: float) -> UpstreamSocket:
        """Open one more socket to the upstream; raises OSError."""
        family = socket.AF_INET6 if ":" in upstream.address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.connect(upstream.socket_address() if upstream.zone else upstream.address)
            descriptor = sock.fileno()
            self._epoll.register(descriptor, select.EPOLLIN)
        except OSError:
            sock.close()
            raise
        self._ports[descriptor] = port = UpstreamSocket(sock, upstream, now, sock.send, sock.recv)
        self._most_waiting = min(MOST_WAITING, ALL_WAITING // len(self._ports))
        ports.appendleft(port)
        return port

    def _close(self, port: UpstreamSocket) -> None:
        self._ports.pop(port.sock.fileno(), None)
        sockets = self.sockets[port.upstream]
        if port.retired:
            sockets.retired -= 1
        else:
            sockets.ports.remove(port)
        port.sock.close()

    async def run(self) -> None:
        """Receive replies for ever."""
        descriptor = self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(descriptor)
            self.drain()

    def drain(self, late: float = 0.0) -> None:
        """Receive the replies that are there, as many as there is time for: more when the process stood still.

        It is so many seconds `late`.
        """
        poll = self._epoll.poll
        ports = self._ports
        receive = self._receive
        end = _NEVER
        for _ in range(_ROUNDS):
            events = poll(0, _BATCH)
            if not events:
                break
            now = self._clock()
            if now >= end:  # epoll reports these again
                break
            if end == _NEVER:
                end = now + min(_LONGEST_TURN, max(_TURN, late))
            for ready, _ in events:
                port = ports.get(ready)
                if port is None:  # closed by an earlier one of this batch
                    continue
                try:
                    receive(port, now)
                except Exception as error:  # it must not cost the others theirs; this question times out
                    self._faults.took("upstream-reply", error, upstream=port.upstream.name)
            self._on_batch_end()

    def _receive(self, port: UpstreamSocket, now: float) -> None:
        """Take one reply from a socket; if there are more, epoll reports the socket again."""
        try:
            reply = port.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._refused(port, error, now)
            return
        attempt = port.waiting.pop(reply[:2], None)
        if attempt is None:
            if len(reply) < 12:
                self._reject(port, "malformed", now)
            elif port.forgotten:
                port.forgotten -= 1
            else:
                self._reject(port, "id", now)
            return
        # The question; QR, opcode 0, which is the 3rd octet less AA, TC, RD; QDCOUNT.
        if reply.startswith(attempt.section, 12) and reply[2] & 0xF8 == 0x80 and reply.startswith(b"\0\1", 4):
            if self._replied(attempt, reply, now):
                if port.retired and not port.waiting:
                    self._close(port)
                return
            kind = "malformed"
        elif self._receiver.errored(attempt, reply, now):
            if port.retired and not port.waiting:
                self._close(port)
            return
        elif len(reply) < 12:
            kind = "malformed"
        elif reply[2] & 0xF8 != 0x80:
            kind = "not-a-reply"
        elif reply[12 : 12 + len(attempt.section)].lower() == attempt.section.lower():
            kind = "case"
        else:
            kind = "question"
        port.waiting[reply[:2]] = attempt
        if kind == "case":
            self._receiver.case_mismatch(attempt, now)
        self._reject(port, kind, now)

    def _reject(self, port: UpstreamSocket, kind: str, now: float) -> None:
        """Count a reply to no question; ten of them mean that somebody guesses, and all questions here go over TCP."""
        port.upstream.sent_rubbish(kind)
        port.bad += 1
        for attempt in port.waiting.values():
            attempt.spoil()
        if port.bad >= BAD_REPLIES and port.waiting:
            self._close(port)
            for attempt in list(port.waiting.values()):
                self._receiver.too_many_bad_replies(attempt, now)

    def _refused(self, port: UpstreamSocket, error: OSError, now: float) -> None:
        """Fail the questions: the upstream's host says that nobody listens, or the network that there is no route."""
        self._close(port)
        for attempt in list(port.waiting.values()):
            self._receiver.unreachable(attempt, error, now)

    def sweep(self, now: float) -> None:
        """Forget queries that nobody can be waiting for any more, and close sockets that are old or done."""
        for port in list(self._ports.values()):
            waiting = port.waiting
            if waiting:
                for identifier in [i for i, attempt in waiting.items() if attempt.sent + FORGET_AFTER < now]:
                    port.forget(identifier)
            if not waiting and (port.retired or port.opened + LIFETIME < now):
                self._close(port)
        for upstream in [upstream for upstream, s in self.sockets.items() if not s.ports and not s.retired]:
            del self.sockets[upstream]  # it may have been replaced

    def close(self) -> None:
        """Close every socket."""
        for port in list(self._ports.values()):
            self._close(port)
        self._epoll.close()
