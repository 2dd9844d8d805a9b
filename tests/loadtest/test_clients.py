import socket

import pytest

from loadtest.clients import Poller
from loadtest.outstanding import Outstanding
from loadtest.tally import Tally


class End:
    """A client that only waits."""

    def __init__(self, sock: socket.socket) -> None:
        self.outstanding = Outstanding(1)
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:  # noqa: ARG002
        return 0

    def receive(self, tally: Tally) -> None:  # noqa: ARG002
        self._sock.recv(100)

    def close(self, tally: Tally) -> None:  # noqa: ARG002
        self._sock.close()


@pytest.mark.parametrize("epoll", [True, False])
@pytest.mark.parametrize("wait", [0, 1_000, 5_000_000])
def test_ready_are_those_with_something_to_read_or_the_room_they_wait_for(epoll: bool, wait: int) -> None:
    left, right = socket.socketpair()
    poller, one, other, tally = Poller(epoll=epoll), End(left), End(right), Tally()
    poller.add(one)
    poller.add(other)
    assert poller.ready(wait) == []
    left.send(b"x")
    assert poller.ready(wait) == [other]
    other.receive(tally)
    poller.watch_room(one, True)
    assert poller.ready(wait) == [one]
    poller.watch_room(one, False)
    assert poller.ready(wait) == []
    right.send(b"x")
    poller.remove(one)
    assert poller.ready(wait) == []
    poller.close()
    one.close(tally)
    other.close(tally)
