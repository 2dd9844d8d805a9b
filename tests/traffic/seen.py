"""Observed values, short to write."""

from typing import Any

import msgspec

from dnsserver.traffic.observed import Observed
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.record import FOUND

_USUAL = Observed(
    time=1_790_000_000.0,
    client=bytes((10, 244, 1, 7)),
    port=40_000,
    protocol="udp",
    name=from_text("web.shop.svc.cluster.local"),
    type=m.A,
    klass=m.CLASS_IN,
    rcode=m.NOERROR,
    reason=FOUND,
    records=True,
    source="local",
    upstream="",
    seconds=0.0,
    request=55,
    reply=71,
    id=4711,
    flags=m.QR | m.AA | m.RD,
    do=False,
    bufsize=1232,
)


def seen(**fields: Any) -> Observed:
    """Return a question about a service and its answer, with other fields."""
    return msgspec.structs.replace(_USUAL, **fields)
