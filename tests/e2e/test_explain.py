"""`dnsserver explain` and `dump` of a server that runs as a process of its own, as an operator calls them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import FOLDER, Program, Served, served

pytestmark = [pytest.mark.e2e]

SHOP = "shop.svc.cluster.local"
_PATIENCE = 30.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    program = Program("tests.upstream")
    yield int(program.first_line())
    program.close()


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def server(request: pytest.FixtureRequest, upstream: int) -> Iterator[Served]:
    flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--objects", str(FOLDER / "zones" / "demo")]
    with served(*flags, "--upstream", f"127.0.0.1:{upstream}", "--workers", str(request.param)) as running:
        yield running


def run(server: Served, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "dnsserver", *words, "--server", server.admin.removeprefix("http://")]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_name_that_resolves(server: Served) -> None:
    status, out, err = run(server, "explain", "web", "--namespace", "shop")
    assert (status, err) == (0, "")
    addresses = sorted(server.addresses(f"web.{SHOP}") | server.addresses(f"web.{SHOP}", "AAAA"))
    verdict = out.splitlines()[-1]
    assert verdict.startswith(f"web resolves as web.{SHOP}. to ")
    assert sorted(verdict.rpartition(" to ")[2].split(", ")) == addresses


def test_a_name_that_does_not(server: Served) -> None:
    status, out, err = run(server, "explain", "wbe.shop")
    assert (status, err) == (1, "")
    assert out.splitlines()[-1].endswith(f"Did you mean web.{SHOP}?")


def test_an_outside_name_and_where_it_came_from(server: Served, upstream: int) -> None:
    first = json.loads(run(server, "explain", "www.example.com.", "--type", "A", "--json")[1])
    again = json.loads(run(server, "explain", "www.example.com.", "--type", "A", "--json")[1])
    (asked,), (kept,) = (found["questions"][0]["sources"] for found in (first, again))
    assert (asked["kind"], asked["upstream"]) == ("upstream", f"127.0.0.1:{upstream}")
    assert (kept["kind"], kept["upstream"]) == ("cache", f"127.0.0.1:{upstream}")
    assert [record["data"] for record in first["questions"][0]["records"]] == ["192.0.2.80"]


def test_a_clients_resolv_conf(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver 10.96.0.10\nsearch {SHOP} svc.cluster.local\noptions ndots:1\n")
    status, out, _ = run(server, "explain", "web.shop", "--resolv-conf", str(file))
    assert status == 1
    assert "but not with musl" in out.splitlines()[-1]


def test_explaining_is_in_no_number_of_clients(server: Served) -> None:
    run(server, "explain", "web.shop")
    before = counted(server)
    for name in ("web.shop", "none.shop", "www.example.com"):
        run(server, "explain", name)
    run(server, "dump")
    assert counted(server) == before


def counted(server: Served) -> list[str]:
    names = (
        "coredns_dns_requests_total",
        "coredns_dns_responses_total",
        "dnsserver_answers_total",
        "coredns_cache_hits",
    )
    return [line for line in server.get("/metrics")[1].splitlines() if line.startswith(names)]


def test_the_zone(server: Served) -> None:
    status, out, err = run(server, "dump", "web.shop")
    assert (status, err) == (0, "")
    found = {tuple(line.split()[3:]) for line in out.splitlines() if line.startswith(f"web.{SHOP}. ")}
    assert {("A", address) for address in server.addresses(f"web.{SHOP}")} <= found
    assert run(server, "dump", "none")[0] == 1
    whole = run(server, "dump")[1].splitlines()
    assert whole[0].startswith("cluster.local. 5 IN SOA ")
    assert set(out.splitlines()) <= set(whole)


def test_the_server_of_a_configuration(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'admin = "{server.admin.removeprefix("http://")}"\n')
    command = [sys.executable, "-m", "dnsserver", "explain", "web.shop", "--config", str(file)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def test_something_else_answers_there(server: Served) -> None:
    command = [sys.executable, "-m", "dnsserver", "explain", "web", "--server", f"127.0.0.1:{server.port}"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it is not a dnsserver, or has another version" in done.stderr
