"""Which addresses count as one client."""

import pytest

from dnsserver.clients import shown_source, source_of


@pytest.mark.parametrize(
    ("client", "source", "shown"),
    [
        (b"\x0a\0\0\1", b"\x0a\0\0\1", "10.0.0.1"),
        (b"\xfd" + bytes(6) + b"\7" + bytes(7) + b"\1", b"\xfd" + bytes(6) + b"\7", "fd00:0:0:7::/64"),
        (b"\xfd" + bytes(6) + b"\7" + bytes(7) + b"\2", b"\xfd" + bytes(6) + b"\7", "fd00:0:0:7::/64"),
        (b"\xfe\x80" + bytes(13) + b"\1", b"\xfe\x80" + bytes(13) + b"\1", "fe80::1"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network_or_a_link_local_address(
    client: bytes, source: bytes, shown: str
) -> None:
    assert source_of(client) == source
    assert shown_source(client) == shown
    assert shown_source(source) == shown
