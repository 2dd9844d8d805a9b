"""Records out of messages, whole; and every way in which a name can lead astray."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire.message import Body, FormatError, RRset
from dnsserver.wire.records import plain_rdata, read_name, read_records, rrsets
from dnsserver.wire.writer import compose

FRONT = bytes(12)


@pytest.mark.parametrize(
    ("tail", "at", "name", "after"),
    [
        (b"\0", 12, b"\0", 13),
        (b"\3web\0", 12, b"\3web\0", 17),
        (b"\3web\0\1x\xc0\x0c", 17, b"\1x\3web\0", 21),
        (b"\3web\0\xc0\x0c\1x\xc0\x11", 19, b"\1x\3web\0", 23),
    ],
)
def test_names(tail: bytes, at: int, name: bytes, after: int) -> None:
    assert read_name(FRONT + tail, at) == (name, after)


@pytest.mark.parametrize(
    ("tail", "at"),
    [
        (b"\xc0\x0c", 12),  # itself
        (b"\xc0\x0e\0", 12),  # forward
        (b"\3web\xc0\x0c", 12),  # into the name that it ends
        (b"\0\xc0\x00", 13),  # into the header
        (b"\xc0", 12),
        (b"", 12),
        (b"\x40", 12),
        (b"\x80", 12),
        (b"\3we", 12),
        ((b"\x3f" + b"x" * 63) * 4 + b"\0", 12),
        ((b"\x3f" + b"x" * 63) * 3 + b"\0" + b"\x3f" + b"y" * 63 + b"\xc0\x0c", 12 + 193),
    ],
)
def test_names_that_lead_astray(tail: bytes, at: int) -> None:
    with pytest.raises(FormatError):
        read_name(FRONT + tail, at)


def test_a_name_goes_by_as_many_pointers_as_it_can_have_labels() -> None:
    message = FRONT + b"\1x\0" + b"".join((0xC000 | at).to_bytes(2) for at in [12, *range(15, 4000, 2)])
    assert read_name(message, 15 + 126 * 2) == (b"\1x\0", 15 + 127 * 2)
    with pytest.raises(FormatError):
        read_name(message, 15 + 127 * 2)


def test_the_longest_name_is_read_however_the_writer_split_it() -> None:
    found = tuple(RRset(b"\1x" * count + b"\0", m.A, 5, (bytes(4),)) for count in range(1, 128))
    body = compose(b"\3web\0", found)
    assert len(body.data) == 127 * (2 + 2 + 10 + 4) - 1  # one label and a pointer each, but the first
    assert rrsets(body, b"\3web\0")[0] == found


def test_case_is_kept_but_in_what_is_compared() -> None:
    message = FRONT + b"\1X\0\0\5\0\1\0\0\0\5\0\4\1Y\xc0\x0c"
    assert read_name(message, 25) == (b"\1y\1x\0", 29)
    assert read_name(message, 25, lower=False) == (b"\1Y\1X\0", 29)
    (record,) = read_records(message, 12, 1)
    assert (record.owner, message[record.rdata : record.end]) == (b"\1x\0", b"\1Y\xc0\x0c")
    data = b"\1X\xc0\x0c\0\5\0\1\0\0\0\5\0\4\1Y\xc0\x0c"
    assert rrsets(Body(1, 0, 0, data), b"\1w\0")[0] == (RRset(b"\1X\1w\0", m.CNAME, 5, (b"\1Y\1w\0",)),)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_octets_are_a_name_or_refused(data: bytes, at: int) -> None:
    try:
        name, after = read_name(data, min(at, len(data)))
    except FormatError:
        return
    assert len(name) <= 255
    assert at < after <= len(data)


@given(st.binary(max_size=200), st.tuples(*[st.integers(0, 5)] * 3))
def test_any_octets_are_records_or_refused(data: bytes, counts: tuple[int, int, int]) -> None:
    try:
        sections = rrsets(Body(*counts, data), b"\3web\0")
    except FormatError:
        return
    assert tuple(sum(len(rrset.rdatas) for rrset in section) for section in sections) == counts


@pytest.mark.parametrize(
    ("rtype", "rdata", "whole"),
    [
        (m.CNAME, b"\xc0\x0c", b"\3web\0"),
        (m.MX, b"\0\5\1x\xc0\x0c", b"\0\5\1x\3web\0"),
        (m.SOA, b"\xc0\x0c\1h\xc0\x0c" + bytes(20), b"\3web\0\1h\3web\0" + bytes(20)),
        (m.SRV, bytes(6) + b"\xc0\x0c", bytes(6) + b"\3web\0"),
        (m.NAPTR, bytes(4) + b"\1s\0\0\xc0\x0c", bytes(4) + b"\1s\0\0\3web\0"),
        (17, b"\1x\xc0\x0c\xc0\x0c", b"\1x\3web\0\3web\0"),
        (m.TXT, b"\xc0\x0c", b"\xc0\x0c"),
    ],
)
def test_rdata_is_written_out(rtype: int, rdata: bytes, whole: bytes) -> None:
    message = FRONT + b"\3web\0" + rdata
    assert plain_rdata(message, rtype, 17, len(message)) == whole


@pytest.mark.parametrize(
    ("rtype", "rdata"),
    [
        (m.CNAME, b"\xc0\x0c\0"),
        (m.MX, b"\0"),
        (m.SOA, b"\xc0\x0c\xc0\x0c" + bytes(19)),
        (m.NAPTR, bytes(4) + b"\1s\0"),
        (m.A, bytes(5)),
        (m.AAAA, bytes(4)),
    ],
)
def test_rdata_that_its_fields_do_not_fill_is_refused(rtype: int, rdata: bytes) -> None:
    record = b"\0" + rtype.to_bytes(2) + b"\0\1\0\0\0\5" + len(rdata).to_bytes(2) + rdata
    with pytest.raises(FormatError):
        list(read_records(FRONT + b"\3web\0" + record, 17, 1))


@pytest.mark.parametrize("octets", [b"", b"\0", b"\0\0\1\0\1\0\0\0\5\0", b"\0\0\1\0\1\0\0\0\5\0\4\1\1\1"])
def test_records_that_end_in_their_middle_are_refused(octets: bytes) -> None:
    with pytest.raises(FormatError):
        list(read_records(FRONT + octets, 12, 1))
    with pytest.raises(FormatError):
        rrsets(Body(1, 0, 0, octets), b"\3web\0")


def test_runs_of_records_are_one_rrset() -> None:
    one = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4"
    data = one + b"\1\1\1\1" + one + b"\2\2\2\2" + b"\1x\0" + one[2:] + b"\3\3\3\3"
    answer, _, _ = rrsets(Body(3, 0, 0, data), b"\3web\0")
    assert [(rrset.name, rrset.rdatas) for rrset in answer] == [
        (b"\3web\0", (b"\1\1\1\1", b"\2\2\2\2")),
        (b"\1x\0", (b"\3\3\3\3",)),
    ]
