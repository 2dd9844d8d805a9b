"""Readings in Prometheus's text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/. Written here, as every family and its samples are known
anyway: prometheus_client takes 1.3 MiB and 25 ms of a start, since it imports HTTP servers, WSGI and ASGI.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping

from dnsserver.metrics.families import FAMILIES, Family, Sample
from dnsserver.metrics.histogram import Histogram
from dnsserver.metrics.numbers import Readings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def expose(readings: Readings) -> bytes:
    """Return the text that Prometheus scrapes: every family that has samples now."""
    lines: list[str] = []
    for family in FAMILIES:
        samples = _added(family.read(readings))
        if samples:
            lines += _lines(family, samples)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _added(samples: Iterable[Sample]) -> dict[tuple[str, ...], float | Histogram]:
    """Add up the samples with equal labels."""
    total: dict[tuple[str, ...], float | Histogram] = {}
    for labels, value in samples:
        before = total.get(labels)
        total[labels] = value if before is None else operator.add(before, value)  # a family has one type of value
    return total


def _lines(family: Family, samples: Mapping[tuple[str, ...], float | Histogram]) -> Iterator[str]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    yield f"# HELP {name} {family.text}"
    yield f"# TYPE {name} {family.type}"
    for values, sample in samples.items():
        pairs = zip(family.labels, values, strict=True)
        labels = [f'{label}="{value.translate(_IN_LABELS)}"' for label, value in pairs]
        if not isinstance(sample, Histogram):
            yield f"{name}{_braced(labels)} {float(sample)!r}"
            continue
        count = 0
        for bound, count in sample.cumulative():
            bucket = _braced([*labels, f'le="{bound}"'])
            yield f"{name}_bucket{bucket} {count}"
        yield f"{name}_count{_braced(labels)} {count}"
        yield f"{name}_sum{_braced(labels)} {sample.sum!r}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""
