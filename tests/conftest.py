"""The clock of tests with real loopback sockets, and how properties are tried.

It is on the same examples in every run, so that a change is not blamed for what it did not break.

`HYPOTHESIS_PROFILE=explore make test` tries new ones, and more where a test does not say how many.
"""

import os

import pytest
from hypothesis import settings

from tests.clock import LoopbackClock

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def clock() -> LoopbackClock:
    """Time that jumps when nothing is on its way."""
    return LoopbackClock()
