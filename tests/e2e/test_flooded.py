"""A server that is flooded, on loopback and for two seconds: the probes of its pod must not end it."""

import contextlib
import socket
import threading
from pathlib import Path
from time import monotonic, sleep

import dns.message
import pytest

from tests.cluster import namespace, service
from tests.e2e.process import served
from tests.running import write_objects

pytestmark = pytest.mark.e2e

SECONDS = 2.0
PROBE = 1.0  # seconds that a probe waits, as Kubernetes has it
FLOODS = {
    "names that exist": ["web.shop.svc.cluster.local"],
    "names that do not": [f"n{n}.shop.svc.cluster.local" for n in range(20_000)],
    "outside names that nobody answers": [f"n{n}.example.org" for n in range(20_000)],
    "one such name": ["silent.example.org"],
}


def flood(port: int, names: list[str], stop: threading.Event) -> None:
    """Ask as fast as this process can, and read nothing."""
    packets = [dns.message.make_query(name, "A", use_edns=0).to_wire() for name in names]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        sock.connect(("127.0.0.1", port))
        at = 0
        while not stop.is_set():
            for _ in range(64):
                with contextlib.suppress(OSError):
                    sock.send(packets[at % len(packets)])
                at += 1


@pytest.mark.parametrize("kind", FLOODS)
def test_healthz_never_fails_because_of_load(kind: str, tmp_path: Path) -> None:
    objects = write_objects(tmp_path, [namespace("shop"), service("web", "10.96.0.1")])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = tmp_path / "settings.toml"
        settings.write_text(
            'listen = ["127.0.0.1:0"]\nadmin = "127.0.0.1:0"\ndrain = 0\n'
            f'upstreams = ["127.0.0.1:{silent.getsockname()[1]}"]\n'
        )
        with served("--config", str(settings), "--objects", str(objects)) as server:
            stop = threading.Event()
            attacker = threading.Thread(target=flood, args=(server.port, FLOODS[kind], stop))
            attacker.start()
            try:
                ends, longest, probes = monotonic() + SECONDS, 0.0, 0
                while monotonic() < ends:
                    began = monotonic()
                    assert server.get("/healthz")[0] == 200
                    longest = max(longest, monotonic() - began)
                    probes += 1
                    sleep(0.05)
            finally:
                stop.set()
                attacker.join()
            assert probes >= 3
            assert longest < PROBE
