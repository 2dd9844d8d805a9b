"""The clock of tests with real loopback sockets, and how properties are tried.

Every run tries the same examples, so that a change is not blamed for a fault that it did not cause.

`HYPOTHESIS_PROFILE=explore make test` tries new ones, and more where a test does not say how many.
"""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from tests import observed
from tests.clock import LoopbackClock

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


# Whoever started the tests in the background may have had SIGINT ignored, which the programs they start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

observed.watch()


@pytest.fixture(autouse=True)
def _every_packet_is_well_formed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that a strict client can read every packet that was sent in this test."""
    observed.spoilt.clear()
    observed.watching = request.node.get_closest_marker("made_up") is None
    yield
    assert not observed.spoilt, observed.spoilt[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With several processes, report how many packets this one has read."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["seen"] = observed.seen


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the number that such a process reported."""
    observed.seen += getattr(node, "workeroutput", {}).get("seen", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many packets were looked at."""
    terminalreporter.write_line(f"{observed.seen:,} packets read strictly")


@pytest.fixture
def clock() -> LoopbackClock:
    """Time that jumps when nothing is on its way."""
    return LoopbackClock()
