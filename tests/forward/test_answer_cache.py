"""The answer cache alone: time is an argument, so no test waits."""

import tracemalloc

import pytest

from dnsserver.forward import outcome as o
from dnsserver.forward.answer_cache import AnswerCache
from dnsserver.forward.outcome import Outcome, Question
from dnsserver.forward.settings import CacheSettings
from dnsserver.wire.message import EDE, EMPTY, NXDOMAIN, SERVFAIL, Body
from dnsserver.wire.name import from_text
from tests.reach import octets

DATA = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"


def ask(name: str = "www.example.com", type_: int = 1) -> Question:
    return Question(from_text(name), type_)


def outcome(ttl: float, stored: float = 0.0, rcode: int = 0) -> Outcome:
    # The octets are each time new ones, as they are when they come from a socket.
    return Outcome(rcode, Body(1, 0, 0, bytes(bytearray(DATA)), (6,)), False, o.FORWARDED, stored, stored + ttl)


def test_an_outcome_is_fresh_until_it_expires() -> None:
    cache = AnswerCache(CacheSettings())
    cache.put(ask(), outcome(300))
    assert cache.get(ask(), 299.9) == outcome(300)
    assert cache.get(ask(), 300) is None
    assert cache.get(ask(type_=28), 0) is None
    assert cache.get(Question(from_text("www.example.com"), 1, do=True), 0) is None


def test_ttl_0_is_not_kept() -> None:
    cache = AnswerCache(CacheSettings())
    cache.put(ask(), outcome(0))
    assert cache.statistics().entries == 0


def test_stale_outcomes_say_so_for_a_day() -> None:
    cache = AnswerCache(CacheSettings(stale=86_400))
    cache.put(ask(), outcome(300))
    stale = cache.stale(ask(), 400, 5)
    assert stale is not None
    assert (stale.reason.ede, stale.expires) == (EDE.STALE_ANSWER, 405)
    assert stale.body.data[6:10] == b"\0\0\0\x1e"
    assert cache.stale(ask(), 300 + 86_400) is None
    cache.put(ask("nope.example.com"), outcome(60, rcode=NXDOMAIN))
    missing = cache.stale(ask("nope.example.com"), 100)
    assert missing is not None
    assert missing.reason.ede == EDE.STALE_NXDOMAIN
    assert AnswerCache(CacheSettings(stale=0)).stale(ask(), 0) is None


def test_failures_last_longer_each_time_and_end_with_success() -> None:
    cache = AnswerCache(CacheSettings(failure_ttl=1, failure_cap=3))
    now = 0.0
    lasted = []
    for _ in range(4):
        assert cache.failure(ask(), now) is None
        assert cache.fail(ask(), o.UPSTREAM_TIMEOUT, now).reason.ede == EDE.NO_REACHABLE_AUTHORITY
        failure = cache.failure(ask(), now)
        assert failure is not None
        assert (failure.rcode, failure.body, failure.reason.ede) == (SERVFAIL, EMPTY, EDE.CACHED_ERROR)
        lasted.append(failure.expires - now)
        now = failure.expires
    assert lasted == [1, 2, 3, 3]
    cache.fail(ask(), o.UPSTREAM_TIMEOUT, now)
    cache.put(ask(), outcome(300, now))
    assert cache.failure(ask(), now) is None


def test_a_renewal_is_due_once_and_only_when_asked_for() -> None:
    cache = AnswerCache(CacheSettings(renew_hits=3))
    cache.put(ask(), outcome(100))
    assert not cache.renewal_due(ask(), 95)
    for _ in range(3):
        cache.get(ask(), 10)
    assert not cache.renewal_due(ask(), 80)
    assert cache.renewal_due(ask(), 91)
    assert not cache.renewal_due(ask(), 92, hits=100)
    cache.put(ask("touched.example.com"), outcome(100))
    assert cache.renewal_due(ask("touched.example.com"), 91, hits=3)


def test_flush_takes_all_types_of_a_name() -> None:
    cache = AnswerCache(CacheSettings())
    for name in ("example.com", "www.example.com", "notexample.com"):
        cache.put(ask(name), outcome(300))
        cache.put(ask(name, 28), outcome(300))
    assert len(cache.flush(from_text("www.example.com"))) == 2
    assert cache.flush(from_text("example.com"), below=True) == [ask("example.com"), ask("example.com", 28)]
    assert cache.statistics().entries == 2


def test_the_oldest_that_nobody_asks_for_goes_first() -> None:
    cache = AnswerCache(CacheSettings(size=6_100))
    for i in range(10):
        cache.put(ask(f"n{i}.example.com"), outcome(300))
    cache.get(ask("n0.example.com"), 1)
    for i in range(10, 15):
        cache.put(ask(f"n{i}.example.com"), outcome(300))
    assert cache.get(ask("n0.example.com"), 1) is not None
    assert cache.get(ask("n1.example.com"), 1) is None
    assert cache.statistics().size <= 6_100


def test_replacing_entries_does_not_grow() -> None:
    cache = AnswerCache(CacheSettings())
    sizes = []
    for i in range(1000):
        cache.put(ask(), outcome(300, i))
        sizes.append(octets(cache))
    assert cache.statistics().entries == 1
    assert max(sizes) < 10 * sizes[0]


@pytest.mark.parametrize(
    ("length", "records", "octets", "count"),
    [
        (20, 0, 0, 5000),
        (20, 1, 16, 5000),
        (250, 1, 16, 5000),
        (20, 10, 16, 2000),
        (40, 4, 260, 2000),
        (30, 230, 262, 50),
        (30, 3000, 16, 20),
    ],
)
def test_the_size_that_is_counted_is_about_the_memory_that_is_used(
    length: int, records: int, octets: int, count: int
) -> None:
    tracemalloc.start()
    cache = AnswerCache(CacheSettings(size=1 << 30))
    for i in range(count):
        label = b"%08d" % i
        rest = (length - 10) // 50
        name = b"\x08" + label + b"".join(b"\x31" + b"x" * 49 for _ in range(rest)) + b"\0"
        ttls = tuple(at * octets + 300 + i for at in range(records))
        body = Body(records, 0, 0, bytes(records * octets), ttls)
        cache.put(Question(name, 1), Outcome(0, body, False, o.FORWARDED, float(i), i + 300.5))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.75 < used / cache.statistics().size < 1.25
