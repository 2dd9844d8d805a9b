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
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{FILE}"
    new.write_text(json.dumps(report._asdict()), "utf-8")
    new.replace(folder / FILE)


def read(folder: Path) -> Report | None:
    """Return the last report; None if none can be read."""
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_bytes())
        report = Report(**found)
        return report._replace(withheld=tuple(report.withheld), problems=tuple(report.problems), at=float(report.at))
    except (OSError, ValueError, TypeError):
        return None


class Family(NamedTuple):
    """One metric of the guardian: its type, its name as samples have it, its label if it has one, and what it means."""

    type: str
    name: str
    label: str
    text: str


FAMILIES: Final = (
    Family("counter", "coredns_nodecache_setup_errors_total", "errortype", "What the kernel refused, by what it was."),
    Family("gauge", "dnsserver_node_address", "address", "1 while the node has this address."),
    Family("gauge", "dnsserver_node_rules", "", "1 while connection tracking is kept off these addresses."),
    Family("gauge", "dnsserver_node_server_answers", "", "1 while the node's server answers."),
    Family("counter", "dnsserver_node_withdrawals_total", "", "Times that a cluster address was taken away."),
    Family("counter", "dnsserver_node_repairs_total", "", "Addresses and rules that were gone and put back."),
)


def metrics(report: Report) -> str:
    """Return a report in Prometheus' text format."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    values: tuple[dict[str, int] | dict[str, bool], ...] = (
        report.errors,
        report.addresses,
        {"": report.rules},
        {"": report.answers},
        {"": report.withdrawals},
        {"": report.repairs},
    )
    for family, samples in zip(FAMILIES, values, strict=True):
        yield f"# HELP {family.name} {family.text}"
        yield f"# TYPE {family.name} {family.type}"
        for label, value in samples.items():
            yield f'{family.name}{{{family.label}="{label}"}} {value:d}' if label else f"{family.name} {value:d}"
