"""Which clients may go on waiting for a question under way if too many clients wait for it. Pure.

A client that asks the same again and again, with the same ID or ever new ones, must not take all places, nor push out
other clients that wait for the same name. So equal questions of a client count once, and each client has the same
share of the places.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from dnsserver.forward.outcome import Waiter

Waiting = TypeVar("Waiting", bound=Waiter)

CROWD = 512  # waiting for one question, at about 0.6 KiB each; when there are as many, half of them at most are kept


def thinned(waiting: Sequence[Waiting], most: int = CROWD // 2) -> tuple[list[Waiting], list[Waiting], list[Waiting]]:
    """Return the clients that are kept, those whose question is the same again, and those over their share.

    The newest ones of a client are kept; order is.
    """
    clients: defaultdict[Hashable, list[int]] = defaultdict(list)
    again: list[Waiting] = []
    seen: set[Hashable] = set()
    for at in range(len(waiting) - 1, -1, -1):
        client, question = waiting[at].asker()
        if question is not None:
            if (client, question) in seen:
                again.append(waiting[at])
                continue
            seen.add((client, question))
        clients[client].append(at)
    share = _share([len(places) for places in clients.values()], most)
    kept = sorted(at for places in clients.values() for at in places[:share])
    over = [waiting[at] for places in clients.values() for at in places[share:]]
    return [waiting[at] for at in kept], again, over


def _share(counts: Sequence[int], most: int) -> int:
    """Return the largest share of one client, at least one, with which all clients together have at most `most`."""
    share, left = max(counts, default=0), len(counts)
    room = most
    for count in sorted(counts):
        if count * left > room:
            return max(1, room // left)
        room -= count
        left -= 1
    return share
