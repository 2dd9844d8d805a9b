"""How many descriptors are kept back, and what is left for TCP clients."""

import resource
from collections.abc import Iterator

import msgspec
import pytest

from dnsserver.app import descriptors
from dnsserver.app.preflight import findings
from dnsserver.config import Config, Upstream
from dnsserver.forward import stream_pool, transport_udp

UPSTREAM = descriptors.UDP_SOCKETS + descriptors.STREAMS


def config(*upstreams: str) -> Config:
    return msgspec.structs.replace(Config(), upstreams=tuple(Upstream.parse(text) for text in upstreams))


@pytest.fixture
def soft_limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    yield 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_upstream_is_counted_as_its_transports_open_sockets() -> None:
    assert descriptors.UDP_SOCKETS == 2 * transport_udp.PORTS
    assert descriptors.STREAMS == stream_pool.CONNECTIONS


@pytest.mark.parametrize(
    ("upstreams", "extra"),
    [
        (["9.9.9.9"], UPSTREAM),
        (["9.9.9.9", "fd00::2"], 2 * UPSTREAM),
        (["tcp://10.0.0.2"], descriptors.STREAMS),
        (["tls://9.9.9.9:853#dns.quad9.net"], descriptors.STREAMS),
        (["dns.example.net"], 4 * UPSTREAM),
        (["/etc/resolv.conf"], 3 * UPSTREAM),
        ([], 0),
    ],
)
def test_what_is_kept_back(upstreams: list[str], extra: int) -> None:
    assert descriptors.reserve(config(*upstreams)) == descriptors.reserve(config()) + extra


@pytest.mark.parametrize(
    ("limit", "wanted", "left"),
    [(65_536, 1024, 1024), (1024, 1024, 1024 - 224 - 144), (1024, 100, 100), (300, 1024, 75), (20_000, 30_000, 19_632)],
)
def test_what_is_left_for_clients(limit: int, wanted: int, left: int) -> None:
    assert descriptors.for_clients(config("9.9.9.9"), wanted, limit) == left


def test_the_soft_limit_is_raised(soft_limit: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert descriptors.raise_limit() == descriptors.highest_limit() > soft_limit
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (descriptors.highest_limit(), hard)


def test_check_says_when_open_files_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "highest_limit", lambda: 1024)
    (found,) = [finding for finding in findings(config("9.9.9.9")) if finding.key == "tcp.connections"]
    assert (found.level, found.text.split(":")[0]) == ("noted", "only 656 connections at once")
