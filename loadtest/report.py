"""The results of a run: as values that keep their names, as JSON, and as a table."""

from typing import Literal

import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from loadtest.histogram import Histogram
from loadtest.run import SECOND, Outcome, Progress

SCHEMA = 2
"""Changes when a field changes its name or meaning; new fields do not change it."""

_CLOCK_STEP = 1_000_000
_WIDTH = 79  # of a terminal, less the column that some leave to the cursor


class Setting(msgspec.Struct, frozen=True):
    """What was asked, and which server: the options of the run, as they were understood."""

    server: str
    protocol: Literal["udp", "tcp"]
    loop: Literal["closed", "open"]
    clients: int
    outstanding: int
    rate: float | None
    questions: int
    edns: int | None
    dnssec: bool
    timeout_s: float
    warmup_s: float
    batches: bool


class Spread(msgspec.Struct, frozen=True):
    """A distribution of times, in microseconds; percentiles are exact or up to 0.8 % above."""

    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class Counts(msgspec.Struct, frozen=True):
    """Questions and replies; `Tally` explains each count, but here `lost` includes `closed`."""

    sent: int
    answered: int
    lost: int
    closed: int
    late: int
    unexpected: int
    mismatched: int
    truncated: int
    refused: int
    reconnects: int
    dropped_here: int
    outstanding: int


class Rate(msgspec.Struct, frozen=True):
    """Open loop: the wanted and the sent questions per second, how many due questions were never sent, and the share of
    the wanted rate that was not reached, from 0 to 1.
    """

    wanted: float
    sent: float
    unsent: int
    shortfall: float


class Cost(msgspec.Struct, frozen=True):
    """Processor time, in microseconds for each answered question."""

    own_us: float | None
    server_us: float | None
    server_pids: tuple[int, ...]


class Report(msgspec.Struct, frozen=True):
    """The results of a run. `latency` counts from the send, or in open loop from when the question was due. `lateness`,
    only in open loop, is the part of it that the tool itself causes. Each is None if it has no values.
    """

    schema: int
    setting: Setting
    elapsed_s: float
    qps: float
    loss: float
    latency: Spread | None
    lateness: Spread | None
    rate: Rate | None
    counts: Counts
    rcodes: dict[str, int]
    reply_octets: float
    cost: Cost
    notes: tuple[str, ...]


def summarize(
    setting: Setting, outcome: Outcome, *, own_seconds: float, server_seconds: float | None, pids: tuple[int, ...]
) -> Report:
    """Return the report of a run from its outcome and the processor time spent meanwhile."""
    tally = outcome.tally
    elapsed = max(outcome.elapsed, 1) / SECOND
    lost = tally.lost + tally.closed
    return Report(
        schema=SCHEMA,
        setting=setting,
        elapsed_s=elapsed,
        qps=tally.answered / elapsed,
        loss=lost / tally.sent if tally.sent else 0.0,
        latency=_spread(tally.latency),
        lateness=_spread(tally.lateness) if setting.rate else None,
        rate=_rate(setting.rate, outcome, elapsed),
        counts=Counts(
            sent=tally.sent,
            answered=tally.answered,
            lost=lost,
            closed=tally.closed,
            late=tally.late,
            unexpected=tally.unexpected,
            mismatched=tally.mismatched,
            truncated=tally.truncated(),
            refused=tally.refused,
            reconnects=tally.reconnects,
            dropped_here=tally.dropped_here,
            outstanding=outcome.outstanding,
        ),
        rcodes=tally.rcodes(),
        reply_octets=tally.octets / tally.answered if tally.answered else 0.0,
        cost=Cost(
            own_us=own_seconds * 1e6 / tally.answered if tally.answered else None,
            server_us=server_seconds * 1e6 / tally.answered if tally.answered and server_seconds is not None else None,
            server_pids=pids,
        ),
        notes=tuple(_notes(setting, outcome, server_is_gone=bool(pids) and server_seconds is None)),
    )


def _spread(histogram: Histogram) -> Spread | None:
    if not histogram.count:
        return None
    p50, p90, p95, p99, p999 = (histogram.percentile(percent) / 1e3 for percent in (50, 90, 95, 99, 99.9))
    return Spread(histogram.minimum / 1e3, histogram.mean() / 1e3, p50, p90, p95, p99, p999, histogram.maximum / 1e3)


def _rate(wanted: float | None, outcome: Outcome, elapsed: float) -> Rate | None:
    if wanted is None or not outcome.due:
        return None
    unsent = outcome.due - outcome.tally.sent
    sent = outcome.tally.sent / max(elapsed, outcome.due / wanted)
    return Rate(wanted, sent, unsent, max(0.0, 1 - sent / wanted))


