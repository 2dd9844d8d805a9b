"""Sources of upstreams: what clients and the log are told while a source gives none, and how it recovers."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from dnsserver.forward.settings import CacheSettings, Limits, UpstreamSpec
from dnsserver.forward.upstream import Upstream
from dnsserver.wire.message import EDE, NOERROR, REFUSED, SERVFAIL
from dnsserver.wire.name import ROOT
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    ask,
    forwarder,
    helpful,
    route,
    upstream,
    wait_outcome,
)
from tests.logs import capture_logs

LIMITS = Limits(file_interval=0.02, resolve_interval=30)
FOLDER = Path(__file__).parents[2]


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for an effect of threads and files, which no event reports."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def missing(_: Path) -> None:
    """There is none."""


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def containing(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_text(text)

    return make


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (missing, "cannot be read: No such file or directory"),
        (folder, "cannot be read: "),
        (pipe, "cannot be read: it is not a regular file"),
        (containing(" "), "has no line with a nameserver and its address"),
        (containing("search example.com\noptions ndots:5\n"), "has no line with a nameserver and its address"),
        (containing("nameserver dns.example\n"), "has no line with a nameserver and its address"),
    ],
)
async def test_a_file_without_upstreams_is_told_and_comes_right(
    make: Callable[[Path], None], why: str, tmp_path: Path, logs: list[Any]
) -> None:
    path = tmp_path / "resolv.conf"
    make(path)
    async with forwarder(route(resolv_conf=str(path)), limits=LIMITS) as forward:
        for i in range(3):
            outcome = await wait_outcome(forward, ask(f"n{i}.example.com"))
            assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstreams-unknown")
            assert outcome.reason.ede is EDE.NO_REACHABLE_AUTHORITY
            assert outcome.reason.text.startswith(f"{path} {why}")
        await trio.sleep(0.1)
        assert [line["error"].startswith(why) for line in logs if line["log_level"] == "warning"] == [True]
        (tmp_path / "new").write_text("nameserver 127.0.0.1\n")
        if path.is_dir():
            path.rmdir()
        (tmp_path / "new").rename(path)
        await wait_until(lambda: bool(forward.statistics().upstreams))


async def test_a_file_that_may_be_read_later_is_read_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\n")
    path.chmod(0)
    system_open, allowed = os.open, False

    def guarded(name: Any, *more: Any) -> int:  # root, who runs some of these tests, may read everything
        if name == str(path) and not allowed:
            raise PermissionError(13, os.strerror(13))
        return system_open(name, *more)

    monkeypatch.setattr(os, "open", guarded)
    async with forwarder(route(resolv_conf=str(path)), limits=LIMITS) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert outcome.reason.text == f"{path} cannot be read: Permission denied"
        allowed = True
        path.chmod(0o644)  # neither its content nor its time has changed
        await wait_until(lambda: bool(forward.statistics().upstreams))


async def test_resolv_conf_is_followed(tmp_path: Path, logs: list[Any]) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\noptions edns0 rotate timeout:1\n")
    async with forwarder(route(resolv_conf=str(path)), limits=LIMITS) as forward:

        async def wait_upstreams(*names: str) -> None:
            await wait_until(lambda: [server.name for server in forward.statistics().upstreams] == list(names))

        await wait_upstreams("127.0.0.1:53")
        path.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions use-vc\n")
        await wait_upstreams("tcp://127.0.0.2:53", "tcp://127.0.0.1:53")
        path.write_text("")  # being written: what was known stays
        path.unlink()
        await trio.sleep(0.05)
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == SERVFAIL
        path.write_text("nameserver 127.0.0.3\n")
        await wait_upstreams("127.0.0.3:53")
    told = [line["options"] for line in logs if line["event"] == "options of a file of upstreams not followed"]
    assert told == [["rotate", "timeout:1"]]


async def test_a_hostname_is_looked_up() -> None:
    async with upstream() as server, forwarder(route(UpstreamSpec("localhost", server.port))) as forward:
        await wait_until(lambda: bool(forward.statistics().upstreams))
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


class Resolver(trio.abc.HostnameResolver):
    """The operating system's, as far as a test says what it knows."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked = 0

    async def getaddrinfo(self, host: bytes | None, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked += 1
        address = self.known.get((host or b"").decode())
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


async def test_a_hostname_that_does_not_resolve_is_told_and_comes_right(clock: LoopbackClock, logs: list[Any]) -> None:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    async with upstream() as server:
        spec = UpstreamSpec("dns.corp.example", server.port)
        async with forwarder(route(spec), limits=LIMITS) as forward:
            await trio.sleep(20)
            outcome = await wait_outcome(forward, ask("www.example.com"))
            assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstreams-unknown")
            assert outcome.reason.text == "upstream dns.corp.example: is not resolved: Name or service not known"
            assert 3 < resolver.asked < 8
            assert len([line for line in logs if line["log_level"] == "warning"]) == 1
            resolver.known["dns.corp.example"] = HOST
            await trio.sleep(30)
            assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR
            # What it was stays when it cannot be looked up any more.
            resolver.known.clear()
            await trio.sleep(60)
            assert (await wait_outcome(forward, ask("w2.example.com"))).rcode == NOERROR


async def test_what_failed_before_is_asked_of_a_new_address_at_once(clock: LoopbackClock) -> None:
    resolver = Resolver()
    resolver.known["dns.corp.example"] = "127.0.0.2"  # where nobody listens
    trio.socket.set_custom_hostname_resolver(resolver)
    cache = CacheSettings(failure_ttl=300, failure_cap=300)
    async with upstream() as server:
        spec = UpstreamSpec("dns.corp.example", server.port)
        async with forwarder(route(spec), cache=cache, limits=LIMITS) as forward:
            await trio.sleep(1)
            for _ in range(2):
                assert (await wait_outcome(forward, ask("www.example.com"))).rcode == SERVFAIL
            resolver.known["dns.corp.example"] = HOST
            await trio.sleep(31)
            assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


async def test_one_hostname_that_does_not_resolve_is_not_missed_where_others_do(clock: LoopbackClock) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    async with upstream(helpful) as server:
        specs = UpstreamSpec("dns.corp.example"), server.spec
        async with forwarder(route(*specs), limits=LIMITS) as forward:
            assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR


async def test_an_empty_list_is_refused() -> None:
    async with forwarder(route()) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (REFUSED, "no-upstreams")


# ---- addresses with a zone


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("fe80::53%lo", ("fe80::53", 53, 0, socket.if_nametoindex("lo"))),
        ("fe80::53%7", ("fe80::53", 53, 0, 7)),
    ],
)
def test_a_zone_is_looked_up_for_the_socket(address: str, expected: tuple[Any, ...]) -> None:
    server = Upstream(UpstreamSpec(address), address, ROOT)
    assert server.socket_address() == expected
    assert address in server.name


