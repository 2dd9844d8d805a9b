"""Readings as what Prometheus scrapes, written by prometheus_client: its text format, or OpenMetrics for who asks.

The one door to prometheus_client, which takes 1.3 MiB: only the process that is scraped imports this module.
"""

import operator
import zlib
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from dnsserver.metrics.families import FAMILIES
from dnsserver.metrics.family import Family, Sample
from dnsserver.metrics.histogram import Histogram
from dnsserver.metrics.numbers import Readings

_OPENMETRICS = "application/openmetrics-text"
_LEVEL = 1  # of gzip: 60 KiB become 6.5 in 0.6 ms, with the usual 9 they become 5 in 5 ms
_GZIP = 31  # window bits that make zlib write gzip's header and end
_END = b"# EOF\n"
_LINES = 100  # of a step, 1 ms
_SUMS = 3  # lines of a histogram beside its buckets

_Samples = dict[tuple[str, ...], float | Histogram]


class Page(msgspec.Struct, frozen=True):
    """What is sent, its media type, and the encoding of its octets, "" for none."""

    body: bytes
    type: str
    encoding: str = ""


class Exposition:
    """Every family that has samples now, as the `Accept` and `Accept-Encoding` of a request want it.

    It is written in steps of at most `_LINES` lines, so that whoever takes one after the other can let others have
    their turn in between. `type` is its media type, `encoding` that of its octets, "" for none.
    """

    def __init__(self, readings: Readings, accept: str = "", encodings: str = "") -> None:
        """Look at what is wanted."""
        self._readings = readings
        self._encode, self.type = choose_encoder(accept)
        self._openmetrics = self.type.startswith(_OPENMETRICS)
        self.encoding = "gzip" if gzip_accepted(encodings) else ""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the octets, some of them empty."""
        if not self.encoding:
            yield from self._texts()
            return
        compress = zlib.compressobj(_LEVEL, wbits=_GZIP)
        for text in self._texts():
            yield compress.compress(text)
        yield compress.flush()

    def _texts(self) -> Iterator[bytes]:
        for family in FAMILIES:
            samples = _added(family.read(self._readings))
            for number, some in enumerate(_parts(samples)):
                text = self._encode(_One(_metric(family, some, whole_floats=self._openmetrics)))
                if self._openmetrics:
                    text = text.removesuffix(_END)
                yield _without_head(text) if number else text
        if self._openmetrics:
            yield _END


class _One(Collector):
    """One family, as the library wants it."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        yield self._metric


def expose(readings: Readings, accept: str = "", encodings: str = "") -> Page:
    """Return all of it in one go."""
    exposition = Exposition(readings, accept, encodings)
    return Page(b"".join(exposition), exposition.type, exposition.encoding)


def _parts(samples: _Samples) -> Iterator[_Samples]:
    """Yield the samples in parts that have about so many lines."""
    part: _Samples = {}
    lines = 0
    for labels, value in samples.items():
        part[labels] = value
        lines += len(value.bounds) + _SUMS if isinstance(value, Histogram) else 1
        if lines >= _LINES:
            yield part
            part, lines = {}, 0
    if part:
        yield part


def _without_head(text: bytes) -> bytes:
    """Return the lines of a family less those that say what it is."""
    while text.startswith(b"#"):
        text = text.partition(b"\n")[2]
    return text


def _added(samples: Iterable[Sample]) -> _Samples:
    """Add up the samples with equal labels."""
    total: _Samples = {}
    for labels, value in samples:
        before = total.get(labels)
        total[labels] = value if before is None else operator.add(before, value)  # a family has one type of value
    return total


def _metric(family: Family, samples: _Samples, *, whole_floats: bool) -> Metric:
    """Return a family in the library's form."""
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if family.type == "histogram":
        metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, value in samples.items():
            if isinstance(value, Histogram):
                metric.add_metric(labels, _buckets(value, whole_floats=whole_floats), value.sum)
        return metric
    make = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = make(family.name, family.text, labels=family.labels)
    for labels, value in samples.items():
        if not isinstance(value, Histogram):
            metric.add_metric(labels, float(value))
    return metric


def _buckets(value: Histogram, *, whole_floats: bool) -> list[tuple[str, float]]:
    """Return the buckets with their bounds as Go's client writes them: "1" in the text format, "1.0" in OpenMetrics."""
    suffix = ".0" if whole_floats else ""
    return [(bound + suffix if bound.isdecimal() else bound, count) for bound, count in value.cumulative()]
