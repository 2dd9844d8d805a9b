"""UDP: wait for packets, answer them in batches, let the others run.

While packets of many come faster than they are answered, a known reply goes first: what is not known is put off, and
answered after the socket was looked at, cluster names before outside names and the newest question first, each for a
bounded part of the turn. So a flood of questions that are dear costs those nothing whose questions are cheap.
"""

import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import trio

from dnsserver.logger import get_logger
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.backlog import STUB_TIMEOUT, LateQuestions, catch_up
from dnsserver.server.batch import BatchPort
from dnsserver.server.last_packets import has_waiting
from dnsserver.server.respond import Responder
from dnsserver.server.udp_port import Screen, UdpPort
from dnsserver.server.unbatched import UnbatchedPort

log = get_logger(__name__)

# Seconds of answering before other tasks get their turn, whatever an answer costs. A turn costs one wake-up, 9 µs or
# 0.5 % of it; with both address families flooded a timer was 5 ms of processor time late at most (9 ms at 0.004).
_TURN = 0.002
_REST = 0.01  # seconds of silence after a turn that failed, lest it fails a thousand times a second
# After a single packet no more are looked for: most often there are none, and the look costs 1.8 us. Under load there
# are some, and finding them spares a wake-up of 15 us: 0.15 us a query less than with 8 here.
_FEW = 2
_BEHIND = 3  # full turns in a row: a burst that a batch or two takes in is answered as it came
RECEIVE_BUFFER = 2 * 1024 * 1024
SEND_BUFFER = 512 * 1024
# The first lane is as large as the socket for everybody: one client alone that asks nearly as much as can be answered,
# a resolver in front, must not lose anything for having a lane (1 to 3 % at 100,000/s with the buffers of the others).
LANE_RECEIVE_BUFFER = 256 * 1024  # some 700 questions, as the kernel doubles it: what is answered in 4 ms
LANE_SEND_BUFFER = 64 * 1024
_STOOD_STILL = STUB_TIMEOUT + 2.0  # seconds, after which questions are looked at for who has given up
FAMILIES = {socket.AF_INET: "1", socket.AF_INET6: "2"}
# IP_MTU_DISCOVER, IP_PMTUDISC_OMIT (linux/in.h): nobody makes us send fragments with a forged ICMP message (RFC 9715).
_NO_FRAGMENTS = (socket.IPPROTO_IP, 10, 5)
# IP_FREEBIND, IPV6_FREEBIND (linux/in.h, linux/in6.h): an address that no interface has can be bound. No privilege.
FREE_BIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}


