"""The reply cache: a change drops exactly the replies that depend on it, and leaves nothing of them."""

import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.forward.outcome import Question
from dnsserver.resolver.reply_cache import AgingReply, Reply, ReplyCache, ReplyTable, RingReply
from dnsserver.zone.record import ADDRESSES, Key

pytestmark = pytest.mark.made_up

LABELS = (1, 0, "found")
KEYS: list[Key] = [(b"a",), (b"b",), (b"a", b"s"), (b"a", b"t"), (b"b", b"s"), b"\x0a\0\0\1", b"\x0a\0\0\2"]


def reply(*depends: Key, wire: bytes = b"reply") -> Reply:
    return Reply(wire, LABELS, depends)


def cache(size: int = 1 << 30) -> tuple[ReplyCache, ReplyTable]:
    made = ReplyCache(size)
    return made, made.add_table("udp", "1")


def room(count: int, of: Reply, key: bytes = b"1") -> int:
    """How large a cache has room for so many replies of the usual kind."""
    replies, table = cache()
    replies.keep(table, key, of)
    return -(-count * of.size * 8 // 5)


def held(table: ReplyTable) -> set[bytes]:
    return set(table.replies)


def test_a_change_drops_what_depends_on_it() -> None:
    replies, table = cache()
    replies.keep(table, b"1", reply((b"a", b"s")))
    replies.keep(table, b"2", reply((b"a", b"s"), (b"b", b"s")))
    replies.keep(table, b"3", reply((b"b", b"s")))
    replies.keep(table, b"4", reply())
    replies.drop({(b"a", b"s"), (b"x", b"y")})
    assert held(table) == {b"3", b"4"}
    assert replies.statistics().dropped == 2


def test_a_namespace_stands_for_its_services() -> None:
    replies, table = cache()
    replies.keep(table, b"1", reply((b"a", b"s")))
    replies.keep(table, b"2", reply((b"a",)))
    replies.keep(table, b"3", reply((b"b", b"s"), b"\x0a\0\0\1"))
    replies.drop({(b"a",)})
    assert held(table) == {b"3"}
    replies.drop({b"\x0a\0\0\1"})
    assert held(table) == set()


_keys = st.sets(st.sampled_from(KEYS), max_size=3)
_keep = st.tuples(st.just("keep"), st.integers(0, 30), _keys, st.booleans())
_dropped = st.sets(st.sampled_from([*KEYS, ADDRESSES]), max_size=3)
_drop = st.tuples(st.just("drop"), st.integers(0, 0), _dropped, st.just(False))
_discard = st.tuples(st.just("discard"), st.integers(0, 30), st.just(set[Key]()), st.just(False))


@given(st.lists(st.one_of(_keep, _keep, _drop, _discard), max_size=60), st.sampled_from([2500, 6000, 1 << 30]))
def test_what_is_held_is_what_nothing_has_dropped(steps: list[tuple[str, int, set[Key], bool]], limit: int) -> None:
    replies, table = cache(limit)
    expected: dict[bytes, set[Key]] = {}
    for step, number, keys, missing in steps:
        key = bytes((number,))
        if step == "keep":
            replies.keep(table, key, reply(*keys), missing=missing)
            expected[key] = keys
        elif step == "discard":
            replies.discard(table, key)
            expected.pop(key, None)
        else:
            replies.drop(keys)
            spaces = {each[0] for each in keys if isinstance(each, tuple) and len(each) == 1}
            for kept, depends in list(expected.items()):
                services = {each[0] for each in depends if isinstance(each, tuple) and len(each) == 2}
                addressed = ADDRESSES in keys and any(isinstance(each, bytes) for each in depends)
                if depends & keys or services & spaces or addressed:
                    del expected[kept]
        if limit == 1 << 30:
            assert held(table) == set(expected)
        else:
            assert held(table) <= set(expected)
        figures = replies.statistics()
        assert figures.replies + figures.missing == len(table.replies)
        assert figures.size == sum(found.size for found in table.replies.values()) <= limit
    replies.drop(set(KEYS))
    assert all(not found.depends for found in table.replies.values())


def test_room_is_made_by_the_oldest_that_nobody_asks_for() -> None:
    replies, table = cache(room(3, reply()))
    for key in (b"1", b"2", b"3"):
        replies.keep(table, key, reply())
    table.replies[b"1"].hits += 1
    replies.keep(table, b"4", reply())
    assert held(table) == {b"1", b"3", b"4"}
    replies.keep(table, b"5", reply())
    assert held(table) == {b"1", b"4", b"5"}
    assert replies.statistics().evicted == 2


def test_names_that_do_not_exist_push_out_nothing_but_their_like() -> None:
    size = room(10, reply())
    replies, table = cache(size)
    replies.keep(table, b"good", reply())
    for number in range(50):
        replies.keep(table, b"missing%d" % number, reply(), missing=True)
        replies.keep(table, b"large%d" % number, reply(wire=bytes(4097)))
    assert b"good" in held(table)
    figures = replies.statistics()
    assert (figures.replies, figures.missing) == (1, size // 4 // (reply().more + 5 + 18))


def test_large_replies_push_out_nothing_but_their_like() -> None:
    replies, table = cache(1 << 20)
    replies.keep(table, b"good", reply())
    for number in range(50):
        replies.keep(table, b"large%d" % number, reply(wire=bytes(60_000)))
    assert held(table) == {b"good", b"large48", b"large49"}
    replies.keep(table, b"larger than the room for all", reply(wire=bytes(200_000)))
    assert len(held(table)) == 3


def _record_hits(ask: Question, hits: int) -> None:
    del ask, hits


def _ask(number: int) -> Callable[[int], None]:
    """What an AgingReply holds to tell the forwarder: a call with what was asked."""
    return partial(_record_hits, Question(b"\x14%020d\3com\0" % number, 1, False, False))


KINDS: dict[str, Callable[[int], Reply]] = {
    "plain": lambda _: Reply(bytes(100), LABELS),
    "plain, depends on its own service": lambda n: Reply(bytes(100), LABELS, ((b"%020d" % (n // 9), b"%020d" % n),)),
    "plain, depends on a namespace": lambda n: Reply(bytes(100), LABELS, ((b"%063d" % n,),)),
    "plain, of 1,200 octets": lambda n: Reply(bytes(1200), LABELS, ((b"%020d" % n,),)),
    "plain, depends on much": lambda n: Reply(bytes(300), LABELS, tuple((b"%020d" % (9 * n + i),) for i in range(8))),
    "ring of 8": lambda n: RingReply(bytes(300), LABELS, ((b"%020d" % n,),), 40, 16, bytes(128), 8),
    "ring of 4,000": lambda n: RingReply(bytes(512), LABELS, ((b"%020d" % n,),), 40, 16, bytes(64_000), 28),
    "aging, one record": lambda n: AgingReply(bytes(100), LABELS, (), [40], n + 0.5, n + 300.5, _ask(n)),
    "aging, in a namespace": lambda n: AgingReply(
        bytes(99), LABELS, ((b"%020d" % n,),), [40], n + 0.5, n + 9.5, _ask(n)
    ),
    "aging, 64 KiB": lambda n: AgingReply(bytes(65_000), LABELS, (), range(40, 64_000, 260), n + 0.5, n + 9.5, _ask(n)),
    "aging, 4,000 records": lambda n: AgingReply(
        bytes(65_000), LABELS, (), range(40, 64_000, 16), 0.5, n + 9.5, _ask(n)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_it_holds_is_what_it_takes_of_memory(kind: str) -> None:
    replies, table = cache()
    make, count = KINDS[kind], 60 if "4,000" in kind or "64 KiB" in kind else 2000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            key = b"\1\0\0\1\0\0\0\0\0\0\x14%020d\7example\3com\0\0\1\0\1" % number
            replies.keep(table, key, make(number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(table.replies) == count
    assert 0.8 * taken < replies.statistics().size < 1.4 * taken


def test_what_is_remembered_of_questions_asked_once_is_bounded() -> None:
    replies, _ = cache(1 << 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            replies.seen_before(b"%d" % number)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < (1 << 20) / 16


def test_many_that_depend_on_one_key_go_together() -> None:
    replies, table = cache()
    for number in range(500):
        replies.keep(table, b"%d" % number, reply((b"a",), b"\x0a\0\0\1"))
    for number in range(0, 500, 3):
        replies.discard(table, b"%d" % number)
    assert len(held(table)) == 333
    replies.drop({(b"a",)})
    assert held(table) == set()


def test_a_question_is_remembered_once_it_was_asked() -> None:
    replies, _ = cache(16 * 1024)
    assert not replies.seen_before(b"x")
    assert replies.seen_before(b"x")
    for number in range(3):
        replies.seen_before(b"other%d" % number)
    assert replies.seen_before(b"x")  # one generation later
    for number in range(10):
        replies.seen_before(b"more%d" % number)
    assert not replies.seen_before(b"x")


def test_lanes_share_the_room_and_not_the_replies() -> None:
    replies, udp = cache(room(2, reply((b"a",))))
    tcp = replies.add_table("tcp", "1")
    replies.keep(udp, b"1", reply((b"a",)))
    replies.keep(tcp, b"1", reply((b"a",)))
    replies.keep(tcp, b"2", reply())
    assert (held(udp), held(tcp)) == (set(), {b"1", b"2"})
    replies.drop({(b"a",)})
    assert held(tcp) == {b"2"}


def test_traffic_outlives_the_replies() -> None:
    replies, table = cache()
    replies.keep(table, b"1", reply((b"a",)))
    table.replies[b"1"].hits += 3
    table.shapes[LABELS, 30, 46, False] += 1
    assert (table.traffic().replies[LABELS], replies.statistics().hits) == (4, 3)
    replies.drop({(b"a",)})
    assert (table.traffic().replies[LABELS], replies.statistics().hits) == (4, 3)


def test_ring_replies_turn_by_one_record() -> None:
    ring = RingReply(b"head" + b"AABBCC" + b"tail", LABELS, (), 4, 2, b"AABBCC", 3)
    assert [ring.renew(0) for _ in range(4)] == [
        b"headBBCCAAtail",
        b"headCCAABBtail",
        b"headAABBCCtail",
        b"headBBCCAAtail",
    ]
    assert ring.due < 0


def test_cut_ring_replies_show_every_record_in_turn() -> None:
    ring = RingReply(b"head" + b"AABB", LABELS, (), 4, 2, b"AABBCC", 2)
    assert [ring.renew(0) for _ in range(3)] == [b"headBBCC", b"headCCAA", b"headAABB"]


def test_aging_replies_count_down_and_end() -> None:
    told: list[int] = []
    wire = b"xx" + (300).to_bytes(4) + b"yy" + (7).to_bytes(4)
    aging = AgingReply(wire, LABELS, (), [2, 8], 100.0, 110.0, told.append)
    assert aging.due == 101.0
    aging.hits += 5
    for now, long, short in ((101.0, 299, 6), (103.9, 297, 4), (108.5, 292, 0)):
        renewed = aging.renew(now)
        assert renewed == b"xx" + long.to_bytes(4) + b"yy" + short.to_bytes(4)
        assert aging.wire == renewed
        assert now < aging.due <= now + 1
    assert aging.due == 109.0
    assert aging.renew(110.0) is None
    assert told == [5]


def test_what_has_expired_is_swept_and_nothing_else() -> None:
    replies, table = cache()
    follows = replies.follow(lambda key, _: key == b"seen")
    for number in range(600):
        replies.keep(table, b"%d" % number, AgingReply(b"", LABELS, ((b"a",),), [], 0, 10 + number % 2))
    replies.keep(table, b"seen", AgingReply(b"", LABELS, (), [], 0, 10))
    replies.keep(table, b"stays", reply((b"a",)))
    assert len(list(follows)) == 2
    assert len(list(replies.sweep(9.9))) == 2
    assert replies.statistics().expired == 0
    steps = replies.sweep(10.0)
    next(steps)
    replies.drop({(b"a",)})  # in the middle of it: nothing goes twice
    assert list(steps) == [None]
    assert (held(table), set(table.followed)) == (set(), set())
    found = replies.statistics()
    assert (found.replies, found.size, found.expired + found.dropped) == (0, 0, 602)
    for number in range(600):
        replies.keep(table, b"%d" % number, AgingReply(b"", LABELS, ((b"a",),), [], 0, 10 + number % 2))
    replies.keep(table, b"stays", reply((b"a",)))
    assert len(list(replies.sweep(10.0))) == 2
    assert held(table) == {b"stays", *(b"%d" % number for number in range(1, 600, 2))}
    replies.drop({(b"a",)})
    assert held(table) == set()


def test_what_came_from_outside_can_be_cleared_alone() -> None:
    replies, table = cache()
    replies.keep(table, b"1", reply())
    replies.keep(table, b"2", AgingReply(b"", LABELS, ((b"a",),), [], 0, 10))
    replies.clear_outside()
    assert held(table) == {b"1"}
    replies.keep(table, b"3", AgingReply(b"\x80\0", LABELS, (), [], 0, 10))
    replies.keep(table, b"4", AgingReply(b"\x84\0", LABELS, ((b"a",),), [], 0, 10))
    replies.keep(table, b"5", Reply(b"\x85\0", LABELS))
    replies.discard(table, b"1")
    replies.clear_own()
    assert held(table) == {b"3"}
    replies.clear()
    assert held(table) == set()


@pytest.mark.parametrize("count", [1, 60, 70, 500])
def test_what_many_replies_depend_on_drops_them_all_and_only_them(count: int) -> None:
    cache = ReplyCache()
    table = cache.add_table("udp", "1")
    shared, own = (b"com",), (b"shop", b"com")
    for number in range(count):
        cache.keep(table, b"%d" % number, Reply(b"", (1, 0, "found"), (shared, own) if number % 2 else (shared,)))
    cache.keep(table, b"other", Reply(b"", (1, 0, "found"), ((b"net",),)))
    for number in range(0, count, 3):
        cache.discard(table, b"%d" % number)
    cache.drop({own})
    left = {b"%d" % number for number in range(count) if number % 3 and not number % 2}
    assert set(table.replies) == {b"other"} | left
    cache.drop({shared})
    assert set(table.replies) == {b"other"}
    assert cache.statistics().replies == 1


def test_less_room_costs_the_oldest_and_a_table_that_goes_takes_its_replies_along() -> None:
    cache = ReplyCache(1 << 20)
    first, second = cache.add_table("udp", "1"), cache.add_table("tcp", "1")
    for number in range(200):
        cache.keep(
            first if number % 2 else second, b"%d" % number, Reply(bytes(1000), (1, 0, "found"), ((b"a", b"s"),))
        )
    cache.resize(200_000)
    held = cache.statistics()
    assert held.size <= 200_000 * 5 // 8
    assert b"199" in first.replies
    assert b"1" not in first.replies
    cache.remove_table(second)
    assert cache.tables == [first]
    assert cache.statistics().replies == len(first.replies)
    cache.drop({(b"a", b"s")})
    assert cache.statistics().size == 0


@pytest.mark.parametrize("labels", [(), (b"\1b",)])
def test_what_a_configuration_alters_leaves_and_nothing_else(labels: tuple[bytes, ...]) -> None:
    cache = ReplyCache()
    table = cache.add_table("udp", "1")
    for name in (b"\1a\0", b"\1b\0", b"\1B\0"):
        cache.keep(table, name, Reply(name, (1, 0, "found")))
    changes = cache.changes
    assert cache.drop_altered(lambda reply: b"\1b" in reply.wire.lower(), labels) == 2
    assert list(table.replies) == [b"\1a\0"]
    assert cache.drop_altered(None) == 0
    assert cache.changes == changes + 2  # what is being worked out is not kept
