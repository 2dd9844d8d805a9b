"""Listeners that exclude each other: they are refused exactly if the kernel refuses them."""

import itertools
import random
import socket
from pathlib import Path

import pytest

from dnsserver.config import Address, Config, Domain
from dnsserver.config.model import Search
from dnsserver.config.relations import mistakes

HOSTS = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"]
ANY_PORT = [pytest.param(Address(one, 0), Address(other, 0)) for one in HOSTS for other in HOSTS]


def said(config: Config) -> list[str]:
    return [f"{key}: {text}" for key, text in mistakes(config)]


def bound(host: str, port: int, kind: socket.SocketKind, *, dual: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def unused_port(kind: socket.SocketKind) -> int:
    """Return a port that no program has, at any address of either family.

    It lies below those that the system gives to whoever asks for any, so that nobody gets it in the meantime either.
    """
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(first_given // 2, first_given), 1000):
        try:
            with bound("0.0.0.0", port, kind), bound("::", port, kind):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")


def really_clash(one: str, other: str, kind: socket.SocketKind, *, dual: bool = False) -> bool:
    port = unused_port(kind)
    with bound(one, port, kind):
        try:
            bound(other, port, kind, dual=dual).close()
        except OSError:
            return True
        return False


@pytest.mark.parametrize(("one", "other"), [*itertools.product(HOSTS, HOSTS)])
def test_two_addresses_of_dns_clash_where_the_kernel_says_so(one: str, other: str) -> None:
    clash = bool(said(Config(listen=(Address(one, 5353), Address(other, 5353)))))
    assert clash == really_clash(one, other, socket.SOCK_DGRAM)
    assert clash == really_clash(one, other, socket.SOCK_STREAM)


@pytest.mark.parametrize(("one", "other"), [*itertools.product(HOSTS, HOSTS)])
def test_admin_clashes_with_dns_over_tcp_where_the_kernel_says_so(one: str, other: str) -> None:
    clash = bool(said(Config(listen=(Address(one, 5353),), admin=Address(other, 5353))))
    assert clash == really_clash(one, other, socket.SOCK_STREAM, dual=other == "::")  # admin takes both families then


@pytest.mark.parametrize(("one", "other"), ANY_PORT)
def test_ports_that_the_system_chooses_never_clash(one: Address, other: Address) -> None:
    assert said(Config(listen=(one, other), admin=other)) == []


def test_other_ports_never_clash() -> None:
    listen = (Address("0.0.0.0", 53), Address("127.0.0.1", 54), Address("::", 53))
    assert said(Config(listen=listen, admin=Address("::", 55))) == []


def test_the_words() -> None:
    config = Config(
        listen=(Address("127.0.0.1", 53), Address("0.0.0.0", 53), Address("127.0.0.2", 53), Address("::", 53)),
        admin=Address("::1", 53),
    )
    assert said(config) == [
        "listen[1]: 0.0.0.0:53 clashes with 127.0.0.1:53, also in the list: one would take the other's packets",
        "listen[2]: 127.0.0.2:53 clashes with 0.0.0.0:53, also in the list: one would take the other's packets",
        "admin: [::1]:53 clashes with [::]:53 in listen: DNS over TCP uses that port; choose another one",
    ]
    many = Config(listen=tuple(Address("127.0.0.1", port) for port in range(1, 100)))
    assert said(many) == ["listen: has 99 addresses, expected at most 64"]


def test_a_search_list_is_no_longer_than_a_pod_s_can_be() -> None:
    def of(count: int) -> Config:
        return Config(
            search=Search(enabled=True, node_domains=tuple(Domain.parse(f"d{i}.example") for i in range(count)))
        )

    assert said(of(29)) == []
    (mistake,) = said(of(30))
    assert mistake.startswith("search.node_domains: has 30 entries, expected at most 29")
