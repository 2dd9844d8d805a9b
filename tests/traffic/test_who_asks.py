"""The lists that samples and replies give: clients, names, missing names, slow names, and failures."""

import msgspec
import pytest

from dnsserver.traffic.observed import Observed
from dnsserver.traffic.sampler import Sample
from dnsserver.traffic.who_asks import SLOW, WhoAsks, is_telling
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text
from dnsserver.zone.record import Reason
from tests.traffic.seen import seen

ONE, OTHER = b"\x0a\0\0\1", bytes(15) + b"\1"


def message(name: str, rcode: int = 0, *, reply: bool = True) -> bytes:
    return b"\0\7" + bytes((0x81 if reply else 1, 0x80 | rcode)) + b"\0\1" + bytes(6) + from_text(name) + b"\0\1\0\1"


def made(rcode: int = 0, seconds: float = 0.0, source: str = "local", name: str = "Web.Shop") -> Observed:
    reason = Reason("why", None, "because")
    return seen(client=ONE, rcode=rcode, seconds=seconds, source=source, name=from_text(name), reason=reason)


def found(who: WhoAsks, what: str) -> list[tuple[bytes, int]]:
    return [(item.key, item.count) for item in getattr(who, what).top(1, 10, 10.0).items]


def test_samples_tell_clients_names_and_what_was_missing() -> None:
    who = WhoAsks()
    who.sampled(
        [
            Sample(ONE, 10, message("web.shop")),
            Sample(ONE, 10, message("WEB.shop")),
            Sample(OTHER, 5, message("gone.shop", m.NXDOMAIN)),
            Sample(OTHER, 5, message("outside.example", m.NXDOMAIN, reply=False)),
            Sample(ONE, 1, b"\0\7"),
        ],
        5.0,
    )
    assert found(who, "clients") == [(ONE, 21), (OTHER, 10)]
    assert found(who, "names") == [
        (from_text("web.shop"), 20), (from_text("gone.shop"), 5), (from_text("outside.example"), 5)
    ]  # fmt: skip
    assert found(who, "domains") == [(from_text("shop"), 25), (from_text("example"), 5)]
    assert found(who, "missing") == [(from_text("gone.shop"), 5)]


def test_a_flood_of_random_names_is_seen_by_its_domain() -> None:
    who = WhoAsks()
    for number in range(20):
        flood = [Sample(ONE, 1, message(f"{number * 1000 + each:x}.flood.example")) for each in range(1000)]
        who.sampled([*flood, Sample(OTHER, 100, message("web.shop"))], 0.4 * number)
    (most, _), *random = found(who, "names")
    assert most == from_text("web.shop")
    assert max(count for _, count in random) < 200
    assert found(who, "domains") == [(from_text("flood.example"), 20_000), (from_text("shop"), 2000)]


@pytest.mark.parametrize(("name", "domain"), [(".", "."), ("com.", "."), ("a.b.", "b."), (r"x\.y.z.", "z.")])
def test_the_domain_of_a_name_is_all_but_its_first_label(name: str, domain: str) -> None:
    who = WhoAsks()
    who.sampled([Sample(ONE, 1, message(name))], 5.0)
    assert found(who, "domains") == [(from_text(domain), 1)]


@pytest.mark.parametrize(
    ("observed", "missing", "slow", "failed"),
    [
        (made(m.NXDOMAIN), 0, 0, 1),  # it was counted as a sample
        (made(m.NXDOMAIN, 0.02, "upstream"), 1, 0, 1),
        (made(m.NXDOMAIN, SLOW, "upstream"), 1, 1, 1),
        (made(m.SERVFAIL, 2.0, "upstream"), 0, 1, 1),
        (made(m.NOERROR, 0.02, "upstream"), 0, 0, 0),
        (made(m.NOERROR, SLOW, "upstream"), 0, 1, 0),
        (made(m.FORMERR, name=".") , 0, 0, 1),
    ],
)  # fmt: skip
def test_replies_that_were_made_tell_what_is_missing_slow_or_failed(
    observed: Observed, missing: int, slow: int, failed: int
) -> None:
    who = WhoAsks()
    who.observed(observed, 5.0)
    assert (len(found(who, "missing")), len(found(who, "slow")), len(who.failures.latest())) == (missing, slow, failed)
    assert is_telling(observed) is bool(missing or slow or failed)


def test_a_failure_has_what_there_is_to_say_of_it() -> None:
    who = WhoAsks()
    for now in (1.0, 4.0):
        who.observed(msgspec.structs.replace(made(m.SERVFAIL, 2.0, "upstream"), time=1e9 + now), now)
    (failure,) = who.failures.latest()
    assert (failure.client, failure.name, failure.type, failure.rcode) == (ONE, from_text("web.shop"), m.A, m.SERVFAIL)
    assert (failure.reason, failure.text, failure.count) == ("why", "because", 2)
    assert (failure.seconds, failure.first, failure.last) == (2.0, 1e9 + 1, 1e9 + 4)


def test_lists_of_samples_begin_with_the_sampling_and_others_with_the_counting() -> None:
    who = WhoAsks()
    for now, sampling in ((1.0, False), (3.0, True), (5.0, True), (7.0, False)):
        who.begin(now, sampling=sampling)
    began = {
        what: 10.0 - getattr(who, what).top(1, 1, 10.0).seconds for what in ("clients", "names", "domains", "slow")
    }
    assert began == {"clients": 3.0, "names": 3.0, "domains": 3.0, "slow": 1.0}


def test_the_longest_wait_is_told_of_a_slow_name() -> None:
    who = WhoAsks()
    for seconds in (0.2, 0.9, 0.3):
        who.observed(made(seconds=seconds, source="upstream"), 1.0)
    (item,) = who.slow.top(1, 5, 2.0).items
    assert (item.key, item.count, item.peak) == (from_text("web.shop"), 3, 0.9)
