"""The program as its users start and end it."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

ROOT = Path(__file__).parents[2]
_PATIENCE = 20.0
_OBJECTS = """
apiVersion: v1
kind: List
items:
  - {{kind: Namespace, metadata: {{name: shop}}}}
  - {{kind: Service, metadata: {{name: web, namespace: shop}}, spec: {{clusterIP: {address}}}}}
"""

pytestmark = pytest.mark.e2e


def free_port() -> int:
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> float:
    """Wait until a condition holds and return how many seconds that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + _PATIENCE, "it did not come"
        time.sleep(0.02)  # another process's state: there is nothing to wait on but its answers
    return time.monotonic() - begun


class Program:
    """`dnsserver serve` with a file of objects."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.objects = folder / "objects.yaml"
        self.port, self.admin = free_port(), free_port()
        self.log = ""
        self.write("10.0.0.1")
        config = folder / "dnsserver.toml"
        config.write_text("drain = 1.5\nupstreams = []\n")
        command = [sys.executable, "-m", "dnsserver", "serve", "--config", str(config), "--objects", str(self.objects)]
        listen = ["--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"]
        self.process = subprocess.Popen([*command, *listen, *flags], cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def write(self, address: str) -> None:
        self.objects.write_text(_OBJECTS.format(address=address))

    def ready(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self, name: str = "web.shop.svc.cluster.local") -> list[str]:
        reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=self.port, timeout=5)
        return [rdata.to_text() for rrset in reply.answer for rdata in rrset]

    def end(self) -> str:
        """Kill it if it still runs, and return its log."""
        self.process.kill()
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.log = self.process.communicate()[1]
        return self.log


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program(tmp_path)
    wait_for(lambda: started.ready() == 200)
    yield started
    started.end()


def test_it_answers_and_takes_up_a_change_of_its_files(program: Program) -> None:
    assert program.ask() == ["10.0.0.1"]
    program.write("10.0.0.2")
    wait_for(lambda: program.ask() == ["10.0.0.2"])


def test_a_broken_file_keeps_what_was_good(program: Program) -> None:
    program.objects.write_text("kind: List\nitems: [{kind: Service, metadata: {name: 1}\n")
    program.write("10.0.0.3")
    wait_for(lambda: program.ask() == ["10.0.0.3"])


def test_at_its_end_readiness_goes_first_and_answers_go_on(program: Program) -> None:
    program.process.send_signal(signal.SIGTERM)
    wait_for(lambda: program.ready() == 503)
    assert program.ask() == ["10.0.0.1"]
    assert program.process.wait(_PATIENCE) == 0
    assert "ended" in program.end()


def test_an_address_in_use_is_told(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = Program(folder, "--listen", f"127.0.0.1:{program.port}")
    assert second.process.wait(_PATIENCE) == 1
    assert f"127.0.0.1:{program.port}: Address already in use" in second.end()
    assert program.ask() == ["10.0.0.1"]
