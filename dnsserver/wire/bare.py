"""Replies that repeat no question: old servers, and some of today's, answer so what they cannot or will not read."""

from dnsserver.wire.message import HEADER_SIZE, NOERROR, NXDOMAIN, OPT

_TRUNCATED = 0x02
_NO_RECORDS = bytes(6)  # QDCOUNT, ANCOUNT, NSCOUNT
_OPT = b"\0" + OPT.to_bytes(2, "big")
_ABOUT_NAMES = frozenset((NOERROR, NXDOMAIN))


def bare_rcode(reply: bytes) -> int | None:
    """Return the response code of an error reply without a question, with the OPT's part; None for all else.

    A header alone counts, whatever its counts say: it was copied from the query. NOERROR and NXDOMAIN say something
    about a name, and without one they say nothing; truncated they say that TCP has more.
    """
    size = len(reply)
    if size < HEADER_SIZE or reply[2] & 0xF8 != 0x80 or (size > HEADER_SIZE and reply[4:10] != _NO_RECORDS):
        return None
    rcode = reply[3] & 0x0F
    if reply.startswith(_OPT, HEADER_SIZE) and size > HEADER_SIZE + 5:
        rcode |= reply[HEADER_SIZE + 5] << 4  # RFC 6891 section 6.1.3
    return None if rcode in _ABOUT_NAMES and not is_truncated(reply) else rcode


def is_truncated(reply: bytes) -> bool:
    """Tell whether a reply with a whole header has its TC bit set."""
    return bool(reply[2] & _TRUNCATED)
