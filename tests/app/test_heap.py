"""Memory after a list of the API: freed buffers of all sizes, with small objects between them that stay."""

import subprocess
import sys

import pytest
import trio

from dnsserver.app import heap
from tests.clock import LoopbackClock

CODE = """
import re
from pathlib import Path
from dnsserver.app.heap import give_back, keep_little

def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

keep_little()
before = resident()
large = b"x" * (30 << 20)  # after which glibc would take all that is smaller from the heap
del large
kept = []
buffers = []
for number in range(200):
    buffers.append(b"x" * {size})
    kept.append(b"y" * 1000)
del buffers
if {trimmed}:
    give_back()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about glibc's heap")
@pytest.mark.parametrize(
    ("size", "trimmed"),
    [
        (200_000, False),  # 40 MB
        (60_000, True),  # 12 MB
    ],
)
def test_what_was_freed_is_given_back(size: int, trimmed: bool) -> None:
    code = CODE.format(size=size, trimmed=trimmed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1500  # KiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about glibc's heap")
async def test_it_is_given_back_from_time_to_time(clock: LoopbackClock, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []
    monkeypatch.setattr(heap, "give_back", lambda: times.append(trio.current_time()))
    with trio.move_on_after(190):
        await heap.keep_giving_back()
    assert len(times) == 3
    assert times[2] - times[1] == times[1] - times[0] == 60
