"""Code points by name, and the TTLs of a Body."""

import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire.message import RRset, aged, map_ttls, with_ttl
from dnsserver.wire.records import rrsets
from dnsserver.wire.reply import whole_body

NAME = b"\3www\7example\0"


@pytest.mark.parametrize("number", [*m.TYPE_NAMES, 3, 999, 65_280])
def test_types_are_called_what_dnspython_calls_them(number: int) -> None:
    text = m.type_name(number)
    assert dns.rdatatype.from_text(text) == number
    assert text in {dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number)), f"TYPE{number}"}
    assert (text == f"TYPE{number}") is (number not in m.TYPE_NAMES)


@pytest.mark.parametrize("number", [*m.RCODE_NAMES, 11])
def test_rcodes_are_called_what_dnspython_calls_them(number: int) -> None:
    expected = dns.rcode.to_text(dns.rcode.Rcode(number)) if number in m.RCODE_NAMES else f"RCODE{number}"
    assert m.rcode_name(number) == {"BADVERS": "BADVERS", "BADSIG": "BADVERS"}.get(expected, expected)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_ttls_are_changed_and_nothing_else(ttls: list[int], number: int) -> None:
    records = [RRset(NAME, m.A, ttl, (bytes((10, 0, 0, index)),)) for index, ttl in enumerate(ttls)]
    body = whole_body(NAME, records, ())

    def changed(ttl_of: dict[int, int]) -> list[RRset]:
        merged = [RRset(one.name, one.type, ttl_of[one.ttl], one.rdatas) for one in records]
        return [RRset(one.name, one.type, one.ttl, (rdata,)) for one in merged for rdata in one.rdatas]

    def shown(what: m.Body) -> list[RRset]:
        return [RRset(one.name, one.type, one.ttl, (data,)) for one in rrsets(what, NAME)[0] for data in one.rdatas]

    assert shown(aged(body, number)) == changed({ttl: max(0, ttl - number) for ttl in ttls})
    assert shown(with_ttl(body, number)) == changed(dict.fromkeys(ttls, number))
    assert map_ttls(body, lambda ttl: ttl) == body
