"""Memory that nobody needs any more is given back: after a list of the API, and from time to time."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import dns.message
import pytest
import trio

from dnsserver.app import dns_service
from tests.clock import LoopbackClock
from tests.cluster import namespace, service
from tests.forward.scripted import helpful, upstream
from tests.running import ask_udp, config, port_of, running, upstream_at, write_objects

# Freed buffers of all sizes, with small objects between them that stay, as a list of the API leaves them.
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


async def test_what_nobody_needs_is_let_go_from_time_to_time(
    clock: LoopbackClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times: list[float] = []
    monkeypatch.setattr(dns_service, "give_back", lambda: times.append(trio.current_time()))
    objects = write_objects(tmp_path, [namespace("shop"), service("web", "10.9.0.1")])
    async with (
        upstream(helpful) as outside,
        running(config(objects=objects, upstreams=upstream_at(outside.port))) as server,
    ):
        lasting = dns.message.make_query("web.shop.svc.cluster.local.", "A").to_wire()
        passing = dns.message.make_query("one.test.", "A").to_wire()
        for _ in range(3):
            await ask_udp(port_of(server), [lasting, passing])
        kept = server.dns.replies.statistics()
        await trio.sleep(400)
        left = server.dns.replies.statistics()
    assert {later - earlier for earlier, later in pairwise(times)} == {60}
    assert (kept.replies, kept.expired) == (2, 0)
    assert (left.replies, left.expired) == (1, 1)
