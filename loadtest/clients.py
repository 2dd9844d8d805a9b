"""What the loop of a run needs from a client, and a way to wait for many clients."""

import select
import sys
from time import time_ns
from typing import Protocol

from loadtest.outstanding import Outstanding
from loadtest.tally import Tally

clock = time_ns
"""Nanoseconds on the real-time clock, not the monotonic one, because the kernel notes arrivals by it; the report says
if this clock was set during a run."""


class Client(Protocol):
    """One socket that asks questions of the deck and waits for their replies."""

    outstanding: Outstanding

    def fileno(self) -> int:
        """Return the socket's number, for the Poller."""

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:
        """Send up to `count` questions, from `position` of the deck on, and return how many were sent.

        In open loop the first question was due at `due`, in ns, and each next one `interval` ns later; in closed loop
        `due` is None, and questions are due when they are sent. It does not wait for replies or for room to send, and
        does not raise for errors of the network.
        """

    def receive(self, tally: Tally) -> None:
        """Read replies that have arrived, perhaps not all, and do everything else for which the socket is ready."""

    def close(self, tally: Tally) -> None:
        """Close the socket, and add the counts of the kernel to the tally."""


class Poller:
    """Waits until clients have something to receive, or room to send.

    epoll counts time in whole milliseconds, so a shorter wait is a `select` on the epoll descriptor itself. Without
    epoll, one `select` waits for all sockets; it takes no descriptor above its limit, often 1,023.
    """

    def __init__(self, *, epoll: bool = sys.platform == "linux") -> None:
        self._clients: dict[int, Client] = {}
        self._writers: set[int] = set()
        self._epoll = select.epoll() if epoll else None

    def add(self, client: Client) -> None:
        """Watch a client's socket from here on."""
        self._clients[client.fileno()] = client
        if self._epoll is not None:
            self._epoll.register(client.fileno(), select.EPOLLIN)

    def remove(self, client: Client) -> None:
        """Stop watching a client's socket; called before it is closed."""
        fileno = client.fileno()
        del self._clients[fileno]
        self._writers.discard(fileno)
        if self._epoll is not None:
            self._epoll.unregister(fileno)

    def watch_room(self, client: Client, wanted: bool) -> None:
        """Start or stop waking up when the client's socket has room to send."""
        fileno = client.fileno()
        if wanted == (fileno in self._writers):
            return
        (self._writers.add if wanted else self._writers.discard)(fileno)
        if self._epoll is not None:
            self._epoll.modify(fileno, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def ready(self, nanoseconds: int) -> list[Client]:
        """Return the clients that are ready, after at most that time."""
        clients = self._clients
        if self._epoll is None:
            wait = max(nanoseconds, 0) / 1e9
            readable, writable, _ = select.select(list(clients), list(self._writers), [], wait)
            return [clients[fileno] for fileno in {*readable, *writable}]
        if nanoseconds >= 2_000_000:
            events = self._epoll.poll(nanoseconds / 1e9 - 0.001)
        else:
            if nanoseconds > 0:
                select.select((self._epoll,), (), (), nanoseconds / 1e9)
            events = self._epoll.poll(0)
        return [clients[fileno] for fileno, _ in events]

    def close(self) -> None:
        """Close the epoll descriptor; the clients stay open."""
        if self._epoll is not None:
            self._epoll.close()
