"""Readings in Prometheus's text format."""

import operator
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dnsserver.metrics.families import FAMILIES, Family, Sample
from dnsserver.metrics.histogram import Histogram
from dnsserver.metrics.numbers import Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerCollector(Collector):
    """Takes Readings whenever somebody scrapes."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the names are known to be unique, so a registry need not collect to find out."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family that has samples now."""
        readings = self._read()
        for family in FAMILIES:
            samples = _added(family.read(readings))
            if samples:
                yield _metric(family, samples)


def make_registry(read: Callable[[], Readings]) -> CollectorRegistry:
    """Return a registry of everything this process tells, its memory and processor time included."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(read))
    ProcessCollector(registry=registry)
    return registry


def expose(registry: CollectorRegistry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return generate_latest(registry)


def _added(samples: Iterable[Sample]) -> dict[tuple[str, ...], float | Histogram]:
    """Add up the samples with equal labels."""
    total: dict[tuple[str, ...], float | Histogram] = {}
    for labels, value in samples:
        before = total.get(labels)
        total[labels] = value if before is None else operator.add(before, value)  # a family has one type of value
    return total


def _metric(family: Family, samples: dict[tuple[str, ...], float | Histogram]) -> Metric:
    """Return a family in the library's form."""
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if family.type == "histogram":
        metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, value in samples.items():
            if isinstance(value, Histogram):
                metric.add_metric(labels, list(value.cumulative()), value.sum)
        return metric
    make = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = make(family.name, family.text, labels=family.labels)
    for labels, value in samples.items():
        if not isinstance(value, Histogram):
            metric.add_metric(labels, float(value))
    return metric
