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
    """Yield what all processes, ended ones included, counted of the upstreams that there are now.

    Of an upstream that is gone, only the ended ones still have counts: its counters would go back to these.
    """
    present = {(upstream.name, upstream.domain) for upstream in upstreams_now(s)}
    every = (upstream for process in s.processes for upstream in process.forward.upstreams)
    return (upstream for upstream in every if (upstream.name, upstream.domain) in present)


def upstreams_now(s: Readings) -> Iterator[Upstream]:
    """Yield the upstreams of the processes that answer."""
    return (upstream for process in s.processes if process.alive for upstream in process.forward.upstreams)