def _notes(setting: Setting, outcome: Outcome, *, server_is_gone: bool) -> list[str]:
    tally = outcome.tally
    notes = []
    if outcome.interrupted:
        notes.append(
            "The run was interrupted; questions that were outstanding then count as neither answered nor lost."
        )
    if abs(outcome.clock_step) > _CLOCK_STEP:
        notes.append(
            f"The clock was set by {outcome.clock_step / 1e6:.1f} ms during the run; some latencies are wrong."
        )
    if server_is_gone:
        notes.append("A process of the server ended during the run; its processor time is not known.")
    if tally.dropped_here:
        notes.append(f"{tally.dropped_here} replies were dropped on this side, because the socket buffers were full.")
    if tally.refused:
        notes.append(
            f"{tally.refused} times the system refused to send or reported an error: is the server's port open?"
        )
    if setting.rate:
        notes.append(
            "Open loop polls between questions: the tool's own processor time includes this, not only the questions."
        )
    return notes


def to_json(report: Report) -> bytes:
    """Return the report as one JSON object with a line end, fields in the order of the classes here."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def render(report: Report) -> Group:
    """Return the report as a table and its notes, for a rich console."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    counts, cost = report.counts, report.cost
    table.add_row("answers", f"{report.qps:,.0f} queries a second over {report.elapsed_s:.2f} s")
    if report.rate:
        rate = report.rate
        table.add_row("rate", f"{rate.sent:,.0f} of {rate.wanted:,.0f} a second sent, {rate.unsent:,} never sent")
    table.add_row("latency", _times(report.latency))
    if report.setting.rate:
        table.add_row("sent late", _times(report.lateness))
    table.add_row("questions", f"{counts.sent:,} sent, {counts.answered:,} answered, {counts.truncated:,} truncated")
    table.add_row("lost", f"{counts.lost:,} ({report.loss:.3%}), {counts.closed:,} of them with their connection")
    table.add_row("rcodes", "  ".join(f"{name} {times:,}" for name, times in report.rcodes.items()) or "none")
    table.add_row(
        "odd replies", f"{counts.mismatched:,} mismatched, {counts.late:,} late, {counts.unexpected:,} unexpected"
    )
    if counts.answered:
        table.add_row("reply size", f"{report.reply_octets:.0f} octets on average")
        table.add_row("processor", "  ".join(_costs(cost)) + " for each answered question")
    return Group(
        *(Text(line) for line in _title(report.setting)), table, *(Text(note, style="yellow") for note in report.notes)
    )


def _title(setting: Setting) -> tuple[str, str]:
    pace = f"{setting.rate:,.0f} a second" if setting.rate else f"{setting.outstanding} outstanding"
    return (
        f"{setting.server} over {setting.protocol.upper()}",
        f"{setting.loop} loop: {pace}, {setting.clients} clients, {setting.questions:,} questions",
    )


def _costs(cost: Cost) -> list[str]:
    texts = []
    if cost.own_us is not None:
        texts.append(f"own {cost.own_us:.2f} µs")
    if cost.server_us is not None:
        texts.append(f"server {cost.server_us:.2f} µs")
    return texts or ["none"]


def _times(spread: Spread | None) -> str:
    if spread is None:
        return "none"
    names = ("p50", "p95", "p99", "p999", "max")
    return "  ".join(f"{name.replace('999', '99.9')} {_time(getattr(spread, name))}" for name in names)


def _time(microseconds: float) -> str:
    """Return a time with three digits and its unit."""
    for unit, size in (("µs", 1.0), ("ms", 1e3)):
        if microseconds < 999.5 * size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds / 1e6:.3g} s"


class ProgressLine:
    """The progress of a run: on a terminal one line, which is overwritten each time, elsewhere a new line each time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen = Histogram()
        self._elapsed = 0

    def __call__(self, progress: Progress) -> None:
        """Show what happened since the last call."""
        latency = progress.tally.latency
        part = latency.since(self._seen)
        seconds = (progress.elapsed - self._elapsed) / SECOND
        self._seen, self._elapsed = latency.copy(), progress.elapsed
        lost = progress.tally.lost + progress.tally.closed
        p50, p99 = (_time(part.percentile(percent) / 1e3) for percent in (50, 99))
        times = f"  p50 {p50}  p99 {p99}" if part.count else "  no answers"
        line = (
            f"{progress.elapsed / SECOND:4.0f} s  {part.count / seconds:>7,.0f} q/s{times}"
            f"  lost {lost:,}  waiting {progress.outstanding:,}"
        )
        # Written plainly: a rich rendering takes milliseconds in which no question would be asked.
        end = "\r" if self._console.is_terminal else "\n"
        self._console.file.write(line[:_WIDTH] + ("\x1b[K" if end == "\r" else "") + end)
        self._console.file.flush()

    def clear(self) -> None:
        """Erase the line, if the output is a terminal."""
        if self._console.is_terminal:
            self._console.file.write("\x1b[K")
