"""Which namespaces have a label of their own: their number is bounded, and no count ever becomes smaller."""

from hypothesis import given
from hypothesis import strategies as st

from dnsserver.metrics import MISSING, OTHER, Namespace, NamespaceLabels

NAMES = ["a", "b", "c", "d"]


def counts(**questions: int) -> dict[str, Namespace]:
    return {name: Namespace(questions=count, failures={2: count // 2}) for name, count in questions.items()}


def test_the_busiest_have_a_label_and_the_rest_is_one() -> None:
    labels = NamespaceLabels(2)
    found = labels.update([counts(a=1, b=5, c=9), counts(a=2, c=2)], NAMES)
    assert {name: shown.questions for name, shown in found.items()} == {"c": 11, "b": 5, OTHER: 3}
    assert found["c"].failures == {2: 5}


def test_who_has_a_label_keeps_it() -> None:
    labels = NamespaceLabels(1)
    labels.update([counts(a=2)], NAMES)
    found = labels.update([counts(a=2, b=99)], NAMES)
    assert {name: shown.questions for name, shown in found.items()} == {"a": 2, OTHER: 99}


def test_the_label_of_a_namespace_that_is_gone_is_another_ones() -> None:
    labels = NamespaceLabels(1)
    labels.update([counts(a=2, b=3)], NAMES)
    assert "b" in labels.update([counts(a=2, b=4)], NAMES)
    found = labels.update([counts(a=7)], ["a"])
    assert {name: shown.questions for name, shown in found.items()} == {OTHER: 2, "a": 5}
    # It is there again, and counts from its beginning.
    found = labels.update([counts(a=8, b=1)], NAMES)
    assert {name: shown.questions for name, shown in found.items()} == {OTHER: 3, "a": 6}


def test_what_does_not_exist_has_one_label_whatever_else_is_shown() -> None:
    labels = NamespaceLabels(0)
    named = {MISSING: Namespace(questions=7, failures={3: 7}), OTHER: Namespace(questions=2)}
    found = labels.update([{**named, **counts(gone=5)}], NAMES)
    assert found == named


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from([*NAMES, MISSING, OTHER]), st.integers(0, 9)), max_size=40),
)
def test_nothing_goes_back_and_nothing_is_lost(most: int, asked: list[tuple[str, int]]) -> None:
    labels = NamespaceLabels(most)
    totals: dict[str, int] = {}
    before: dict[str, int] = {}
    for name, count in asked:
        totals[name] = totals.get(name, 0) + count
        shown = {label: found.questions for label, found in labels.update([counts(**totals)], NAMES).items()}
        assert sum(shown.values()) == sum(totals.values())
        assert all(shown[label] >= value for label, value in before.items())
        assert len(shown.keys() - {MISSING, OTHER}) <= most
        before = shown
