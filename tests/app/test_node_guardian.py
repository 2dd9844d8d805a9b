"""How a server uses the reports of its guardian, and when it is ready."""

from pathlib import Path

import pytest
import trio

from dnsserver.app.node_guardian import READY, NodeGuardian
from dnsserver.node.report import FRESH, Report, write

WELL = Report(
    at=100.0,
    addresses={"169.254.20.10": True, "10.96.0.10": True},
    withheld=(),
    rules=True,
    answers=True,
    problems=(),
    errors={},
    withdrawals=0,
    repairs=0,
)


@pytest.mark.parametrize(
    ("report", "now", "problems"),
    [
        (None, 100.0, ["the guardian of this node has not reported"]),
        (WELL, 100.0, []),
        (WELL, 100.0 + FRESH, []),
        (WELL, 130.0, ["the guardian of this node reported last 30 s ago"]),
        (WELL, 60.0, ["the guardian of this node has not reported since the machine started"]),
        (
            WELL._replace(
                addresses={"169.254.20.10": True, "10.96.0.10": False}, problems=("10.96.0.10 is on kube-ipvs0",)
            ),
            100.0,
            ["this node does not have 10.96.0.10", "10.96.0.10 is on kube-ipvs0"],
        ),
        (WELL._replace(rules=False), 101.0, ["connections to this node's addresses are tracked"]),
        (WELL._replace(answers=False), 101.0, []),  # the server knows better itself
    ],
)
def test_what_is_in_the_way(tmp_path: Path, report: Report | None, now: float, problems: list[str]) -> None:
    if report is not None:
        write(tmp_path, report)
    assert list(NodeGuardian(tmp_path, lambda: now).problems()) == problems


async def test_a_file_says_that_it_has_been_ready(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    (tmp_path / READY).touch()  # of the container that was here before
    ready: list[bool] = []
    nursery.start_soon(NodeGuardian(tmp_path).announce, lambda: bool(ready))
    await trio.sleep(2)
    assert not (tmp_path / READY).exists()
    ready.append(True)
    await trio.sleep(1)
    assert (tmp_path / READY).exists()
