"""What a guardian says of itself: a small file for the server of the same pod, and metrics where NodeLocal's are."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = "guardian.json"
FRESH: Final = 5.0  # seconds for which a report is believed; it is written twice a second


class Report(NamedTuple):
    """The state at a moment, on the clock that all containers of a machine share (CLOCK_BOOTTIME).

    `addresses` are those that the node should have, and whether it has them; `withheld` are those of the cluster that
    it does not have. `rules` says whether connection tracking is kept off, `answers` whether the server answers, and
    `problems` what the kernel refused. `errors` counts such refusals by NodeLocal's names; `withdrawals` and `repairs`
    count what was taken away and what was put back.
    """

    at: float
    addresses: dict[str, bool]
    withheld: tuple[str, ...]
    rules: bool
    answers: bool
    problems: tuple[str, ...]
    errors: dict[str, int]
    withdrawals: int
    repairs: int


def clock() -> float:
    """Return seconds since the machine was booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(folder: Path, report: Report) -> None:
    """Put a report in the place of the last one. Raises OSError."""
    new = folder / f".{FILE}"
    new.write_text(json.dumps(report._asdict()), "utf-8")
    new.replace(folder / FILE)


def read(folder: Path) -> Report | None:
    """Return the last report, None where there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        report = Report(**found)
        return report._replace(withheld=tuple(report.withheld), problems=tuple(report.problems), at=float(report.at))
    except (OSError, ValueError, TypeError):
        return None


def metrics(report: Report) -> str:
    """Return a report in Prometheus' text format."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from _family("coredns_nodecache_setup_errors_total", "counter", "What the kernel refused, by what it was.")
    for kind, count in report.errors.items():
        yield f'coredns_nodecache_setup_errors_total{{errortype="{kind}"}} {count}'
    yield from _family("dnsserver_node_address", "gauge", "Whether the node has an address of its DNS.")
    for address, there in report.addresses.items():
        yield f'dnsserver_node_address{{address="{address}"}} {there:d}'
    for name, kind, text, value in (
        ("dnsserver_node_rules", "gauge", "Whether connection tracking is kept off these addresses.", report.rules),
        ("dnsserver_node_server_answers", "gauge", "Whether the node's server answers.", report.answers),
        ("dnsserver_node_withdrawals_total", "counter", "Times that an address was taken away.", report.withdrawals),
        ("dnsserver_node_repairs_total", "counter", "Addresses and rules that were gone and put back.", report.repairs),
    ):
        yield from _family(name, kind, text)
        yield f"{name} {value:d}"


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
