"""The clock of tests with real loopback sockets, and how properties are tried.

It is on the same examples in every run, so that a change is not blamed for what it did not break.

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
    """See that what was sent in this test can be read by a strict client."""
    observed.spoilt.clear()
    observed.watching = request.node.get_closest_marker("made_up") is None
    yield
    assert not observed.spoilt, observed.spoilt[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a process of several say how many packets it looked at."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["seen"] = observed.seen


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what such a process said."""
    observed.seen += getattr(node, "workeroutput", {}).get("seen", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many packets were looked at."""
    terminalreporter.write_line(f"{observed.seen:,} packets read strictly")


@pytest.fixture
def clock() -> LoopbackClock:
    """Time that jumps when nothing is on its way."""
    return LoopbackClock()