async def test_an_interface_that_is_not_there_is_unreachable() -> None:
    async with forwarder(route(UpstreamSpec("fe80::53%nowhere0"))) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstream-unreachable")


LINK = """
import subprocess, sys, trio
subprocess.run("ip link set lo up; ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; "
               "ip addr add fe80::53/64 dev d0 nodad", shell=True, check=True)
from dnsserver.forward.settings import Transport, UpstreamSpec
from tests.forward.scripted import Query, ask, forwarder, helpful, route, wait_outcome
import socket

async def main():
    udp = trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET6)
    at = socket.getaddrinfo("fe80::53%d0", 53, type=socket.SOCK_DGRAM)[0][4]
    await udp.bind(at); tcp.bind(at); tcp.listen()
    async def answer():
        while True:
            wire, client = await udp.recvfrom(4096)
            async def send(reply): await udp.sendto(reply, client)
            await helpful(Query(wire, "udp", 0, send, trio.lowlevel.checkpoint))
    async def serve(stream):
        wire = (await stream.receive_some(4096))[2:]
        async def send(reply): await stream.send_all(len(reply).to_bytes(2) + reply)
        await helpful(Query(wire, "tcp", 0, send, trio.lowlevel.checkpoint))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(trio.socket.from_stdlib_socket(tcp))])
        for transport in (Transport.UDP, Transport.TCP):
            async with forwarder(route(UpstreamSpec("fe80::53%d0", transport=transport))) as forward:
                print((await wait_outcome(forward, ask("www.example.com"))).rcode)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_row_64_a_link_local_upstream_is_asked() -> None:
    program = ["unshare", "-n", sys.executable, "-c", LINK]
    done = subprocess.run(program, cwd=FOLDER, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["0", "0"], done.stderr
