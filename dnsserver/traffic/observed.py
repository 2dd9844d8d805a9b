"""One question and its reply, for people: the query log, `tail` and the lists of failures are made from these."""

import msgspec

from dnsserver.wire import message as m
from dnsserver.zone.record import Reason

# How many replies of each of three kinds may wait to be looked at, how many for the reader of one stream, and how many
# octets one with the longest name takes (`tests/app/test_ceiling.py`).
MOST_ROOM = 512
QUEUE = 192
SIZE = 768

_TURNED_AWAY = frozenset({"client-rate", "client-in-flight"})  # with TC, where that is said at all


class Observed(msgspec.Struct, frozen=True, gc=False):
    """A question and its reply, or that there was none: then `rcode` is `DROP`, and `reply` 0.

    `time` is in seconds since 1970, when the reply was made; `seconds` is how long that took. `client` is an address,
    packed, and `port` its port, 0 where that is not known; `protocol` is "udp" or "tcp". `name` is in wire form, in the
    case that it was asked in, and empty where the question could not be read; then `type` and `klass` are 0 as well.
    `request` and `reply` are octets. `id` and `flags`, of the reply, are the first numbers of a message; `do` and
    `bufsize` (0 without EDNS) are the client's. `records` says whether the reply has any in its answer section.
    `source` says where the answer is from: "local", "cache" or "upstream", and `upstream` which one gave it, where that
    is known.
    """

    time: float
    client: bytes
    port: int
    protocol: str
    name: bytes
    type: int
    klass: int
    rcode: int
    reason: Reason
    records: bool
    source: str
    upstream: str
    seconds: float
    request: int
    reply: int
    id: int
    flags: int
    do: bool
    bufsize: int

    @property
    def is_denial(self) -> bool:
        """Whether the reply says that there is no such name, or nothing of this type (RFC 2308)."""
        is_empty = self.rcode == m.NOERROR and not self.records and not self.flags & m.TC
        return is_empty or self.rcode == m.NXDOMAIN

    @property
    def is_error(self) -> bool:
        """Whether the question was not answered at all, or with an error, or its client was told to ask otherwise."""
        return self.rcode not in {m.NOERROR, m.NXDOMAIN} or self.reason.code in _TURNED_AWAY
