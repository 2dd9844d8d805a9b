"""TCP: one task waits for all connections of a listener and drains those that are ready, as `udp` does with packets.

With a task for each connection a query costs 61 µs of processor time, mostly for being woken; this way it is 13 µs,
Unbound's 13 µs in the same run (dnsperf -m tcp -c 100 -q 200).
Another task closes those that are silent, slow to ask or slow to read.
"""

import socket
from collections import Counter
from collections.abc import Iterator
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector, SelectorKey
from typing import Any

import trio

from dnsserver import metrics
from dnsserver.logger import get_logger
from dnsserver.server.connection import Connection, TcpLimits
from dnsserver.server.lanes import Lanes
from dnsserver.server.respond import Responder
from dnsserver.server.room import Room
from dnsserver.server.udp import FAMILIES, FREE_BIND

__all__ = ["TcpLimits", "TcpServer", "listen"]

Ready = tuple[SelectorKey, int]

log = get_logger(__name__)

SEND_BUFFER = 16 * 1024
RECEIVE_BUFFER = 8 * 1024
_BACKLOG = 1024
_ACCEPTS = 16  # connections taken in before those that are there get their turn
_ACCEPTING = 0.001  # seconds after which they get it in any case: where places are scarce, one costs 0.2 ms
_TURN = 0.002  # seconds of answering after which other tasks get theirs
_QUICK = metrics.TIME[0]
_REST = 0.1  # seconds without accepting when the system is out of something
_TICK = 0.05  # seconds that a deadline may be overrun, so that many of them take one look


