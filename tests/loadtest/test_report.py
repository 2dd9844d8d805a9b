import io
import json

import pytest
from rich.console import Console

from loadtest.report import ProgressLine, Setting, render, summarize, to_json
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
    assert found["schema"] == 1


def test_the_figures_follow_from_the_counts() -> None:
    report = summarize(SETTING, outcome(), own_seconds=0.009, server_seconds=0.018, pids=(7,))
    assert report.qps == 450
    assert report.loss == pytest.approx(50 / 950)
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
    assert json.loads(to_json(report))["cost"] == {"own_us": None, "server_us": None, "server_pids": []}
    assert report.loss == 0


def test_the_table_says_it_in_words() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(render(summarize(SETTING, outcome(), own_seconds=0.009, server_seconds=0.018, pids=(7,))))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for expected in (
        "127.0.0.1#53 over UDP, open loop: 500 a second",
        "475 of 500 a second sent, 50 due questions never sent",
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
    line.clear()
    assert isinstance(console.file, io.StringIO)
    first, second = console.file.getvalue().splitlines()
    assert "100 q/s" in first
    assert "300 q/s" in second
    assert "lost 2" in second
    assert "p50 9" in second
