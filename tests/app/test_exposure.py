"""Listeners that anybody on the internet may reach, and the warning about them."""

import ipaddress
from pathlib import Path

import pytest

from dnsserver.app import exposure
from dnsserver.app.exposure import exposed, own_addresses
from dnsserver.app.preflight import findings
from dnsserver.config import Address, Config, Network
from dnsserver.config.model import Clients

# Of a machine with a private and two public addresses.
TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 8.8.8.0/24 2 0 2
        |-- 8.8.8.0
           /24 link UNICAST
        |-- 8.8.8.9
           /32 host LOCAL
        |-- 8.8.8.255
           /32 link BROADCAST
     |-- 10.0.0.1
        /32 host LOCAL
Local:
     |-- 8.8.8.9
        /32 host LOCAL
"""
INET6 = """\
26064700000000000000000000001111 04 40 00 82     eth0
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
EVERYBODY = ("0.0.0.0/0", "::/0")


@pytest.fixture
def public_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with public addresses."""
    (tmp_path / "fib_trie").write_text(TRIE)
    (tmp_path / "if_inet6").write_text(INET6)
    monkeypatch.setattr(exposure, "PROC", tmp_path)


@pytest.mark.usefixtures("public_machine")
@pytest.mark.parametrize(
    ("host", "allow", "expected"),
    [
        ("8.8.8.8", EVERYBODY, ["8.8.8.8"]),
        ("2606:4700::1111", EVERYBODY, ["2606:4700::1111"]),
        ("0.0.0.0", EVERYBODY, ["8.8.8.9"]),
        ("::", EVERYBODY, ["2606:4700::1111"]),
        ("8.8.8.8", ("0.0.0.0/1", "128.0.0.0/1"), ["8.8.8.8"]),  # everybody, in two parts
        ("8.8.8.8", ("::/0", "10.0.0.0/8"), []),
        ("::", ("0.0.0.0/0", "fd00::/8"), []),
        ("8.8.8.8", (), []),
        *((host, EVERYBODY, []) for host in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1")),
        *((host, EVERYBODY, []) for host in ("169.254.20.10", "::1", "fe80::1", "fd00::10", "224.0.0.1")),
    ],
)
def test_a_public_listener_that_everybody_may_ask_is_told(
    host: str, allow: tuple[str, ...], expected: list[str]
) -> None:
    networks = tuple(Network(text) for text in allow)
    assert [str(found) for found in exposed([Address(host, 53)], networks)] == expected
    config = Config(listen=(Address(host, 53),), clients=Clients(allow=networks))
    told = [finding for finding in findings(config) if "public" in finding.text]
    assert [(finding.key, finding.level) for finding in told] == [("clients.allow", "noted")] * bool(expected)
    assert all(address in told[0].text for address in expected)


def test_this_machine_s_addresses_are_found() -> None:
    assert ipaddress.ip_address("127.0.0.1") in own_addresses(4)


@pytest.mark.parametrize("text", ["", "nonsense\n", "   /32 host LOCAL\n", "zz 01\n"])
def test_a_system_that_lists_nothing_is_not_warned_of(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "PROC", tmp_path)
    assert own_addresses(4) == own_addresses(6) == []
    (tmp_path / "fib_trie").write_text(text)
    (tmp_path / "if_inet6").write_text(text)
    assert own_addresses(4) == own_addresses(6) == []