def bind(host: str, port: int, *, reuse_port: bool = False, lane: int = 0, free: bool = False) -> socket.socket:
    """Return a bound, non-blocking UDP socket; raises OSError. Lanes but the first one have smaller buffers.

    `free` is for an address that this machine need not have yet.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if free:
            sock.setsockopt(*FREE_BIND[family], 1)
        if family == socket.AF_INET:
            with suppress(OSError):  # another system than Linux
                sock.setsockopt(*_NO_FRAGMENTS)
        # A burst has to wait somewhere; the kernel grants what net.core.rmem_max allows.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LANE_RECEIVE_BUFFER if lane > 1 else RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LANE_SEND_BUFFER if lane > 1 else SEND_BUFFER)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def make_port(sock: socket.socket, table: ReplyTable, screen: Screen) -> UdpPort:
    """Return the fastest port that this system has for a bound, non-blocking UDP socket."""
    if sys.platform == "linux" and sys.maxsize > 2**32 and sys.implementation.name == "cpython":
        return BatchPort(sock, table, screen)
    return UnbatchedPort(sock, table, screen)


class UdpServer:
    """Answers the packets of one UDP socket."""

    def __init__(
        self,
        sock: socket.socket,
        responder: Responder,
        table: ReplyTable | None = None,
        *,
        domain: bytes = b"\0",
        is_lane: bool = False,
        on_behind: Callable[[UdpPort, int], None] | None = None,
    ) -> None:
        """Take over a bound socket.

        Other sockets may share its `table` of replies. `domain` is the cluster's. Who has a lane takes from nobody
        else, so nothing of a lane is put off. `on_behind` hears of each turn at whose end packets were still waiting,
        and how many were read last.
        """
        self.sock = sock
        self._clock = responder.clock
        self._faults = responder.faults
        self._responder = responder
        self._outside = responder.outside
        self._standstill = responder.standstill
        table = table or responder.replies.add_table("udp", FAMILIES[sock.family])
        self.port: UdpPort = make_port(sock, table, responder)
        self._on_behind = on_behind
        self._is_lane = is_lane
        self._resting: trio.Event | None = None
        self._late = LateQuestions(responder, self.port, domain)
        self._countdown = responder.sampler.countdown()
        self._dropped_before = _kernel_drops(sock)  # while another process read it
        self._kernel_dropped = 0

    def reconfigure(self) -> None:
        """Use the responder's guard, which may have changed."""
        self.port.use_guard(self._responder.guard)

    @property
    def is_behind(self) -> bool:
        """Whether packets wait that were not answered: in the socket's buffer, or as there were too many at once."""
        return has_waiting(self.sock) or bool(self._late.waiting)

    def rest(self, does: bool) -> None:
        """Read nothing new from now on, because another process reads this socket; or read again."""
        if does:
            self._resting = self._resting or trio.Event()
        elif self._resting is not None:
            self._resting.set()
            self._resting = None

    async def run(self) -> None:
        """Answer until cancelled, then close the socket."""
        listeners = self._standstill.listeners
        listeners.append(self._drop_late)
        try:
            async with trio.open_nursery() as nursery:  # in a task of its own, no wake-up goes through this one
                nursery.start_soon(self._answer)
        finally:
            listeners.remove(self._drop_late)

    def _drop_late(self, seconds: float) -> None:
        """Drop the waiting packets that are too old, after the process stood still for so long."""
        if seconds <= _STOOD_STILL:
            return
        try:
            dropped = catch_up(self.port, self._responder, seconds, self._clock())
        except Exception as error:
            self._faults.took("udp", error)
        else:
            self._late.dropped += dropped
            log.warning(
                "the process stood still, late questions were dropped", seconds=round(seconds, 1), count=dropped
            )

    async def _answer(self) -> None:
        port, responder = self.port, self._responder
        serve_batch, durations = port.serve_batch, port.table.durations
        outside, cork, clock, late = self._outside, self._outside.cork, self._clock, self._late
        countdown, sampled, standstill = self._countdown, port.sampled, self._standstill
        full = 0  # turns in a row at whose end packets were waiting
        with self.sock:
            while True:
                if late.waiting:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self.sock)
                if self._resting is not None:
                    if late.waiting:
                        self._answer_late()
                    else:
                        await self._resting.wait()
                    continue
                try:
                    now = clock()
                    if now > standstill.due:
                        await standstill.over()
                        continue
                    miss = responder.miss if full < _BEHIND or self._is_lane else late.put_off
                    end = now + _TURN
                    cork.on = True
                    while now < end:
                        count = serve_batch(miss, now)
                        if not count:
                            break
                        before, now = now, clock()
                        answered = count - port.unanswered
                        if answered:
                            durations.observe_many(now - before, answered)
                        countdown.left -= count
                        if countdown.left <= 0:
                            countdown.take(count, sampled)
                        if count < _FEW:
                            break
                    full = full + 1 if now >= end and count >= _FEW else 0
                    if full and self._on_behind is not None:
                        self._on_behind(self.port, count)
                    if late.waiting:
                        late.answer()
                    cork.on = False
                    if cork.queries:
                        outside.uncork()
                except Exception as error:
                    self._faults.took("udp", error)
                    await self._recover()

    def _answer_late(self) -> None:
        """Answer what was put off before another process came to read this socket."""
        try:
            self._late.answer()
        except Exception as error:
            self._faults.took("udp", error)

    async def _recover(self) -> None:
        """Finish the work that a failed turn has left."""
        for step in (self._outside.uncork, self.port.flush):
            try:
                step()
            except Exception as error:
                self._faults.took("udp", error)
        await trio.sleep(_REST)

    @property
    def dropped(self) -> int:
        """How many questions were given up because they had waited while others were answered, or the process stood."""
        return self._late.dropped

    def kernel_drops(self) -> int:
        """Return how many packets the kernel dropped because the buffer was full, since the socket was taken over.

        Once the socket is closed, this is what it was the last time; 0 where the kernel does not say.
        """
        self._kernel_dropped = max(self._kernel_dropped, _kernel_drops(self.sock) - self._dropped_before)
        return self._kernel_dropped


def _kernel_drops(sock: socket.socket) -> int:
    """Return how many packets a socket's full buffer has cost, whoever read it; 0 where the kernel does not say."""
    so_meminfo, drops_field = 55, 8  # asm-generic/socket.h, linux/sock_diag.h
    try:
        info = sock.getsockopt(socket.SOL_SOCKET, so_meminfo, 4 * 9)
    except OSError:
        return 0
    return int.from_bytes(info[4 * drops_field : 4 * drops_field + 4], "little") if len(info) >= 36 else 0
