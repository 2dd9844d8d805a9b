"""The memory and processor time of a process are those that the kernel reports."""

import os
import resource
import time

import pytest

from dnsserver.app.process_usage import usage


def test_it_is_what_the_kernel_says() -> None:
    found = usage()
    assert found is not None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert 1 << 20 < found.resident_memory <= most * 1.1
    assert found.resident_memory < found.virtual_memory
    assert found.cpu == pytest.approx(sum(os.times()[:2]), abs=0.5)
    assert time.time() - 3600 < found.started < time.time()
    assert 3 <= found.open_files <= found.max_files
