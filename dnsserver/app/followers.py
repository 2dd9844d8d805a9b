"""The followers of `/tail` in each process: what they have seen, in bounded memory, until it is collected."""

from collections import deque

import trio

from dnsserver.app.audience import Audience
from dnsserver.app.worker_protocol import Follow, Followed, Unfollow
from dnsserver.traffic.filters import Filter
from dnsserver.traffic.observed import QUEUE, Observed


class Collected:
    """What a follower has seen and nobody has taken yet, at most `room` of it.

    `left_out` counts what had no room; `missed` is how many replies nobody was told of when that was last looked at.
    """

    def __init__(self, of: Filter, sample: int, missed: int = 0, room: int = QUEUE) -> None:
        """Begin with nothing."""
        self.filter = of
        self.sample = sample
        self.left_out = 0
        self.missed = missed
        self._room = room
        self._seen: deque[Observed] = deque()
        self._news = trio.Event()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._seen)

    def take(self, seen: Observed) -> None:
        """Take one more."""
        if len(self._seen) < self._room:
            self._seen.append(seen)
        else:
            self.left_out += 1
        self._news.set()

    def give(self, most: int = QUEUE) -> list[Observed]:
        """Return the first of them, which are taken by that."""
        return [self._seen.popleft() for _ in range(min(most, len(self._seen)))]

    def missed_since(self, missed: int) -> int:
        """Return how many were missed since the last look, given how many were missed in all."""
        since, self.missed = missed - self.missed, missed
        return since

    async def wait(self) -> None:
        """Wait until there are some, or some were left out since the last wait."""
        if not self._seen:
            await self._news.wait()
        self._news = trio.Event()


class Followers:
    """The followers of streams that another process has, in a worker."""

    def __init__(self, audience: Audience) -> None:
        """Begin without any."""
        self._audience = audience
        self._by_number: dict[int, Collected] = {}

    def take(self, frame: Follow | Unfollow) -> None:
        """Begin to look on for a stream, or look on no more."""
        if isinstance(frame, Unfollow):
            stream = self._by_number.pop(frame.number, None)
            if stream is not None:
                self._audience.leave(stream)
            return
        self._by_number[frame.number] = stream = Collected(frame.filter, frame.sample, self._audience.missed)
        self._audience.join(stream)

    def give(self) -> list[Followed]:
        """Return what was seen since the last time."""
        found = []
        for number, stream in self._by_number.items():
            left_out, stream.left_out = stream.left_out, 0
            missed = stream.missed_since(self._audience.missed)
            if stream or left_out or missed:
                found.append(Followed(number, stream.give(), left_out, missed))
        return found
