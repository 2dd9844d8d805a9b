"""A server whose address space is limited: it serves and ends in order, or says what is missing."""

from pathlib import Path

import dns.message
import pytest

from dnsserver.app.address_space import LEAST
from tests.app.started import Program, program, status_of
from tests.running import ask_tcp, ask_udp

pytestmark = pytest.mark.slow

MIB = 1 << 20


def query(name: str) -> bytes:
    return dns.message.make_query(name, "A").to_wire()


def limited(octets: int) -> str:
    return f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({octets}, {octets}))\n"


async def port_of(running: Program) -> int:
    serving = await running.wait_says("serving")
    return int(serving["listen"][0].rpartition(":")[2])


@pytest.mark.parametrize(("limit", "workers"), [(200, "1"), (200, "2"), (80, "1")])
async def test_with_enough_it_serves_and_ends_in_order(limit: int, workers: str, tmp_path: Path) -> None:
    async with program(tmp_path, "--workers", workers, prelude=limited(limit * MIB)) as running:
        port = await port_of(running)
        packets = [query(f"{name}.shop.svc.cluster.local.") for name in ("web", "none") for _ in range(500)]
        for ask in (ask_udp, ask_tcp):
            replies = await ask(port, packets)
            assert [reply[3] & 15 for reply in replies] == [0] * 500 + [3] * 500
        size = int(status_of(running.process.pid)["VmPeak"].split()[0])
        assert size < 80 * 1024, "nothing is taken that is not used"
        running.process.terminate()
        assert await running.wait_ends() == 0
        assert b"internal error" not in running.said
        assert not running.tracebacks


@pytest.mark.parametrize("limit", [LEAST // MIB - 1, 48, 40])
async def test_with_too_little_it_says_what_is_missing(limit: int, tmp_path: Path) -> None:
    async with program(tmp_path, prelude=limited(limit * MIB)) as running:
        assert await running.wait_ends() == 1
        await running.wait_silent()
        (line,) = running.said.decode().splitlines()
        assert f"limited to {limit} MiB (RLIMIT_AS" in line
        assert "expected at least 64 MiB" in line
