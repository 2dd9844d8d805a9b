"""TCP and TLS to upstreams, and where upstreams come from."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme

from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.wire.message import NOERROR, NXDOMAIN, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    Query,
    Upstream,
    ask,
    forwarder,
    helpful,
    route,
    shown,
    silent,
    upstream,
    wait_outcome,
)
from tests.free_port import free_port

AUTHORITY = trustme.CA()


@pytest.fixture
def authorities(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


def server_context(name: str = "dns.example") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    return context


def tls(server: Upstream, authorities: str, name: str = "dns.example") -> UpstreamSpec:
    return UpstreamSpec(HOST, server.port, Transport.TLS, server_name=name, authorities=authorities)


async def test_questions_share_one_tcp_connection_and_overtake_each_other() -> None:
    async def script(query: Query) -> None:
        if query.name.startswith("slow"):
            await done.wait()
        await helpful(query)

    done = trio.Event()
    order: list[str] = []

    async def look_up(name: str) -> None:
        assert (await wait_outcome(forward, ask(name))).rcode == NOERROR
        order.append(name)
        if len(order) == 4:
            done.set()

    async with upstream(script) as server:
        settings = route(UpstreamSpec(HOST, server.port, Transport.TCP))
        async with forwarder(settings) as forward, trio.open_nursery() as nursery:
            for name in ("slow.example.com", "a.example.com", "b.example.com", "c.example.com", "d.example.com"):
                nursery.start_soon(look_up, name)
        assert order[-1] == "slow.example.com"
        assert server.connections == 1
        assert {query.protocol for query in server.queries} == {"tcp"}
        assert {query.name for query in server.queries} >= {"a.example.com."}


async def test_a_closed_connection_is_opened_again_for_what_was_unanswered() -> None:
    async with upstream() as server:
        settings = route(UpstreamSpec(HOST, server.port, Transport.TCP))
        async with forwarder(settings) as forward:
            await wait_outcome(forward, ask("a.example.com"))

            async def hang_up(query: Query) -> None:
                server.script = helpful
                await query.close()

            server.script = hang_up
            assert (await wait_outcome(forward, ask("b.example.com"))).rcode == NOERROR
            assert server.connections == 2


async def test_an_idle_connection_is_closed(clock: LoopbackClock) -> None:
    async with upstream() as server:
        settings = route(UpstreamSpec(HOST, server.port, Transport.TCP))
        async with forwarder(settings) as forward:
            await wait_outcome(forward, ask("a.example.com"))
            assert server.open == 1
            clock.jump(11)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert server.open == 0


async def test_a_silent_connection_is_given_up_for_a_new_one(clock: LoopbackClock) -> None:
    async with upstream() as server:
        settings = route(UpstreamSpec(HOST, server.port, Transport.TCP))
        async with forwarder(settings) as forward:
            await wait_outcome(forward, ask("a.example.com"))
            server.script = server.script_probes = silent
            assert (await wait_outcome(forward, ask("b.example.com"))).rcode == SERVFAIL
            server.script, server.script_probes = helpful, None
            assert (await wait_outcome(forward, ask("c.example.com"))).rcode == NOERROR
            assert server.connections >= 2


async def test_tls_is_one_connection_with_the_name_checked(authorities: str) -> None:
    async with upstream(tls=server_context()) as server, forwarder(route(tls(server, authorities))) as forward:
        for i in range(5):
            asked = ask(f"w{i}.example.com")
            assert shown(asked, await wait_outcome(forward, asked)) == [f"w{i}.example.com. 300 IN A 192.0.2.1"]
        assert server.connections == 1
        assert {query.protocol for query in server.queries} == {"tls"}


async def test_tls_with_another_name_is_asked_nothing(authorities: str) -> None:
    other = server_context("other.example")
    async with upstream(tls=other) as server, forwarder(route(tls(server, authorities))) as forward:
        outcome = await wait_outcome(forward, ask("www.example.com"))
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstream-unreachable")
        assert not server.queries


async def test_tls_sessions_are_resumed(authorities: str) -> None:
    async with upstream(tls=server_context()) as server, forwarder(route(tls(server, authorities))) as forward:
        await wait_outcome(forward, ask("a.example.com"))

        async def hang_up(query: Query) -> None:
            server.script = helpful
            await query.close()

        server.script = hang_up
        assert (await wait_outcome(forward, ask("b.example.com"))).rcode == NOERROR
        assert server.resumed == [False, True]


@pytest.fixture
def unbound(tmp_path: Path) -> Iterator[int]:
    """Run Debian's unbound with TLS and one local name; gives its port."""
    program = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin")
    if program is None:
        pytest.skip("Debian's unbound is not installed")
    port = free_port()
    certificate = AUTHORITY.issue_cert("dns.example")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    config = tmp_path / "unbound.conf"
    config.write_text(
        f"""server:
  interface: {HOST}@{port}
  tls-port: {port}
  tls-service-key: "{tmp_path}/key.pem"
  tls-service-pem: "{tmp_path}/cert.pem"
  chroot: ""
  username: ""
  directory: "{tmp_path}"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "example.com." static
  local-data: "www.example.com. 300 IN A 192.0.2.1"
remote-control:
  control-enable: no
"""
    )
    process = subprocess.Popen([program, "-d", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.e2e
async def test_unbound_answers_over_tls(unbound: int, authorities: str) -> None:
    with trio.fail_after(10):
        while True:
            try:
                stream = await trio.open_tcp_stream(HOST, unbound)
            except OSError:
                await trio.sleep(0.05)
            else:
                await stream.aclose()
                break
    spec = UpstreamSpec(HOST, unbound, Transport.TLS, server_name="dns.example", authorities=authorities)
    async with forwarder(route(spec)) as forward:
        asked = ask("www.example.com")
        assert shown(asked, await wait_outcome(forward, asked)) == ["www.example.com. 300 IN A 192.0.2.1"]
        assert (await wait_outcome(forward, ask("nope.example.com"))).rcode == NXDOMAIN
