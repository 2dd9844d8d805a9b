"""Virtual time for tests with real loopback sockets."""

import pytest
import trio.testing


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Time that jumps when nothing happens for a moment: packets on loopback take less than that."""
    return trio.testing.MockClock(autojump_threshold=0.06)
