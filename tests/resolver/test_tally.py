"""Counts of kept replies: everything is counted once, in any steps, and by the namespace of the name."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.resolver.reply_cache import CountedLater, Reply, ReplyCache, ReplyTable
from dnsserver.resolver.tally import MISSING, OTHER, Labels, Namespaces
from dnsserver.wire import message as m
from dnsserver.zone.record import Key, name_key

FOUND: Labels = (m.A, m.NOERROR, "found")
NONE: Labels = (m.A, m.NXDOMAIN, "service-missing")
NO_NAMESPACE: Labels = (m.A, m.NXDOMAIN, "namespace-missing")
MANY = 4500  # replies: more than are counted in one step


def key_of(number: int, *, do: bool = False) -> bytes:
    """The octets of a question after its ID."""
    opt = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0" if do else b""
    return b"\1\0\0\1\0\0\0\0\0" + (b"\1" if do else b"\0") + b"\x04%04d\0\0\1\0\1" % number + opt


def table_of(replies: ReplyCache, count: int, kind: type[Reply] = Reply) -> ReplyTable:
    table = replies.add_table("udp", "1")
    for number in range(count):
        labels = NONE if number % 3 == 0 else FOUND
        depends: tuple[Key, ...] = ((b"ns%d" % (number % 7), b"%d" % number),)
        replies.keep(table, key_of(number, do=number % 2 == 0), kind(b"x" * (number % 50), labels, depends))
    return table


def everything(table: ReplyTable) -> object:
    sent = table.traffic()
    return sent, table.namespaces.questions, table.namespaces.failures


@pytest.mark.parametrize("kind", [Reply, CountedLater])
def test_in_slices_or_as_they_go_it_comes_to_the_same(kind: type[Reply]) -> None:
    found = []
    for rounds in (1, 3):
        replies = ReplyCache(1 << 24)
        table = table_of(replies, MANY, kind)
        for _ in range(3):
            for number, reply in enumerate(table.replies.values()):
                reply.hits += number % 4
            if rounds == 3:
                table.traffic()
        replies.clear()
        found.append(everything(table))
    assert found[0] == found[1]


def test_what_is_counted_is_what_was_sent() -> None:
    table = table_of(ReplyCache(1 << 24), 6, CountedLater)
    for number, reply in enumerate(table.replies.values()):
        reply.hits += number
    sent = table.traffic()
    assert sent.replies == {NONE: (1 + 0) + (1 + 3), FOUND: 2 + 3 + 5 + 6}
    assert sent.from_cache == {NONE: 3, FOUND: 1 + 2 + 4 + 5}
    assert sent.do == 1 + 3 + 5
    assert sent.requests.sum == sum((number + 1) * (len(key_of(number, do=number % 2 == 0)) + 2) for number in range(6))
    assert sent.responses.sum == sum((number + 1) * (number + 2) for number in range(6))
    assert table.namespaces.questions == {b"ns%d" % number: number + 1 for number in range(6)}
    assert table.namespaces.failures == {(b"ns0", m.NXDOMAIN): 1, (b"ns3", m.NXDOMAIN): 4}


@given(st.lists(st.tuples(st.sampled_from(["hit", "go", "come", "step"]), st.integers(0, MANY - 1)), max_size=30))
def test_what_changes_between_two_steps_is_never_counted_twice(happens: list[tuple[str, int]]) -> None:
    replies = ReplyCache(1 << 24)
    table = table_of(replies, 50)
    held = list(table.replies.values())
    hits = Counter[Labels]()
    sent, walk, before = 0, table.settle(), 0
    for what, number in happens:
        reply = held[number % len(held)]
        if what == "hit" and reply.held:
            reply.hits += 1
            hits[reply.labels] += 1
        elif what == "go" and reply.held:
            replies.discard(table, reply.key)
        elif what == "come" and not reply.held:
            sent += 1
            replies.keep(table, reply.key, Reply(b"", FOUND, ((b"ns0", b"0"),)))
        elif what == "step" and next(walk, 1):
            walk = table.settle()
        now = table.hit_shapes.total()
        assert before <= now <= hits.total()
        before = now
    assert table.traffic().from_cache == hits
    assert sum(table.namespaces.questions.values()) == 50 + sent + hits.total()


def test_others_have_their_turn_every_two_thousand_replies() -> None:
    table = table_of(ReplyCache(1 << 24), MANY)
    for reply in table.replies.values():
        reply.hits += 1
    counted = [sum(reply.counted == reply.hits for reply in table.replies.values()) for _ in table.settle()]
    steps = [after - before for before, after in zip([0, *counted], counted, strict=False)]
    assert counted[-1] == MANY
    assert max(steps) <= 2000


def test_a_question_of_another_size_is_counted_with_its_own() -> None:
    table = table_of(ReplyCache(1 << 24), 2)
    reply = table.replies[key_of(1)]
    reply.hits += 1
    table.correct(reply, 300)
    sent = table.traffic()
    assert (sent.replies, sent.requests.sum) == ({FOUND: 1}, 300)
    assert all(count >= 0 for count in sent.requests.counts)


@pytest.mark.parametrize(
    ("depends", "labels", "expected"),
    [
        (((b"shop", b"web"),), FOUND, b"shop"),
        (((b"shop",), b"\x0a\0\0\1"), FOUND, b"shop"),  # a pod's name
        (((b"shop", b"nobody"),), NONE, b"shop"),
        (((b"com",),), NO_NAMESPACE, MISSING),
        (((b"shop", b"alias"), (b"com",)), NO_NAMESPACE, b"shop"),  # an ExternalName that leads to nowhere
        ((b"\x0a\0\0\1", (b"shop", b"web")), FOUND, None),  # a reverse name
        ((name_key(b"\3www\0"),), FOUND, None),
        ((), FOUND, None),
        (None, FOUND, None),
    ],
)
def test_the_namespace_is_that_of_the_name(
    depends: tuple[Key, ...] | None, labels: Labels, expected: bytes | None
) -> None:
    counted = Namespaces()
    counted.count(depends, labels, 2)
    rcode = labels[1]
    assert counted.questions == ({} if expected is None else {expected: 2})
    assert counted.failures == ({} if expected is None or not rcode else {(expected, rcode): 2})
    if depends is not None:  # and so for a reply that is held
        table = ReplyTable("udp", "1")
        replies = ReplyCache(1 << 20)
        replies.tables.append(table)
        replies.keep(table, key_of(1), Reply(b"", labels, depends))
        table.traffic()
        table.replies[key_of(1)].hits += 1
        table.traffic()
        assert table.namespaces.questions == counted.questions
        assert table.namespaces.failures == counted.failures


def test_what_clients_invent_is_one_and_the_rest_is_bounded() -> None:
    counted = Namespaces()
    for number in range(3000):
        counted.count(((b"no%d" % number,),), NO_NAMESPACE)
        counted.count(((b"ns%d" % number, b"x"),), NONE)
    assert counted.questions[MISSING] == 3000
    assert len(counted.questions) <= 1001
    assert len(counted.failures) <= 1001
    assert sum(counted.questions.values()) == sum(counted.failures.values()) == 6000
    counted.keep_only({b"ns1", b"other"})
    assert counted.questions.keys() == {MISSING, OTHER, b"ns1"}
    assert {name for name, _ in counted.failures} == {MISSING, OTHER, b"ns1"}
