"""What is learnt of an upstream's EDNS and case of names, from how many names, and for how long."""

import pytest

from dnsserver.forward.habits import CaseHabit, EdnsHabit


def test_edns_is_left_out_after_three_names() -> None:
    habit = EdnsHabit()
    assert [habit.answered_without(name, 0.0) for name in (b"a", b"b", b"b", b"a", b"c")] == [False] * 4 + [True]
    assert not habit.used
    assert not habit.answered_without(b"d", 1.0), "it is known"


def test_a_name_with_edns_between_them_shows_the_contrary() -> None:
    habit = EdnsHabit()
    for name in (b"a", b"b"):
        habit.answered_without(name, 0.0)
    doubted = habit.doubted
    habit.answered_with()
    assert (doubted, habit.doubted) == (True, False)
    for name in (b"c", b"d"):
        assert not habit.answered_without(name, 0.0)
    assert habit.used


def test_edns_is_tried_again_after_a_minute() -> None:
    habit = EdnsHabit()
    for name in (b"a", b"b", b"c"):
        habit.answered_without(name, 10.0)
    assert used_after(habit, 69.0, 70.0) == [False, True]
    assert habit.answered_without(b"d", 71.0), "one more name is enough then"
    assert used_after(habit, 130.0, 131.0) == [False, True]
    habit.answered_with()
    assert habit.used
    assert not habit.answered_without(b"e", 140.0), "it begins anew"


def used_after(habit: EdnsHabit, *times: float) -> list[bool]:
    """Return whether EDNS is used at each of the times."""
    used = []
    for now in times:
        habit.review(now)
        used.append(habit.used)
    return used


def test_a_name_that_was_found_proves_that_case_does_not_matter() -> None:
    habit = CaseHabit(wanted=True)
    assert (habit.mixed, habit.proven, habit.doubted) == (True, False, True)
    habit.found()
    assert (habit.mixed, habit.proven, habit.doubted) == (True, True, False)
    assert not habit.take_confirmation(0.0)


def mixed_after(habit: CaseHabit, *times: float) -> list[bool]:
    """Return whether mixed case is used at each of the times."""
    mixed = []
    for now in times:
        habit.review(now)
        mixed.append(habit.mixed)
    return mixed


def test_confirmations_are_few() -> None:
    habit = CaseHabit(wanted=True)
    taken = [(habit.mixed, habit.take_confirmation(0.0)) for _ in range(8)]
    assert taken == [(True, True)] * 8
    # From now on it is asked in lower case, where nothing has to be confirmed.
    assert mixed_after(habit, 0.0, 9.0, 10.0) == [False, False, True]
    assert habit.take_confirmation(10.0)
    assert mixed_after(habit, 10.0, 19.0, 20.0) == [False, False, True]
    habit.found()
    assert mixed_after(habit, 1e9) == [True]
    assert habit.proven


def test_who_compares_case_is_asked_in_lower_case_for_ten_minutes() -> None:
    habit = CaseHabit(wanted=True)
    habit.compares(5.0)
    assert (habit.mixed, habit.doubted) == (False, False)
    assert not habit.take_confirmation(6.0)
    habit.found()  # a late reply
    assert mixed_after(habit, 6.0, 604.0, 605.0) == [False, False, True]
    assert not habit.proven
    assert habit.take_confirmation(606.0)


def test_who_errs_for_three_names_in_mixed_case_is_asked_in_lower_case_for_ten_minutes() -> None:
    habit = CaseHabit(wanted=True)
    names = (b"\1a\0", b"\1a\0", b"\1b\0", b"\1c\0")
    assert [habit.errs(name, 5.0) for name in names] == [False, False, False, True]
    assert mixed_after(habit, 5.0, 604.0, 605.0) == [False, False, True]
    assert not habit.errs(b"\1d\0", 606.0), "it begins anew"
    habit.found()
    assert not any(habit.errs(name, 607.0) for name in names), "it takes mixed case, errors pass"
    assert habit.mixed


@pytest.mark.parametrize("sure", [False, True])
def test_who_spoils_case_is_asked_in_lower_case_for_good(sure: bool) -> None:
    habit = CaseHabit(wanted=True)
    said = [habit.case_mismatched(sure=sure) for _ in range(3)]
    assert said.index(True) == (0 if sure else 2)
    habit.review(1e9)
    assert not habit.mixed


def test_a_reply_in_the_right_case_between_them_makes_them_forgeries() -> None:
    habit = CaseHabit(wanted=True)
    habit.found()
    for _ in range(5):
        assert not habit.case_mismatched(sure=False)
        assert not habit.case_mismatched(sure=False)
        doubted = habit.doubted
        habit.case_matched()
        assert (doubted, habit.doubted) == (True, False)
    assert habit.mixed


def test_where_mixed_case_is_not_wanted_nothing_is_learnt() -> None:
    habit = CaseHabit(wanted=False)
    assert (habit.mixed, habit.doubted) == (False, False)
    assert not habit.take_confirmation(0.0)
    assert not any(habit.case_mismatched(sure=True) for _ in range(5))
    habit.review(1e9)
    assert not habit.mixed
