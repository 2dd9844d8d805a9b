"""What all parts of the outside share: randomness, time, where bugs and batches are reported, and the counts."""

from collections.abc import Callable

import msgspec
import trio

from dnsserver.faults import Faults
from dnsserver.forward.entropy import Entropy


def _nothing() -> None:
    pass


class Runtime(msgspec.Struct, frozen=True):
    """`clock` gives seconds; `on_batch_end` is called after each batch of deliveries."""

    entropy: Entropy = msgspec.field(default_factory=Entropy)
    clock: Callable[[], float] = trio.current_time
    on_batch_end: Callable[[], None] = _nothing
    faults: Faults = msgspec.field(default_factory=Faults)


class Counts(msgspec.Struct):
    """Queries that were sent for more than the first time, since the start."""

    hedges: int = 0
    retries: int = 0
    over_tcp: int = 0
