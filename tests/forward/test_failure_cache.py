"""Recent failures, in bounded memory."""

import pytest

from dnsserver.forward import failure_cache
from dnsserver.forward.failure_cache import FailureCache
from dnsserver.forward.outcome import Question
from dnsserver.wire.message import EDE, SERVFAIL
from dnsserver.zone.record import Reason

SLOW = Reason("upstream-timeout", EDE.NO_REACHABLE_AUTHORITY, "upstream 192.0.2.1:53: silent for 2000 ms")
TOLD = Reason("upstream-servfail", EDE.OTHER, "SERVFAIL", tuple((code, "x" * 120) for code in (6, 7, 8)))


def name(number: int) -> Question:
    return Question(b"%c%b\0" % (40, str(number).encode().rjust(40, b"n")), 1)


def test_a_failure_lasts_longer_each_time_it_follows_on_another() -> None:
    cache = FailureCache()
    ends = []
    now = 0.0
    for _ in range(5):
        cache.add(name(1), SLOW, now, 1.0, 5.0)
        kept = cache.get(name(1), now)
        assert kept is not None
        assert (kept.rcode, kept.reason.code, kept.reason.ede) == (SERVFAIL, "failure-cached", EDE.CACHED_ERROR)
        assert kept.reason.text == SLOW.text
        ends.append(kept.expires - now)
        now = kept.expires
        assert cache.get(name(1), now) is None
    assert ends == [1, 2, 4, 5, 5]
    cache.add(name(1), SLOW, now + 100, 1.0, 5.0)
    assert cache.get(name(1), now + 101) is None


@pytest.mark.parametrize(("reason", "least", "most"), [(SLOW, 9_000, 12_000), (TOLD, 3_500, 5_000)])
def test_room_is_bounded_in_octets_and_the_oldest_goes(reason: Reason, least: int, most: int) -> None:
    cache = FailureCache()
    for number in range(15_000):
        cache.add(name(number), reason, 0.0, 1.0, 5.0)
    assert least <= len(cache) <= most
    assert cache.size <= failure_cache.MOST
    assert cache.get(name(14_999), 0.5) is not None
    assert cache.get(name(0), 0.5) is None
    assert next(iter(cache)) == name(15_000 - len(cache))


def test_failures_that_do_not_count_any_more_are_swept_part_by_part() -> None:
    cache = FailureCache()
    for number in range(5_000):
        cache.add(name(number), SLOW, 0.0, 1.0, 5.0)
    cache.add(name(4_000), SLOW, 1.0, 1.0, 5.0)  # once more: until 3.0, and 2 s in which the next one lasts longer
    cache.sweep(1.9)
    assert len(cache) == 5_000
    sizes = []
    for _ in range(4):
        cache.sweep(2.0)
        sizes.append(len(cache))
    assert sizes[0] >= 2_000
    assert sizes == sorted(sizes, reverse=True)
    assert list(cache) == [name(4_000)]
    cache.sweep(5.0)
    assert (len(cache), cache.size) == (0, 0)


def test_what_is_forgotten_takes_no_room() -> None:
    cache = FailureCache()
    for number in range(3):
        cache.add(name(number), TOLD, 0.0, 1.0, 5.0)
        cache.add(name(number), TOLD, 0.0, 1.0, 5.0)
    each = cache.size // 3
    cache.forget(name(1))
    cache.forget(name(1))
    assert (len(cache), cache.size) == (2, 2 * each)
    cache.clear()
    assert (len(cache), cache.size) == (0, 0)
