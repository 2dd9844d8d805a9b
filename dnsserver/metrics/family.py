"""One metric: its name, what it means, its labels, and where in the Readings its samples are."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from dnsserver.metrics.histogram import Histogram
from dnsserver.metrics.numbers import Process, Readings, Traffic, Upstream

Sample = tuple[tuple[str, ...], float | Histogram]


class Family(NamedTuple):
    """One metric; `read` gives its samples, each a tuple of label values and a number or a Histogram.

    Names end without `_total`, which Prometheus adds to counters. Samples with equal labels are added up: that is how
    workers and sockets are summed.
    """

    type: Literal["counter", "gauge", "histogram"]
    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[Readings], Iterable[Sample]]


def by_process(read: Callable[[Process], float]) -> Callable[[Readings], Iterator[Sample]]:
    """Return what gives one number of each process."""
    return lambda s: (((), read(process)) for process in s.processes)


def alive(s: Readings) -> int:
    """Return how many processes answer."""
    return sum(process.alive for process in s.processes)


def traffic(s: Readings) -> Iterator[Traffic]:
    """Yield the traffic of all processes."""
    return (part for process in s.processes for part in process.traffic)


def upstreams(s: Readings) -> Iterator[Upstream]:
    """Yield the upstreams of all processes."""
    return (upstream for process in s.processes for upstream in process.forward.upstreams)
