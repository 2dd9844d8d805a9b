"""The log about an API server that cannot be followed: its lines, and how often they come."""

import trio.testing

from dnsserver.kube.errors import Disconnected, ServerFailure
from dnsserver.kube.outage import SLOW, Outage
from dnsserver.zone.model import Kind
from tests.logs import Log, capture_logs

URL = "https://api.example"


def said(logs: list[Log]) -> list[tuple[str, str]]:
    return [(log["log_level"], str(log.get("reason", log.get("seconds")))) for log in logs]


async def test_one_warning_for_all_kinds_and_one_line_at_the_end(mock_clock: trio.testing.MockClock) -> None:
    outage = Outage(lambda: URL)
    with capture_logs() as logs:
        for _ in range(10):
            for kind in Kind:
                outage.failed(kind, Disconnected("refused"))
            outage.look(None)
            mock_clock.jump(3)
        for kind in Kind:
            outage.look(None)
            outage.works(kind)
        mock_clock.jump(3)
        outage.look(None)
        outage.look(None)
    assert said(logs) == [("warning", "disconnected"), ("info", "33")]
    assert {log["server"] for log in logs} == {URL}
    assert logs[0]["error"] == "refused"


async def test_a_cut_that_is_resumed_is_no_outage(mock_clock: trio.testing.MockClock) -> None:
    outage = Outage(lambda: URL)
    with capture_logs() as logs:
        outage.works(Kind.PODS)
        for _ in range(5):
            outage.failed(Kind.PODS, Disconnected("cut"))
            outage.works(Kind.PODS)
            mock_clock.jump(5)
            outage.look(None)
        assert logs == []
        outage.failed(Kind.PODS, Disconnected("cut"))
        outage.failed(Kind.PODS, Disconnected("refused"))
    assert said(logs) == [("warning", "disconnected")]


async def test_another_cause_is_said_once(mock_clock: trio.testing.MockClock) -> None:
    outage = Outage(lambda: URL)
    with capture_logs() as logs:
        for _ in range(5):
            outage.failed(Kind.PODS, Disconnected("refused"))
            outage.failed(Kind.PODS, ServerFailure("503"))
            mock_clock.jump(1)
    assert said(logs) == [("warning", "disconnected"), ("warning", "server-failure")]


async def test_what_hangs_is_said_once_in_time(mock_clock: trio.testing.MockClock) -> None:
    outage = Outage()
    began = trio.current_time()
    with capture_logs() as logs:
        for _ in range(30):
            outage.look((began, "credentials"))
            mock_clock.jump(1)
            assert bool(logs) == (trio.current_time() - began > SLOW)
        outage.works(Kind.PODS)
        outage.look(None)
    assert said(logs) == [("warning", "slow"), ("info", "30")]
    assert logs[0]["error"] == "no credentials for 7 s"
    assert logs[0]["server"] == "not known yet"
