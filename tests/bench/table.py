"""What was measured, as values, and as the Markdown that docs/benchmarks.md shows."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

OURS = "dnsserver"


class Row(NamedTuple):
    """One kind of load: each server's figures, one a round, in µs; ours may be `allowed` times those of `beside`."""

    what: str
    figures: dict[str, list[float]]
    beside: str
    allowed: float | None = None

    @property
    def ratios(self) -> list[float]:
        """The ratio of our figure to that of `beside`, for each round: other work of the machine delays both."""
        return [ours / other for ours, other in zip(self.figures[OURS], self.figures[self.beside], strict=True)]


class Finding(NamedTuple):
    """One property: what was found, and what was wanted."""

    what: str
    found: str
    wanted: str = ""
    met: bool | None = None


def spread(values: Sequence[float]) -> float:
    """Return how far values are from their median at most, as a share of it."""
    middle = median(values)
    return max(abs(value - middle) for value in values) / middle if middle else 0.0


def rows(found: Sequence[Row], columns: Sequence[str]) -> Iterable[str]:
    """Yield the lines of a table with a column for each server."""
    yield "| µs | " + " | ".join(columns) + " | ratio (lowest, highest) | wanted |"
    yield "|:---|" + "---:|" * len(columns) + "---:|---:|"
    for row in found:
        cells = [_figure(row.figures.get(name)) for name in columns]
        ratios = row.ratios
        middle = median(ratios)
        ratio = f"{middle:.2f} to {row.beside} ({min(ratios):.2f}, {max(ratios):.2f})"
        wanted = "" if row.allowed is None else f"≤ {row.allowed:.2f} {'✓' if middle <= row.allowed else '✗'}"
        yield f"| {row.what} | {' | '.join(cells)} | {ratio} | {wanted} |"


def findings(found: Sequence[Finding]) -> Iterable[str]:
    """Yield the lines of a table of properties."""
    yield "| | found | wanted |"
    yield "|:---|---:|---:|"
    for one in found:
        mark = "" if one.met is None else "✓" if one.met else "✗"
        yield f"| {one.what} | {one.found} | {one.wanted} {mark} |"


def lost(ways: Mapping[str, Any]) -> str:
    """Return a cell: how many questions of `tests.asking` were lost or wrong each way, of how many in all."""
    failed = ", ".join(f"{way['lost'] + way['wrong']:,}" for way in ways.values())
    return f"{failed} of {sum(way['asked'] for way in ways.values()):,}"


def _figure(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    middle = median(values)
    shown = f"{middle:.2f}" if middle < 20 else f"{middle:.1f}" if middle < 100 else f"{middle:.0f}"
    return f"{shown} ± {spread(values):.0%}" if len(values) > 1 else shown
