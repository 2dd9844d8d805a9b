"""`python -m dnsserver serve` as a user runs it: start, answers, changes, the end, and what stands in the way."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from tests.cluster import Thing, endpoint, endpoints, namespace, pod, service
from tests.e2e.process import FOLDER, PATIENCE, Served, served, wait_until
from tests.running import write_objects

pytestmark = pytest.mark.e2e

HTTP = ("http", "TCP", 80)
THINGS: list[Thing] = [
    namespace("shop"),
    service("web", "10.96.0.1", ports=[HTTP]),
    service("db", ports=[HTTP]),
    endpoints("db", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1"), ports=[HTTP]),
    service("alias", external="web.shop.svc.cluster.local"),
    pod("one", "10.2.0.1"),
]
SETTINGS = """
listen = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
drain = 1.0
upstreams = []
"""


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    objects = tmp_path / "objects"
    objects.mkdir()
    write_objects(objects, THINGS)
    return ["--config", str(tmp_path / "settings.toml"), "--objects", str(objects)]


@pytest.fixture
def server(flags: list[str]) -> Iterator[Served]:
    with served(*flags) as running:
        yield running


@pytest.mark.parametrize("tcp", [False, True])
def test_it_answers(server: Served, tcp: bool) -> None:
    def records(name: str, type_: str = "A") -> list[str]:
        reply = server.ask(f"{name}.", type_, tcp=tcp)
        return sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)

    z = "shop.svc.cluster.local"
    assert records(f"web.{z}") == ["10.96.0.1"]
    assert records(f"db.{z}") == ["10.1.0.1", "10.1.0.2"]
    assert records(f"_http._tcp.web.{z}", "SRV") == [f"0 100 80 web.{z}."]
    assert records("1.0.96.10.in-addr.arpa", "PTR") == [f"web.{z}."]
    assert records(f"alias.{z}") == ["10.96.0.1", f"web.{z}."]
    assert records("10-2-0-1.shop.pod.cluster.local") == ["10.2.0.1"]
    assert server.ask("www.example.com.", tcp=tcp).rcode() == dns.rcode.REFUSED  # it has no upstreams


def test_admin_pages(server: Served) -> None:
    assert server.get("/healthz") == (200, "ok\n")
    assert server.get("/readyz")[0] == 200
    server.ask("web.shop.svc.cluster.local.")
    assert "coredns_dns_requests_total" in server.get("/metrics")[1]


def test_a_change_of_a_file_is_served(server: Served, tmp_path: Path) -> None:
    name = "new.shop.svc.cluster.local."
    assert server.ask(name).rcode() == server.ask(name).rcode() == dns.rcode.NXDOMAIN
    write_objects(tmp_path / "objects", [*THINGS, service("new", "10.96.0.9")])
    wait_until(lambda: server.addresses(name) == {"10.96.0.9"})
    write_objects(tmp_path / "objects", [*THINGS, service("new", "10.96.0.10")])
    wait_until(lambda: server.addresses(name) != {"10.96.0.9"})
    assert server.addresses(name) == {"10.96.0.10"}
    (tmp_path / "objects" / "objects.json").write_text('{"items": [')
    broken = server.wait_for("objects file is broken, its last good content is served on")
    assert "objects.json" in broken["file"]
    assert server.addresses(name) == {"10.96.0.10"}
    write_objects(tmp_path / "objects", THINGS)
    wait_until(lambda: server.ask(name).rcode() == dns.rcode.NXDOMAIN)


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="measuring coverage takes memory as well")
def test_the_demo_cluster_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    with served("--config", str(tmp_path / "settings.toml"), "--objects", "zones/demo") as server:
        assert server.addresses("web.shop.svc.cluster.local")
        assert server.get("/metrics")[0] == 200
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    assert resident < 42 * 1024  # KiB; 36 MiB with CPython 3.11


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_drains_and_ends(server: Served, number: int) -> None:
    assert server.get("/readyz")[0] == 200
    server.process.send_signal(number)
    wait_until(lambda: server.get("/readyz")[0] == 503)
    assert server.get("/readyz")[1].startswith("draining: ")
    assert server.get("/healthz")[0] == 200
    for tcp in (False, True):
        assert server.ask("web.shop.svc.cluster.local.", tcp=tcp).rcode() == dns.rcode.NOERROR
    assert server.process.wait(PATIENCE) == 0
    assert server.wait_for("ended")


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "dnsserver", "serve", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_an_address_that_is_taken(flags: list[str], kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        status, said = run(*flags, "--listen", address)
    assert status == 1
    assert f"cannot listen on {address}" in said
    assert "address already in use" in said
    assert "Traceback" not in said


def test_a_zone_file_that_cannot_be_read(flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "corp.zone").write_text("no zone")
    (tmp_path / "settings.toml").write_text(SETTINGS + f'static = ["{tmp_path}/corp.zone"]\n')
    status, said = run(*flags)
    assert status == 2
    assert "corp.zone" in said
    assert "Traceback" not in said


def test_a_mistake_in_the_configuration(flags: list[str]) -> None:
    status, said = run(*flags, "--listen", "here")
    assert status == 2
    assert "--listen" in said


def test_names_outside_go_to_the_upstream(flags: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(PATIENCE)
        with served(*flags, "--upstream", f"127.0.0.1:{upstream.getsockname()[1]}") as server:
            query, _ = upstream.recvfrom(4096)  # the server asks by itself first, whether the upstream leads back to it
            assert len(query) > 12
            assert server.addresses("web.shop.svc.cluster.local.") == {"10.96.0.1"}  # whatever the upstream does
