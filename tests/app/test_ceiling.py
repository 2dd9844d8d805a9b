"""The most memory that a configuration takes: below the manifest's limit, and made of the bounds that parts keep."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import dns.message
import msgspec
import pytest

from dnsserver.app import ceiling
from dnsserver.config import Config
from dnsserver.server import tcp, udp
from dnsserver.server.guard import TOO_FAST
from dnsserver.server.observer import observed
from dnsserver.traffic.observed import MOST_ROOM, SIZE
from tests.deployment import base
from tests.server.unplugged import Server

replaced = msgspec.structs.replace


@pytest.mark.parametrize("workers", [1, 2])
def test_the_manifests_limit_is_above_it_with_loader_second_process_and_a_worker(workers: int) -> None:
    config, limit = base()
    parts = ceiling.parts(replaced(config, workers=workers))
    names = " ".join(part.name for part in parts)
    for counted in ("loader", "kubectl exec", *(["1 more that answer"] if workers > 1 else [])):
        assert counted in names
    assert ceiling.total(parts) < limit


BOUNDS = [
    ("reply_cache", "size", 1.0),
    ("cache", "size", 1.0),
    ("tcp", "buffers", 1.0),
    ("tcp", "connections", 50_000),
    ("forwarding", "in_flight", 1500),
]


@pytest.mark.parametrize(("table", "key", "octets"), BOUNDS)
def test_each_setting_that_bounds_a_part_counts(table: str, key: str, octets: float) -> None:
    config = Config()
    section = getattr(config, table)
    more = replaced(config, **{table: replaced(section, **{key: getattr(section, key) + 100_000})})
    grown = ceiling.total(ceiling.parts(more)) - ceiling.total(ceiling.parts(config))
    assert octets * 100_000 <= grown <= 3 * octets * 100_000
    bounds = {part.bound for part in ceiling.parts(config)}
    assert f"{table}.{key}" in bounds


def test_the_zone_and_further_processes_count() -> None:
    one = ceiling.total(ceiling.parts(Config()))
    assert ceiling.total(ceiling.parts(Config(), services=20_000)) - one > 10_000 * 1600
    assert ceiling.total(ceiling.parts(replaced(Config(), workers=2))) - one > 64 * ceiling.MIB
    assert ceiling.total(ceiling.parts(replaced(Config(), objects=Path("demo")))) < one


def test_the_buffers_that_it_counts_are_those_that_are_asked_for() -> None:
    assert ceiling.TCP_BUFFERS == 2 * (tcp.SEND_BUFFER + tcp.RECEIVE_BUFFER)
    assert ceiling.UDP_BUFFERS == {"rmem": udp.RECEIVE_BUFFER, "wmem": udp.SEND_BUFFER}
    assert ceiling.LANE_BUFFERS == {"rmem": udp.LANE_RECEIVE_BUFFER, "wmem": udp.LANE_SEND_BUFFER}


# The way into a pod's cluster, up to the token that is not there.
LOADED = """
import os
from dnsserver.kube.loader import HopelessError, load
os.environ |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
try: load(service_account="/nowhere")
except HopelessError: pass
else: raise SystemExit("found a token")
"""
PROGRAMS = {
    "server": "import dnsserver.app.server",
    "more that answer": "import dnsserver.app.worker",
    "loader": LOADED,
    "second process": "import dnsserver.cli, dnsserver.app.preflight, dnsserver.app.rehearsal, dnsserver.app.ceiling",
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_counted_for_a_program_is_more_than_it_takes_but_not_twice_as_much(program: str) -> None:
    said = "import re; print(re.search(r'RssAnon:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # which takes memory
    command = [sys.executable, "-c", f"{PROGRAMS[program]}\n{said}"]
    ran = subprocess.run(command, capture_output=True, check=True, env=env)
    (part,) = [part for part in ceiling.parts(replaced(Config(), workers=2)) if program in part.name]
    assert part.octets / 2 < int(ran.stdout) * 1024 < part.octets


def test_check_shows_each_part_and_the_sum_as_a_comment() -> None:
    parts = ceiling.parts(Config())
    lines = ceiling.table(parts).splitlines()
    assert all(line.startswith("#") for line in lines)
    assert len(lines) == len(parts) + 2
    assert f"{ceiling.total(parts) / ceiling.MIB:.1f}" in lines[-1]


def test_what_waits_to_be_looked_at_takes_no_more_than_is_counted_for_it() -> None:
    server = Server()
    name = ".".join(["x" * 63] * 3 + ["y" * 61])
    packet = dns.message.make_query(name, "A", use_edns=0).to_wire()
    observer = server.responder.observer
    observer.room = MOST_ROOM
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(MOST_ROOM):
        observer.dropped(bytes(packet), server.udp, number, TOO_FAST)
    rows, _ = tracemalloc.get_traced_memory()
    seen = [observed(row, 0.0) for row in observer.take()]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == MOST_ROOM
    assert rows - before < MOST_ROOM * SIZE
    assert after - rows < MOST_ROOM * SIZE
