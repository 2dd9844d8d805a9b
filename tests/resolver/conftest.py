"""Virtual time for tests with real loopback sockets."""

import pytest

from tests.clock import LoopbackClock


@pytest.fixture
def clock() -> LoopbackClock:
    """Time that jumps when nothing is on its way."""
    return LoopbackClock()
