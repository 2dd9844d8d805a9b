"""Complete records from messages, and every way in which a compressed name can be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.wire import message as m
from dnsserver.wire.message import Body, FormatError, RRset
from dnsserver.wire.records import MAX_LABELS, MAX_POINTERS, Names, read_records, rrsets, with_names
from dnsserver.wire.reply import compose

FRONT = bytes(12)
WEB = FRONT + b"\3web\0"


def names_of(message: bytes, *before: int) -> Names:
    """Return the names of a message of which those at `before` have been read."""
    names = Names(message)
    for at in before:
        names.read(at)
    return names


@pytest.mark.parametrize(
    ("tail", "before", "at", "name", "after"),
    [
        (b"\0", (), 12, b"\0", 13),
        (b"\3web\0", (), 12, b"\3web\0", 17),
        (b"\3Web\0", (), 12, b"\3Web\0", 17),
        (b"\3web\0\1x\xc0\x0c", (12,), 17, b"\1x\3web\0", 21),
        (b"\3web\0\xc0\x0c\1x\xc0\x11", (12, 17), 19, b"\1x\3web\0", 23),  # a pointer to a pointer
        (b"\3web\3com\0\1x\xc0\x10", (12,), 21, b"\1x\3com\0", 25),
        (b"\3web\0\xc0\x10", (12,), 17, b"\0", 19),  # of no use, and no harm
    ],
)
def test_names(tail: bytes, before: tuple[int, ...], at: int, name: bytes, after: int) -> None:
    assert names_of(FRONT + tail, *before).read(at) == (name, after)


@pytest.mark.parametrize(
    ("tail", "before", "at"),
    [
        (b"\xc0\x0c", (), 12),  # itself
        (b"\xc0\x0e\0", (), 12),  # forward
        (b"\3web\xc0\x0c", (), 12),  # into the name that it ends
        (b"\0\xc0\x00", (12,), 13),  # into the header
        (b"\3web\0\xc0\x0d", (12,), 17),  # into a label
        (b"\3\1ab\0\xc0\x0d", (12,), 17),  # which could be read as another name
        (b"\3web\0\0\1\0\1\xc0\x11", (12,), 21),  # into the question's type
        (b"\1a\0\3\1b\0\xc0\x10", (12,), 19),  # into what nobody read as a name
        (b"\1a\0\5\xc0\x0f", (12,), 16),  # to its own length octet, over itself
        (b"\xc0", (), 12),
        (b"", (), 12),
        (b"\x40", (), 12),
        (b"\x80", (), 12),
        (b"\3we", (), 12),
        ((b"\x3f" + b"x" * 63) * 4 + b"\0", (), 12),
        ((b"\x3f" + b"x" * 63) * 3 + b"\0" + b"\x3f" + b"y" * 63 + b"\xc0\x0c", (12,), 12 + 193),
        (b"\1x" * 40_000 + b"\0", (), 12),
    ],
)
def test_names_that_lead_astray(tail: bytes, before: tuple[int, ...], at: int) -> None:
    names = names_of(FRONT + tail, *before)
    with pytest.raises(FormatError):
        names.read(at)


def test_a_name_goes_by_as_many_pointers_as_it_can_have_labels() -> None:
    message = FRONT + b"\1x\0" + b"".join((0xC000 | at).to_bytes(2) for at in [12, *range(15, 4000, 2)])
    places = [15 + 2 * number for number in range(MAX_POINTERS)]
    names = names_of(message, 12, *places)
    assert names.read(places[-1]) == (b"\1x\0", places[-1] + 2)
    with pytest.raises(FormatError):
        names.read(places[-1] + 2)


def test_a_message_has_so_many_labels_and_no_more() -> None:
    long = b"\1x" * 127 + b"\0"
    message = FRONT + long * 200
    names = Names(message)
    fitting = MAX_LABELS // 128  # the root counts as well
    for number in range(fitting):
        names.read(12 + number * len(long))
    with pytest.raises(FormatError):
        names.read(12 + fitting * len(long))


def test_the_longest_name_is_read_however_the_writer_split_it() -> None:
    found = tuple(RRset(b"\1x" * count + b"\0", m.A, 5, (bytes(4),)) for count in range(1, 128))
    body = compose(b"\3web\0", found)
    assert len(body.data) == 127 * (2 + 2 + 10 + 4) - 1  # one label and a pointer each, but the first
    assert rrsets(body, b"\3web\0")[0] == found


def test_case_is_kept_but_in_what_is_compared() -> None:
    message = FRONT + b"\1X\0\0\5\0\1\0\0\0\5\0\4\1Y\xc0\x0c"
    (record,) = read_records(message, Names(message), 12, 1)
    assert (record.owner, record.uncompressed) == (b"\1x\0", b"\1Y\1X\0")
    assert message[record.rdata : record.end] == b"\1Y\xc0\x0c"
    data = b"\1X\xc0\x0c\0\5\0\1\0\0\0\5\0\4\1Y\xc0\x0c"
    assert rrsets(Body(1, 0, 0, data), b"\1w\0")[0] == (RRset(b"\1X\1w\0", m.CNAME, 5, (b"\1Y\1w\0",)),)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), min_size=1, max_size=3))
def test_any_octets_are_a_name_or_refused(data: bytes, places: list[int]) -> None:
    names = Names(data)
    for at in places:
        try:
            name, after = names.read(min(at, len(data)))
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
        (m.RRSIG, bytes(18) + b"\1x\xc0\x0csig", bytes(18) + b"\1x\3web\0sig"),
        (m.NSEC, b"\1x\xc0\x0cmap", b"\1x\3web\0map"),
        (m.HTTPS, b"\0\1\xc0\x0cparameters", b"\0\1\3web\0parameters"),
        (m.TXT, b"\2\xc0\x0c\0", b"\2\xc0\x0c\0"),
        (m.TXT, b"", b""),  # RFC 1035 wants one string; servers send none, and clients read it
        (13, b"\1a\0", b"\1a\0"),
        (19, b"\1a", b"\1a"),
        (20, b"\1a\1b", b"\1a\1b"),
        (1000, b"\xc0\x0c", b"\xc0\x0c"),
    ],
)
def test_rdata_is_written_out(rtype: int, rdata: bytes, whole: bytes) -> None:
    message = WEB + rdata
    assert names_of(message, 12).rdata(rtype, 17, len(message)) == whole
    assert with_names(rtype, whole, bytes.upper) == whole.replace(b"web", b"WEB").replace(b"\1x", b"\1X").replace(
        b"\1h", b"\1H"
    )
    assert (with_names(rtype, whole, lambda _: None) is None) is (b"web" in whole)


@pytest.mark.parametrize(
    ("rtype", "rdata", "at"),
    [
        (m.SRV, bytes(6) + b"\1x\3web\0", 6),
        (m.RRSIG, bytes(18) + b"\1x\3web\0sig", 18),
        (m.NSEC, b"\1x\3web\0map", 0),
        (m.SVCB, b"\0\1\1x\3web\0", 2),
    ],
)
def test_names_may_point_to_those_that_were_not_compressed(rtype: int, rdata: bytes, at: int) -> None:
    # As BIND does: the next name of one NSEC is the owner of the next one.
    message = WEB + rdata + b"\1y" + (0xC000 | 17 + at).to_bytes(2)
    names = names_of(message, 12)
    names.rdata(rtype, 17, 17 + len(rdata))
    assert names.read(17 + len(rdata)) == (b"\1y\1x\3web\0", len(message))


@pytest.mark.parametrize(
    ("rtype", "rdata"),
    [
        (m.CNAME, b"\xc0\x0c\0"),
        (m.MX, b"\0"),
        (m.SOA, b"\xc0\x0c\xc0\x0c" + bytes(19)),
        (m.NAPTR, bytes(4) + b"\1s\0"),
        (m.A, bytes(5)),
        (m.AAAA, bytes(4)),
        (m.CNAME, b"\1x"),  # and the name ends in what follows
        (m.CNAME, b""),
        (m.RRSIG, bytes(18)),
        (m.NSEC, b""),
        (m.SVCB, b"\0\1"),
        (m.MX, b"\0\5\5ab"),
        (m.TXT, b"\2a"),
        (m.TXT, b"\1a\2b"),
        (99, b"\1"),
        (13, b"\1a"),
        (13, b"\0\0\0"),
        (19, b""),
        (20, b"\0\0\0"),
    ],
)
def test_rdata_that_its_fields_do_not_fill_is_refused(rtype: int, rdata: bytes) -> None:
    record = b"\0" + rtype.to_bytes(2) + b"\0\1\0\0\0\5" + len(rdata).to_bytes(2) + rdata
    message = WEB + record + b"\0" * 40
    with pytest.raises(FormatError):
        list(read_records(message, names_of(message, 12), 17, 1))


@pytest.mark.parametrize("octets", [b"", b"\0", b"\0\0\1\0\1\0\0\0\5\0", b"\0\0\1\0\1\0\0\0\5\0\4\1\1\1"])
def test_records_that_end_in_their_middle_are_refused(octets: bytes) -> None:
    with pytest.raises(FormatError):
        list(read_records(FRONT + octets, Names(FRONT + octets), 12, 1))
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