def listen(host: str, port: int, *, reuse_port: bool = False, free: bool = False) -> socket.socket:
    """Return a listening, non-blocking TCP socket; raises OSError. `free` is as in `udp.bind`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What a connection has in the kernel counts as this server's memory, too, and would grow to 4 MiB by itself.
        # The kernel doubles both; they are inherited like the next one.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # Every write is a whole reply, and must not wait for the last one's acknowledgement. Connections inherit it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if free:
            sock.setsockopt(*FREE_BIND[family], 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class TcpServer:
    """Answers the connections of one listening socket.

    What they may take together is a Room's to say. For one connection too many, the one that has been silent longest is
    closed: its client can expect that at any time (RFC 7766 section 6.2.3) and connects again when it has something to
    ask, while a client that is sent here by a truncated reply has nowhere else to go.
    """

    def __init__(
        self,
        lanes: Lanes,
        responder: Responder,
        limits: TcpLimits,
        room: Room | None = None,
    ) -> None:
        """Wire it up; the sockets are closed at the end. `refused` counts connections closed for too many.

        `room` is shared with other listeners.
        """
        self.lanes = lanes
        self.sock = lanes.sockets[0]
        self._responder = responder
        self._guard = responder.guard
        self._faults = responder.faults
        self._clock = responder.clock
        self._standstill = responder.standstill
        self._limits = limits
        self.room = Room(limits.connections, limits.buffers) if room is None else room
        self._selector = DefaultSelector()
        self._open: dict[Connection, None] = {}
        self._pressed: set[Connection] = set()
        self._occupied = trio.Event()
        self._rests = False
        self._handed_over = False
        self._keeps_up = True  # the last turn was enough for all that were ready
        self._leaving = False
        self.heard = 0  # how often anything came from a connection or went to it
        self.table = responder.replies.add_table("tcp", FAMILIES[self.sock.family])
        self.refused = 0

    @property
    def address(self) -> tuple[Any, ...]:
        """Where it listens, as Python's sockets have it."""
        found: tuple[Any, ...] = self.sock.getsockname()
        return found

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._open)

    def statistics(self, server: str = "") -> metrics.TcpListener:
        """Return the listener in numbers; `server` is how its address is labelled."""
        return metrics.TcpListener(
            server=server,
            family=self.table.family,
            connections=self.connections,
            refused=self.refused,
            heavy=self.lanes.heavy,
        )

    def reconfigure(self, limits: TcpLimits) -> None:
        """Use these limits from now on, also for existing connections, and the responder's guard."""
        self._limits = limits
        self._guard = self._responder.guard
        for connection in self._open:
            connection.use(limits, self._guard)

    def leave(self, leaving: bool = True) -> None:
        """From now on close each connection after its answers: its client then asks elsewhere (RFC 7766)."""
        self._leaving = leaving

    def rest(self, does: bool) -> None:
        """Accept nothing new from now on, because another process accepts at these sockets; or accept again."""
        if does == self._handed_over:
            return
        if does and self.sock in self._selector.get_map():
            for listener in self.lanes.sockets:
                self._selector.unregister(listener)
        elif not does and not self._rests:
            self._listen()
        self._handed_over = self._leaving = does

    async def run(self) -> None:
        """Answer until cancelled."""
        self._listen()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._faults.keep, "tcp", self.lanes.run)
                nursery.start_soon(self._faults.keep, "tcp-deadlines", self._close_late)
                await self._faults.keep("tcp", self._serve, nursery)
        finally:
            for connection in tuple(self._open):
                self._close(connection)
            self._selector.close()
            self.lanes.close()

    def _listen(self) -> None:
        for listener in self.lanes.sockets:
            self._selector.register(listener, EVENT_READ, listener)

    async def _serve(self, nursery: trio.Nursery) -> None:
        while True:
            await self._turn()
            if self._rests and self.sock in self._selector.get_map():
                for listener in self.lanes.sockets:
                    self._selector.unregister(listener)
                nursery.start_soon(self._faults.once, "tcp-accept", self._rest)

    async def _turn(self) -> None:
        """Wait until sockets are ready, and serve each of them once."""
        await trio.lowlevel.wait_readable(self._selector)
        if self._clock() > self._standstill.due:
            await self._standstill.over()
        ready = self._selector.select(0)
        left = iter(ready if self._keeps_up else by_turns(ready))
        while not self._serve_some(left):
            if not self._goes_on():
                return
            await trio.lowlevel.checkpoint()
        self._keeps_up = True

    def _serve_some(self, ready: Iterator[Ready]) -> bool:
        """Serve ready sockets until the turn is over; return whether all of them were served.

        Durations below the lowest bound are counted together, as their mean is also below it: 0.25 us less for a read.
        """
        clock, durations = self._clock, self.table.durations
        now = began = clock()
        quick, spent = 0, 0.0
        for key, events in ready:
            connection = key.data
            answered = 0
            try:
                if connection.__class__ is socket.socket:
                    self._accept(connection)
                elif not connection.is_gone:
                    if events & EVENT_READ:
                        answered = connection.read(now)
                    if events & EVENT_WRITE:
                        answered += connection.write(now)
                    self._heard(connection)
            except Exception as error:
                self._took(error, connection)
            before, now = now, clock()
            if now - before > _QUICK:
                durations.observe_many(now - before, answered)
            else:
                quick += answered
                spent += (now - before) * answered
            if now - began > _TURN:
                break
        if quick:
            durations.observe_many(spent / quick, quick)
        return now - began <= _TURN

    def _goes_on(self) -> bool:
        """Accept waiting clients at the end of a turn. Tell whether the connections that are left are served at once.

        With several clients they are not: epoll reports them again, and every client gets its turn.
        """
        for listener in self.lanes.sockets if not (self._rests or self._handed_over) else ():
            try:
                self._accept(listener)
            except Exception as error:
                self._faults.took("tcp-accept", error)
        self._keeps_up = self.room.clients <= 1
        return self._keeps_up

    def _took(self, error: Exception, connection: Connection | socket.socket) -> None:
        if isinstance(connection, Connection):
            self._faults.took("tcp", error)
            self._give_up(connection)
        else:
            self._faults.took("tcp-accept", error)

    def _accept(self, listener: socket.socket) -> None:
        """Accept waiting connections, a bounded number of them."""
        made_room = False
        hosts: list[bytes] = []
        until = self._clock() + _ACCEPTING
        while len(hosts) < _ACCEPTS and self._clock() < until:
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # out of file descriptors or memory; whoever waits goes on waiting
                if not made_room and self.room.vacate():
                    made_room = True
                    continue
                log.warning("cannot accept a connection", error=str(error), connections=len(self._open))
                self._rests = True
                return
            try:
                host = socket.inet_pton(sock.family, address[0].partition("%")[0])
                hosts.append(host)
                self._take_in(sock, host, address[1])
            except Exception as error:
                self._faults.took("tcp-accept", error)
                for connection in [connection for connection in self._open if connection.sock is sock]:
                    self._give_up(connection)
                sock.close()
            if made_room:  # accept(2) would fail again now, whether or not anybody is waiting
                return
        self.lanes.behind(lambda: hosts)

    def _take_in(self, sock: socket.socket, host: bytes, number: int) -> None:
        """Start to serve a connection, if its client may have one more."""
        guard = self._guard
        if guard is not None and not guard.refuses and not guard.allows(host):
            sock.close()
            return
        admitted, was_free = self.room.admit(host)
        self.refused += not was_free
        if not admitted:
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(sock, host, self._responder, self.table, self._limits, self._heard, self.room, number)
        self._open[connection] = None
        self.room.enter(connection)
        self._follow(connection)
        self._occupied.set()

    async def _rest(self) -> None:
        """Wait, and then accept connections again."""
        await trio.sleep(_REST)
        self._rests = False
        if not self._handed_over:
            self._listen()

    def _heard(self, connection: Connection) -> None:
        """Record that octets have come from a connection or have gone to it."""
        if connection in self._open:
            self.heard += 1
            self.room.heard(connection)
            if self._leaving and connection.is_idle:
                self._close(connection)
            elif connection.is_settled and connection.events == EVENT_READ:  # nearly always: 0.2 us less
                self._pressed.discard(connection)
            else:
                self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Watch a connection's socket for the events that the connection waits for now."""
        if connection.is_over:
            self._close(connection)
            return
        wants = connection.wants()
        if wants != connection.events:
            if not connection.events:
                self._selector.register(connection.sock, wants, connection)
            elif not wants:
                self._selector.unregister(connection.sock)
            else:
                self._selector.modify(connection.sock, wants, connection)
            connection.events = wants
        if connection.is_pressed:
            self._pressed.add(connection)
        else:
            self._pressed.discard(connection)

    def _close(self, connection: Connection) -> None:
        """Close a connection and forget it, unless that is done already."""
        if connection in self._open:
            del self._open[connection]
            self.room.leave(connection)
            self._pressed.discard(connection)
            if connection.events:
                self._selector.unregister(connection.sock)
            connection.close()

    def _give_up(self, connection: Connection) -> None:
        """Close a connection, in whatever state a bug has left it."""
        try:
            self._close(connection)
        except Exception as error:
            self._faults.took("tcp", error)
            connection.close()

    async def _close_late(self) -> None:
        """Close the connections whose deadline has come; a question that came before that is read first."""
        while True:
            if not self._open:
                self._occupied = trio.Event()
                await self._occupied.wait()
            limits = self._limits
            shortest = min(limits.idle, limits.partial, limits.write)
            now = self._clock()
            late = []
            soonest = now + shortest  # nothing that begins from now on is due before
            for connection in self._pressed:
                due = connection.deadline()
                if due > now:
                    soonest = min(soonest, due)
                else:
                    late.append(connection)
            for tenant in self.room:  # of all listeners, heard of longest ago first
                if isinstance(tenant, Connection) and tenant.is_idle and tenant in self._open:
                    due = tenant.deadline()
                    if due > now:
                        soonest = min(soonest, due)
                        break  # the others were heard of later
                    late.append(tenant)
            for connection in late:
                if not (connection.is_idle and connection.has_come()):
                    self._close(connection)
            await trio.sleep_until(max(soonest, now + _TICK))


def by_turns(ready: list[Ready]) -> list[Ready]:
    """Return what is ready so that each client has its first connection served before anybody's second one."""
    served: Counter[bytes] = Counter()
    rounds: list[tuple[int, int, Ready]] = []
    for number, (key, events) in enumerate(ready):
        peer: bytes = getattr(key.data, "peer", b"")  # of a listener there is none
        rounds.append((served[peer] if peer else 0, number, (key, events)))
        served[peer] += 1
    rounds.sort(key=lambda each: each[:2])
    return [each[2] for each in rounds]
