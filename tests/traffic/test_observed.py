"""What counts as a denial, and as an error."""

import pytest

from dnsserver.wire import message as m
from dnsserver.zone.record import Reason
from tests.traffic.seen import seen


def test_who_is_told_to_ask_over_tcp_for_asking_too_much_is_an_error() -> None:
    one = seen(records=False, flags=m.QR | m.TC, reason=Reason("client-rate"))
    assert one.is_error
    assert not one.is_denial


@pytest.mark.parametrize(
    ("rcode", "records", "flags", "denial", "error"),
    [
        (m.NOERROR, True, m.QR, False, False),
        (m.NOERROR, False, m.QR, True, False),
        (m.NOERROR, False, m.QR | m.TC, False, False),  # the answer is to be had over TCP
        (m.NXDOMAIN, False, m.QR, True, False),
        (m.NXDOMAIN, True, m.QR, True, False),  # behind a CNAME
        (m.SERVFAIL, False, m.QR, False, True),
        (m.REFUSED, False, m.QR, False, True),
        (m.FORMERR, False, m.QR, False, True),
        (m.NOTIMP, False, m.QR, False, True),
        (m.BADVERS, False, m.QR, False, True),
        (m.DROP, False, 0, False, True),
    ],
)
def test_what_is_a_denial_and_what_an_error(rcode: int, records: bool, flags: int, denial: bool, error: bool) -> None:
    one = seen(rcode=rcode, records=records, flags=flags)
    assert (one.is_denial, one.is_error) == (denial, error)
