"""A connection to an upstream that cannot be opened: what clients and the log are told, and how often."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from dnsserver.forward.settings import Transport, UpstreamSpec
from dnsserver.wire.message import NOERROR, SERVFAIL
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    HOST,
    ask,
    begin,
    forwarder,
    route,
    wait_outcome,
)
from tests.forward.streams import Behaviour, Peer, stream_upstream
from tests.logs import capture_logs

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


def speaking(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def answers(peer: Peer) -> None:
    while query := await peer.query():
        await peer.answer(query)


async def closes(_: Peer) -> None:
    """Close at once."""


async def says_http(peer: Peer) -> None:
    await peer.stream.receive_some(65536)
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def is_silent(_: Peer) -> None:
    await trio.sleep_forever()


GOOD = AUTHORITY.issue_cert("dns.example")
# What listens, its TLS, the file of authorities (None: the system's), and what is said.
TROUBLES: dict[str, tuple[Behaviour | None, ssl.SSLContext | None, str | None, str]] = {
    "other name": (answers, speaking(AUTHORITY.issue_cert("other.example")), "ca.pem",
                   'its certificate is not for "dns.example"'),
    "other address": (answers, speaking(AUTHORITY.issue_cert("192.0.2.1")), "ca.pem",
                      'its certificate is not for "dns.example"'),
    "stranger": (answers, speaking(STRANGER.issue_cert("dns.example")), "ca.pem",
                 "its certificate is not signed by an authority of {folder}/ca.pem"),
    "private authority": (answers, speaking(GOOD), None,
                          "its certificate is not signed by an authority of the system"),
    "expired": (answers, speaking(AUTHORITY.issue_cert("dns.example", not_after=PAST)), "ca.pem",
                'the certificate for "dns.example" has expired'),
    "not yet": (answers, speaking(AUTHORITY.issue_cert(
        "dns.example", not_before=dt.datetime(2090, 1, 1, tzinfo=dt.UTC),
        not_after=dt.datetime(2091, 1, 1, tzinfo=dt.UTC))), "ca.pem",
        'the certificate for "dns.example" is not valid yet'),
    "plain DNS": (answers, None, "ca.pem", "it does not complete the TLS handshake in time; does it speak TLS?"),
    "HTTP": (says_http, None, "ca.pem", "it does not speak TLS on this port"),
    "closes": (closes, None, "ca.pem", "it closed the connection in the TLS handshake"),
    "silent": (is_silent, None, "ca.pem", "it does not complete the TLS handshake in time; does it speak TLS?"),
    "nobody": (None, None, "ca.pem", "no TCP connection: Connection refused"),
    "no file": (answers, speaking(GOOD), "none.pem",
                "the file of authorities {folder}/none.pem cannot be read: No such file or directory"),
    "empty file": (answers, speaking(GOOD), "empty.pem",
                   "the file of authorities {folder}/empty.pem has no certificate that can be read"),
    "spoilt file": (answers, speaking(GOOD), "spoilt.pem",
                    "the file of authorities {folder}/spoilt.pem has no certificate that can be read"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good file of authorities and bad ones."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "empty.pem").touch()
    (tmp_path / "spoilt.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return tmp_path


def spec(port: int, authorities: Path | None) -> UpstreamSpec:
    file = str(authorities) if authorities else None
    return UpstreamSpec(HOST, port, Transport.TLS, server_name="dns.example", authorities=file)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_tls_says_why(trouble: str, folder: Path, clock: LoopbackClock) -> None:
    behave, tls, file, text = TROUBLES[trouble]
    async with stream_upstream(behave, tls=tls) as server:
        settings = route(spec(server.port, folder / file if file else None))
        with capture_logs() as logs:
            async with forwarder(settings) as forward:
                for i in range(3):
                    began = clock.current_time()
                    outcome = await wait_outcome(forward, ask(f"n{i}.example.com"))
                    assert outcome.rcode == SERVFAIL
                    assert clock.current_time() - began < 2.1
                assert text.format(folder=folder) in outcome.reason.text
                assert outcome.reason.text.startswith(f"upstream tls://{HOST}:{server.port}: ")
    warnings = [line for line in logs if line["log_level"] in {"warning", "error"}]
    why = [line["error"] for line in warnings if text.format(folder=folder) in line["error"]]
    assert len(why) == 1, warnings


async def test_what_comes_right_is_used_without_a_restart(folder: Path, clock: LoopbackClock) -> None:
    async with stream_upstream(answers, tls=speaking(GOOD)) as server:
        file = folder / "late.pem"
        async with forwarder(route(spec(server.port, file))) as forward:
            assert (await wait_outcome(forward, ask("a.example.com"))).rcode == SERVFAIL
            STRANGER.cert_pem.write_to_path(file)
            assert (await wait_outcome(forward, ask("b.example.com"))).rcode == SERVFAIL
            AUTHORITY.cert_pem.write_to_path(file)
            assert (await wait_outcome(forward, ask("c.example.com"))).rcode == NOERROR


async def test_authorities_are_read_off_the_event_loop_and_again_only_when_they_changed(
    folder: Path, clock: LoopbackClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    read = ssl.create_default_context

    def counted(*args: Any, **more: Any) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return read(*args, **more)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    tls = speaking(STRANGER.issue_cert("dns.example"))
    async with stream_upstream(answers, tls=tls) as server, AsyncExitStack() as stack:
        forward = await stack.enter_async_context(forwarder(route(spec(server.port, folder / "ca.pem"))))
        for number in range(20):
            assert (await wait_outcome(forward, ask(f"n{number}.example.com"))).rcode == SERVFAIL
        assert server.connections > 3
        assert len(threads) == 1
        assert threads[0] is not threading.main_thread()
        STRANGER.cert_pem.write_to_path(folder / "ca.pem")
        assert (await wait_outcome(forward, ask("www.example.com"))).rcode == NOERROR
        assert len(threads) == 2


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """Give a port on which connections are never accepted: the queue is full, so the kernel drops further SYNs."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as other:
        listener.bind((HOST, 0))
        listener.listen(0)
        for filler in (one, other):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("configured", [Transport.TCP, Transport.TLS])
async def test_a_connection_that_is_never_accepted_is_given_up(configured: Transport, clock: LoopbackClock) -> None:
    async with deaf() as port, forwarder(route(UpstreamSpec(HOST, port, configured))) as forward:
        for i in range(20):
            begin(forward, ask(f"n{i}.example.com"), lambda _: None)
        outcome = await wait_outcome(forward, ask("n.example.com"))
        assert clock.current_time() < 2.1
        assert (outcome.rcode, outcome.reason.code) == (SERVFAIL, "upstream-timeout")
        assert "does not accept TCP connections in time" in outcome.reason.text
        await trio.sleep(30)
        assert not forward.statistics().upstreams[0].up
