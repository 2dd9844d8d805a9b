"""What `/top` and `/failures` say, as values: programs get them as JSON, and `dnsserver top` shows them."""

from typing import Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class Client(msgspec.Struct, frozen=True):
    """A client, by its address, and whose that is, as far as the cluster's objects tell.

    `pods` has the pods of that address, as NAMESPACE/NAME: several share that of their node. `services` are Services
    that have it as an endpoint. Of `count`, `plus_minus` is the error of sampling, 95 times of 100; `share` is of all.
    """

    client: str
    pods: tuple[str, ...]
    services: tuple[str, ...]
    count: int
    plus_minus: int
    share: float


class Name(msgspec.Struct, frozen=True):
    """A name or domain, as master files write it. `reason` is why a name was missing, where that is known."""

    name: str
    count: int
    plus_minus: int
    share: float
    reason: str = ""


class SlowName(msgspec.Struct, frozen=True):
    """A name whose answer took `Top.slow_from` seconds or more `count` times, and at the `longest` so many."""

    name: str
    count: int
    longest: float


class UpstreamState(msgspec.Struct, frozen=True):
    """An upstream, how it is, and what it did; times are seconds. `traffic.upstream_history` says what `causes` are."""

    name: str
    up: bool
    looping: bool
    rtt: float
    p95: float
    queries: int
    replies: int
    causes: dict[str, int]


class Listing(msgspec.Struct, Generic[Row], frozen=True):
    """Rows of the last `seconds`, the heaviest first, and the `total` of all that there were, shown or not.

    A count is too large by at most `slack`, and never too small, errors of sampling apart.
    """

    seconds: float
    total: int
    slack: int
    items: tuple[Row, ...]


class ServerState(msgspec.Struct, frozen=True):
    """How the server is. `data_age` is how many seconds ago it heard of the kind of objects that it heard of least.

    It is None where nothing is watched. `verdict` says why it is not ready, for people.
    """

    version: str
    ready: bool
    verdict: str
    stale: bool
    data_age: float | None
    processes: int


class Top(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asked what in the last `window` minutes, in all processes; only those lists that were asked for.

    `one_in` is which part of the packets is looked at now: one in so many. While `counting` is False none is. With
    `asks` or `asked` it is only about the client of that address, or the name, and about the packets looked at last.
    """

    server: ServerState
    window: int
    counting: bool
    one_in: int
    slow_from: float
    clients: Listing[Client] | None = None
    names: Listing[Name] | None = None
    domains: Listing[Name] | None = None
    missing: Listing[Name] | None = None
    slow: Listing[SlowName] | None = None
    upstreams: Listing[UpstreamState] | None = None
    asks: str = ""
    asked: str = ""


class FailureRow(msgspec.Struct, frozen=True):
    """A question that failed `count` times, `age` seconds ago for the last time and `first_age` for the first.

    `rcode` is empty where there was no reply. `seconds` is how long the last one took.
    """

    client: str
    pods: tuple[str, ...]
    services: tuple[str, ...]
    name: str
    type: str
    rcode: str
    reason: str
    text: str
    seconds: float
    age: float
    first_age: float
    count: int


class FailureList(msgspec.Struct, frozen=True):
    """The last failures, the newest first, and how many since the start came too fast to be `recorded`."""

    unrecorded: int
    items: tuple[FailureRow, ...]
