"""Error replies that repeat no question: which are taken for one, and what they say."""

import pytest

from dnsserver.wire.bare import bare_rcode, is_truncated
from dnsserver.wire.message import BADVERS, FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL

OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def header(rcode: int, *, flags: int = 0x8180, counts: tuple[int, int, int, int] = (0, 0, 0, 0)) -> bytes:
    return b"\x12\x34" + (flags | rcode).to_bytes(2) + b"".join(count.to_bytes(2) for count in counts)


@pytest.mark.parametrize(
    ("reply", "rcode"),
    [
        (header(FORMERR), FORMERR),
        (header(SERVFAIL), SERVFAIL),
        (header(NOTIMP), NOTIMP),
        (header(REFUSED), REFUSED),
        (header(9), 9),
        (header(FORMERR, flags=0x8000), FORMERR),
        (header(FORMERR, flags=0x8580), FORMERR),
        (header(FORMERR, counts=(1, 0, 0, 1)), FORMERR),  # copied from the query
        (header(FORMERR, counts=(0, 0, 0, 1)) + OPT, FORMERR),
        (header(NOERROR, counts=(0, 0, 0, 1)) + OPT.replace(b"\xd0\0", b"\xd0\1"), BADVERS),
        (header(NOERROR, flags=0x8380), NOERROR),  # TC: there is more over TCP
        (header(NXDOMAIN, flags=0x8380), NXDOMAIN),
    ],
)
def test_errors_are_read(reply: bytes, rcode: int) -> None:
    assert bare_rcode(reply) == rcode


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        header(FORMERR)[:11],
        header(NOERROR),
        header(NXDOMAIN),
        header(NOERROR, counts=(0, 0, 0, 1)) + OPT,
        header(NXDOMAIN, counts=(0, 0, 0, 1)) + OPT,
        header(FORMERR, flags=0x0180),  # a query
        header(FORMERR, flags=0xA980),  # another opcode
        header(FORMERR, counts=(1, 0, 0, 0)) + b"\1a\0\0\1\0\1",
        header(FORMERR, counts=(0, 1, 0, 0)) + b"\0\0\1\0\1\0\0\0\0\0\4abcd",
        header(FORMERR, counts=(0, 0, 1, 0)) + b"\0\0\1\0\1\0\0\0\0\0\4abcd",
    ],
)
def test_what_is_no_error_without_a_question(reply: bytes) -> None:
    assert bare_rcode(reply) is None


def test_truncation_is_seen() -> None:
    assert is_truncated(header(NOERROR, flags=0x8380))
    assert not is_truncated(header(NOERROR, flags=0x8580))
