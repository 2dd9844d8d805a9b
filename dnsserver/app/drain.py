"""How long a server that has to end goes on answering: until no client asks it any more.

Clients of the cluster's Service ask until every node knows that this endpoint is leaving: readiness has to fail (probe
period times threshold), the EndpointSlice has to change, and each kube-proxy has to write its rules. In a large
cluster that takes seconds. kube-proxy keeps UDP flows to an endpoint as long as it serves, terminating or not. So no
fixed time is right: the questions themselves show when the last client has left.
"""

from collections.abc import Callable

import msgspec
import trio

QUIET = 3.0  # seconds without a question after which nobody asks any more: a busy node asks several times a second
UNDER_WAY = 2.0  # seconds at most for what is still asked of the upstreams when the drain is over
_LONGEST = 5.0  # at most where their deadline is longer: the node waits for the end
_LOOK = 0.25


class Drain(msgspec.Struct):
    """A drain that began at `began`: it lasts at least `least` seconds, at most `most`, and until `QUIET` ones passed.

    Pure: time comes in as an argument.
    """

    began: float
    least: float
    most: float
    asked: int = -1
    last_asked: float = float("-inf")

    def is_over(self, asked: int, now: float) -> bool:
        """Tell whether it is over at `now`, when `asked` questions have come since the server began."""
        if asked != self.asked:
            if self.asked >= 0:
                self.last_asked = now
            self.asked = asked
        if now >= self.began + self.most:
            return True
        quiet_since = max(self.began, self.last_asked)
        return now >= self.began + self.least and now >= quiet_since + QUIET


async def wait_drained(drain: Drain, asked: Callable[[], int]) -> None:
    """Wait until a drain is over; `asked` counts the questions of clients, never those of probes."""
    while not drain.is_over(asked(), trio.current_time()):  # noqa: ASYNC110 - the hit tells nobody that it was one
        await trio.sleep(_LOOK)


def time_under_way(deadline: float) -> float:
    """Return the seconds that questions to upstreams get when the drain is over, by the longest deadline of these."""
    return max(UNDER_WAY, min(deadline, _LONGEST))


async def wait_answered(under_way: Callable[[], int], most: float) -> None:
    """Wait until no question waits for the upstreams, for at most so many seconds."""
    with trio.move_on_after(most):
        while under_way():  # noqa: ASYNC110 - likewise
            await trio.sleep(_LOOK / 5)
