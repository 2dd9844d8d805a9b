"""What an upstream is asked: dnspython, and the reader of clients' queries, read what was meant."""

import dns.flags
import dns.message
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire import upstream_query
from dnsserver.wire.name import from_labels
from dnsserver.wire.query import read_query

_name = st.lists(st.binary(min_size=1, max_size=20), max_size=6).map(from_labels)


@given(_name, st.integers(1, 0xFFFF), st.booleans(), st.booleans(), st.booleans())
def test_a_query_says_what_is_asked(name: bytes, type_: int, do: bool, cd: bool, edns: bool) -> None:
    section, tail = upstream_query.write(name, type_, do, cd, edns)
    wire = b"\x12\x34" + tail
    read = dns.message.from_wire(wire)
    (asked,) = read.question
    assert (asked.name.to_wire(), asked.rdtype, asked.rdclass) == (name, type_, m.CLASS_IN)
    assert read.flags == dns.flags.RD | dns.flags.AD | (dns.flags.CD if cd else 0)
    assert (read.edns, read.payload, read.ednsflags) == (
        (0, upstream_query.UDP_SIZE, dns.flags.DO if do else 0) if edns else (-1, 0, 0)
    )
    assert not read.options
    query = read_query(wire)
    assert (query.name, query.type, query.klass, query.question) == (name.lower(), type_, m.CLASS_IN, section)
    assert query.flags == m.RD | m.AD | (m.CD if cd else 0)
    assert (query.size, query.do) == ((upstream_query.UDP_SIZE, do) if edns else (0, False))
