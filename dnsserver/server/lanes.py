"""The sockets of one address: one for all clients, and lanes for clients that ask far more than others.

The lanes are open from the start, and nothing comes to them. While more comes to a socket than is answered, `behind`
finds who sends too much, and the kernel puts that client's packets or connections into a lane (`server.steering`). All
sockets of an address are read by turns.

With further processes that answer, each reads one socket of each lane. The first process opens them all and decides;
the others report to it who is heavy (`ReportedLanes`).
"""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import trio

from dnsserver.logger import get_logger
from dnsserver.pace import next_look
from dnsserver.server import steering
from dnsserver.server.heavy import LANES, HeavySources
from dnsserver.server.steering import Heavy

log = get_logger(__name__)

_REPORTED_EVERY = 30.0  # seconds between two reports of a client, less than the first process remembers it
_TICK = 1.0  # seconds between two looks at which clients are heavy no longer


class Lanes(Protocol):
    """The sockets of one address and transport that one process reads: the first one, and its lanes."""

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets to read."""

    @property
    def heavy(self) -> int:
        """How many clients have a lane now, as far as this process decides that."""

    def behind(self, senders: Callable[[], Iterable[bytes]]) -> None:
        """Check who sent the last packets while more were waiting; `senders` gives their packed addresses."""

    def give_way(self) -> None:
        """Let all new packets go to another program that has the address as well, if there is one."""

    def close(self) -> None:
        """Close the sockets."""

    async def run(self) -> None:
        """Forget clients that have not sent too much for a while, until cancelled."""


class Alone:
    """One socket and no lanes: this server does not decide where packets go."""

    heavy = 0

    def __init__(self, sock: socket.socket) -> None:
        """Read this one."""
        self.sockets = [sock]

    def behind(self, senders: Callable[[], Iterable[bytes]]) -> None:
        """Do nothing: there is no lane to give."""

    def give_way(self) -> None:
        """Let all new packets go to the socket that was bound first: another program's, or this one."""
        sock = self.sockets[0]
        with suppress(OSError):  # where the kernel cannot steer, both get a share until this one is closed
            steering.attach(sock, steering.program(sock.family, 1, [0]))

    def close(self) -> None:
        """Close it."""
        self.sockets[0].close()

    async def run(self) -> None:
        """Do nothing: nobody is heavy."""


