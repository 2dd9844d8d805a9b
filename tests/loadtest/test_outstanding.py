from array import array

from hypothesis import given
from hypothesis import strategies as st

from loadtest.outstanding import IDS, Outstanding


def ask(table: Outstanding, wanted: int, since: int = 0, question: int = 0) -> list[int]:
    first, room = table.reserve(wanted)
    if room:
        table.begin(first, question, array("q", [since]) * room)
    return list(range(first, first + room))


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, 64)), max_size=200))
def test_no_id_is_out_twice_and_the_count_is_right(steps: list[tuple[int, int]]) -> None:
    table = Outstanding(16)
    out: list[int] = []
    for wanted, answered in steps:
        new = ask(table, wanted)
        assert not set(new) & set(out)
        out += new
        for ident in out[:answered]:
            table.finish(ident)
        del out[:answered]
        assert table.count == len(out)
        assert all(table.is_waiting(ident) for ident in out)


def test_an_id_that_stays_out_is_stepped_over_when_the_others_come_round() -> None:
    table = Outstanding(1)
    (stuck,) = ask(table, 1)
    seen = set()
    for _ in range(5000):
        (ident,) = ask(table, 1)
        seen.add(ident)
        table.finish(ident)
    assert stuck not in seen
    assert len(seen) == 1023


def test_all_ids_out_leaves_no_room() -> None:
    table = Outstanding(IDS)
    while ask(table, 64):
        pass
    assert table.count == IDS
    table.finish(777)
    assert ask(table, 64) == [777]


def test_only_what_was_asked_before_is_given_up() -> None:
    table = Outstanding(8)
    old, new = ask(table, 3, since=10), ask(table, 2, since=20)
    assert table.give_up(20) == 3
    assert table.count == 2
    assert all(table.was_given_up(ident) for ident in old)
    assert all(table.is_waiting(ident) for ident in new)
    table.forgive(old[0])
    assert not table.was_given_up(old[0])


def test_each_id_knows_its_question_and_its_time() -> None:
    table = Outstanding(8)
    ask(table, 2)
    first, second = ask(table, 2, since=33, question=70)
    assert (table.asked[first], table.asked[second]) == (70, 71)
    assert table.finish(second) == 33
