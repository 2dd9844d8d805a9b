"""What is taken from a resolv.conf."""

import pytest

from dnsserver.forward.resolvconf import read
from dnsserver.forward.settings import Transport


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", []),
        ("# none\n; none\n\n", []),
        ("nameserver 192.0.2.1\n nameserver\t2001:DB8::1 \nnameserver 192.0.2.1\n", ["192.0.2.1", "2001:db8::1"]),
        ("nameserver 192.0.2.1 # the first\r\nnameserver 192.0.2.2\r\n", ["192.0.2.1", "192.0.2.2"]),
        ("\ufeffnameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("nameserver fe80::53%eth0\n", ["fe80::53%eth0"]),
        ("nameserver fe80::53%2\nnameserver fe80::53%3\n", ["fe80::53%2", "fe80::53%3"]),
        ("nameserver 2001:db8::53%eth0\nnameserver 2001:db8::53\n", ["2001:db8::53"]),
        ("nameserver ::1%lo\n", ["::1"]),
        ("nameserver\nnameserver what\nnameserver 1.2.3.4.5\nnameserver [::1]:53\nnameserver fe80::1%\n", []),
        ("Nameserver 192.0.2.1\nserver 192.0.2.1\nsearch 192.0.2.1\n", []),
    ],
)
def test_nameservers(text: str, hosts: list[str]) -> None:
    assert [spec.host for spec in read(text).nameservers] == hosts


@pytest.mark.parametrize(
    ("options", "transport", "not_followed"),
    [
        ("", Transport.UDP, ()),
        ("options edns0 trust-ad", Transport.UDP, ()),
        ("options use-vc", Transport.TCP, ()),
        ("options rotate timeout:1 attempts:5", Transport.UDP, ("rotate", "timeout:1", "attempts:5")),
        ("options ndots:5\noptions use-vc ndots:5 no-aaaa", Transport.TCP, ("ndots:5", "no-aaaa")),
        ("options single-request-reopen x", Transport.UDP, ("single-request-reopen", "x")),
        ("#options use-vc", Transport.UDP, ()),
    ],
)
def test_options_are_followed_or_told(options: str, transport: Transport, not_followed: tuple[str, ...]) -> None:
    for text in (f"{options}\nnameserver 192.0.2.1\n", f"nameserver 192.0.2.1\n{options}\n"):
        found = read(text)
        assert found.nameservers[0].transport is transport
        assert found.not_followed == not_followed


def test_lines_that_name_no_address_are_told() -> None:
    found = read("nameserver dns.example\nnameserver 192.0.2.1\nnameserver\n")
    assert found.not_understood == ("nameserver dns.example", "nameserver")
