import io
import json

import msgspec
import pytest
from rich.console import Console

from loadtest.report import ProgressLine, Report, Setting, render, summarize, to_json
from loadtest.run import SECOND, Outcome, Progress
from loadtest.tally import Tally

SETTING = Setting("127.0.0.1#53", "udp", "open", 8, 100, 500.0, 1000, None, False, 5.0, 0.0, True)


def outcome() -> Outcome:
    tally = Tally()
    tally.sent, tally.lost, tally.closed, tally.octets = 950, 40, 10, 90_000
    tally.latency.record(1_000_000, 890)
    tally.latency.record(50_000_000, 10)
    tally.lateness.record(2_000, 950)
    tally.flags[0x0084] = 900
    tally.dropped_here = 3
    return Outcome(tally, elapsed=2 * SECOND, due=1000, outstanding=0, interrupted=True, clock_step=5_000_000)


def test_the_json_has_the_fields_that_readers_rely_on() -> None:
    report = summarize(SETTING, outcome(), own_seconds=0.009, server_seconds=0.018, pids=(7,))
    found = json.loads(to_json(report))
    spread = {"min", "mean", "p50", "p90", "p95", "p99", "p999", "max"}
    assert {key: set(value) if isinstance(value, dict) else type(value) for key, value in found.items()} == {
        "schema": int,
        "setting": {
            "server", "protocol", "loop", "clients", "outstanding", "rate", "questions", "edns", "dnssec",
            "timeout_s", "warmup_s", "batches",
        },
        "elapsed_s": float,
        "qps": float,
        "loss": float,
        "latency": spread,
        "lateness": spread,
        "rate": {"wanted", "sent", "unsent", "shortfall"},
        "counts": {
            "sent", "answered", "lost", "closed", "late", "unexpected", "mismatched", "truncated", "refused",
            "reconnects", "dropped_here", "outstanding",
        },
        "rcodes": {"NOERROR"},
        "reply_octets": float,
        "cost": {"own_us", "server_us", "server_pids"},
        "notes": list,
    }  # fmt: skip
    assert found["schema"] == 2


def test_the_figures_follow_from_the_counts() -> None:
    report = summarize(SETTING, outcome(), own_seconds=0.009, server_seconds=0.018, pids=(7,))
    assert report.qps == 450
    assert report.loss == pytest.approx(50 / 950)
    assert report.latency is not None
    assert report.latency.p50 == pytest.approx(1000, rel=0.01)
    assert report.latency.max == 50_000
    assert report.rate is not None
    assert (report.rate.sent, report.rate.unsent) == (475, 50)
    assert report.rate.shortfall == pytest.approx(0.05)
    assert report.cost.own_us == pytest.approx(10)
    assert report.cost.server_us == pytest.approx(20)
    assert report.reply_octets == 100


def test_a_run_without_an_answer_has_a_report_too() -> None:
    empty = Outcome(Tally(), elapsed=0, due=None, outstanding=0, interrupted=False, clock_step=0)
    report = summarize(SETTING, empty, own_seconds=1, server_seconds=None, pids=())
    found = json.loads(to_json(report))
    assert found["cost"] == {"own_us": None, "server_us": None, "server_pids": []}
    assert found["latency"] is found["lateness"] is None
    assert report.loss == 0
    text = shown(report)
    assert "p50" not in text
    assert "0 µs" not in text
    assert "for each answered question" not in text


def shown(report: Report) -> str:
    """What is printed where a terminal has 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    console.print(render(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def large(pace: float | None) -> Report:
    """A report with the longest figures there can be."""
    tally = Tally()
    tally.sent, tally.lost, tally.closed, tally.octets = 1_000_000_000, 900_000_000, 90_000_000, 1 << 40
    tally.mismatched = tally.late = tally.unexpected = tally.dropped_here = tally.refused = 100_000_000
    for nanoseconds in (1, 9_999_000, 999_999_000, 300_000_000_000):
        tally.latency.record(nanoseconds, 25_000_000)
        tally.lateness.record(nanoseconds, 25_000_000)
    for rcode in range(16):
        tally.flags[0x0080 + (rcode << 8)] = 6_250_000
    setting = msgspec.structs.replace(
        SETTING,
        server="fd00:1234:5678:9abc:def0:1234:5678:9abc#65535",
        rate=pace,
        outstanding=262_144,
        questions=200_000,
    )
    run = Outcome(tally, elapsed=9999 * SECOND, due=2_000_000_000, outstanding=5, interrupted=True, clock_step=1 << 50)
    return summarize(setting, run, own_seconds=99_999, server_seconds=99_999, pids=(7,))


@pytest.mark.parametrize("pace", [None, 1_000_000.0])
def test_the_report_fits_80_columns_with_no_line_broken(pace: float | None) -> None:
    narrow = shown(large(pace))
    assert max(map(len, narrow.splitlines())) <= 80
    console = Console(file=io.StringIO(), width=500)
    console.print(render(large(pace)))
    assert isinstance(console.file, io.StringIO)
    rows = [line for line in console.file.getvalue().splitlines() if not line.startswith(("The ", "Open ", "1000"))]
    folded = [line.rstrip() for line in rows if "rcodes" not in line and len(line.rstrip()) > 80]
    assert folded == []


def test_the_table_says_it_in_words() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(render(summarize(SETTING, outcome(), own_seconds=0.009, server_seconds=0.018, pids=(7,))))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for expected in (
        "127.0.0.1#53 over UDP",
        "open loop: 500 a second, 8 clients, 1,000 questions",
        "475 of 500 a second sent, 50 never sent",
        "50 (5.263%)",
        "NOERROR 900",
        "own 10.00 µs  server 20.00 µs",
        "The clock was set by 5.0 ms",
        "3 replies were dropped on this side",
        "The run was interrupted",
    ):
        assert expected in text


def test_the_progress_line_shows_what_came_since_the_last() -> None:
    console = Console(file=io.StringIO())
    line = ProgressLine(console)
    tally = Tally()
    tally.latency.record(1_000_000, 100)
    line(Progress(SECOND, 5, tally))
    tally.latency.record(9_000_000, 300)
    tally.lost = 2
    line(Progress(2 * SECOND, 6, tally))
    tally.latency.record(299_999_000_000, 999_999)
    tally.lost = 123_456_789
    line(Progress(9999 * SECOND, 262_144, tally))
    tally.lost += 7
    line(Progress(10_000 * SECOND, 262_144, tally))
    line.clear()
    assert isinstance(console.file, io.StringIO)
    first, second, long, silent = console.file.getvalue().splitlines()
    assert "waiting 262,144" in long
    assert max(map(len, (first, second, long, silent))) < 80
    assert "no answers" in silent
    assert "p50" not in silent
    assert "100 q/s" in first
    assert "300 q/s" in second
    assert "lost 2" in second
    assert "p50 9" in second
    assert "p99 300 s" in long