class SteeredLanes:
    """The sockets that the first process opens: `groups` has one list for each process, that of the first one first."""

    def __init__(
        self,
        sock: socket.socket,
        transport: str,
        clock: Callable[[], float],
        open_one: Callable[[int], socket.socket],
        processes: int = 1,
    ) -> None:
        """Open the others on the address of a bound socket; there are none where the kernel cannot steer.

        `open_one` returns one more socket on the same address, and raises OSError; it is told the number of the lane,
        0 for everybody's.
        """
        self._sock = sock
        self._transport = transport
        self._clock = clock
        self._sources = HeavySources()
        self._processes = processes
        self._answering = [0]
        self._gives_way = False
        opened = [sock, *self._open(open_one)]
        self.groups = [opened[number::processes] for number in range(processes)] if len(opened) > 1 else [opened]
        self.sockets = self.groups[0]

    @property
    def is_steered(self) -> bool:
        """Whether the kernel can do that."""
        return len(self.sockets) > 1

    @property
    def heavy(self) -> int:
        """How many clients have a lane now."""
        return self._sources.statistics().heavy

    def behind(self, senders: Callable[[], Iterable[bytes]]) -> None:
        """Check who sent the last packets while more were waiting; `senders` gives their packed addresses."""
        now = self._clock()
        if self.is_steered and now >= self._sources.due:
            self._give_lanes(self._sources.sample(senders(), now))

    def report(self, address: bytes, bits: int) -> None:
        """Give a lane to a client that another process has found to be heavy."""
        self._give_lanes(self._sources.add(address, bits, self._clock()))

    def answers(self, process: int, does: bool) -> None:
        """Start or stop sending packets to a process; what waits in its sockets stays there."""
        if self.is_steered and does != (process in self._answering):
            self._answering = sorted({*self._answering, process} if does else {*self._answering} - {process})
            self._steer()

    def give_way(self) -> None:
        """Let all new packets go to a socket that another program has bound after these.

        If there is none the kernel finds no socket of that number, and spreads what comes over these.
        """
        if self.is_steered:
            self._gives_way = True
            self._steer()

    def close(self) -> None:
        """Close the sockets; of what is new meanwhile, nothing comes to those that are closed last.

        As one is closed the kernel moves the last of the group into its place: the other program's is the first then.
        """
        first, *lanes = self.sockets
        first.close()
        if self._gives_way and lanes:
            with suppress(OSError):
                steering.attach(lanes[0], steering.program(lanes[0].family, 1, [0]))
        for lane in lanes:
            lane.close()

    async def run(self) -> None:
        """Forget clients that have not sent too much for a while, until cancelled."""
        while True:
            await trio.sleep_until(next_look(_TICK))
            if self._sources.expire(self._clock()):
                self._steer()

    def close_others(self) -> None:
        """Close the sockets of the other processes, because this process stops answering."""
        for group in self.groups[1:]:
            for sock in group:
                sock.close()

    def _open(self, open_one: Callable[[int], socket.socket]) -> list[socket.socket]:
        opened: list[socket.socket] = []
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened += (open_one(number // self._processes) for number in range(1, (1 + LANES) * self._processes))
            steering.attach(self._sock, steering.program(self._sock.family, self._processes, self._answering))
        except OSError as error:
            log.info("no lanes for heavy clients on this system", transport=self._transport, error=str(error))
            for sock in opened:
                sock.close()
            return []
        return opened

    def _give_lanes(self, found: list[Heavy]) -> None:
        if found:
            self._steer()
        for source in found:
            log.warning(
                "a client sends more than can be answered, it gets a lane of its own",
                transport=self._transport,
                client=f"{socket.inet_ntop(self._sock.family, source.address)}/{source.bits}",
                lane=source.lane,
            )

    def _steer(self) -> None:
        if self._sock.fileno() < 0:  # closed, as everything ends: workers end after it
            return
        if self._gives_way:
            code = steering.program(self._sock.family, 1, [sum(map(len, self.groups))])
        else:
            code = steering.program(self._sock.family, self._processes, self._answering, self._sources.heavy)
        try:
            steering.attach(self._sock, code)
        except OSError as error:
            log.warning("cannot steer clients to their lanes", transport=self._transport, error=str(error))


class ReportedLanes:
    """The sockets that a worker got from the first process; it reports heavy clients to that process."""

    def __init__(
        self, sockets: list[socket.socket], clock: Callable[[], float], report: Callable[[bytes, int], None]
    ) -> None:
        """Read these sockets; `report` takes the address of a heavy client and how many of its bits count."""
        self.sockets = sockets
        self._clock = clock
        self._report = report
        self._sources = HeavySources(_REPORTED_EVERY, extended=False)

    @property
    def heavy(self) -> int:
        """None: the first process counts all of them."""
        return 0

    def behind(self, senders: Callable[[], Iterable[bytes]]) -> None:
        """Check who sent the last packets while more were waiting; `senders` gives their packed addresses."""
        now = self._clock()
        if now >= self._sources.due:
            for source in self._sources.sample(senders(), now):
                self._report(source.address, source.bits)

    def give_way(self) -> None:
        """Do nothing: the first process decides where packets go."""

    def close(self) -> None:
        """Close them."""
        for sock in self.sockets:
            sock.close()

    async def run(self) -> None:
        """Forget what was reported a while ago, so that it is reported again if it is still so."""
        while True:
            await trio.sleep_until(next_look(_TICK))
            self._sources.expire(self._clock())
