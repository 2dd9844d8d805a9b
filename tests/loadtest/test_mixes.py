from collections import Counter

import pytest

from loadtest.inventory import Inventory
from loadtest.mixes import KINDS, MixError, mix, zipf
from loadtest.questions import Manner, Question, encode

NAMES = Inventory(
    domain="z",
    namespaces=("n", "m"),
    services=("a.n.svc.z", "b.m.svc.z", "c.n.svc.z"),
    headless=("h.n.svc.z",),
    ports=("_p._tcp.a.n.svc.z",),
    pods=("1-2-3-4.n.pod.z",),
    addresses=("10.0.0.1", "fd00::1"),
    external=("www.example.com",),
)


def made(weights: dict[str, int], most: int = 1000) -> list[Question]:
    return mix(weights, NAMES, missing_names=4, most=most)


@pytest.mark.parametrize(
    ("kind", "first", "number"),
    [
        ("services", Question("a.n.svc.z", "A"), 3),
        ("dual", Question("a.n.svc.z", "A"), 6),
        ("headless", Question("h.n.svc.z", "A"), 1),
        ("srv", Question("_p._tcp.a.n.svc.z", "SRV"), 1),
        ("pods", Question("1-2-3-4.n.pod.z", "A"), 1),
        ("reverse", Question("1.0.0.10.in-addr.arpa", "PTR"), 2),
        ("external", Question("www.example.com", "A"), 2),
    ],
)
def test_a_kind_alone_asks_each_of_its_questions_once(kind: str, first: Question, number: int) -> None:
    questions = made({kind: 3})
    assert questions[0] == first
    assert len(set(questions)) == number
    assert len(questions) - number < 3


def test_search_is_what_a_pod_asks_for_an_external_name() -> None:
    questions = made({"search": 1})
    assert [name for name, kind in questions if kind == "A"][:4] == [
        "www.example.com.n.svc.z",
        "www.example.com.svc.z",
        "www.example.com.z",
        "www.example.com",
    ]
    assert len(questions) == 2 * 4 * 2


def test_missing_names_differ_and_are_the_same_in_every_run() -> None:
    questions = made({"missing": 1})
    assert len(set(questions)) == 4
    assert questions == made({"missing": 1})


def test_weights_are_kept_all_along() -> None:
    questions = made({"services": 3, "missing": 1}, most=400)
    assert len(questions) == 16
    for start in range(0, 16, 4):
        kinds = Counter("missing" in name for name, _ in questions[start : start + 4])
        assert kinds == {False: 3, True: 1}
    assert len(set(questions)) == 3 + 4


def test_a_mix_ends_at_the_most() -> None:
    assert len(made({"services": 1, "search": 1}, most=5)) == 5


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_zipf_draws_each_place_as_often_as_its_power_says(exponent: float) -> None:
    questions = [Question(f"n{number}", "A") for number in range(50)]
    drawn = Counter(zipf(questions, exponent, 100_000))
    assert drawn == Counter(zipf(questions, exponent, 100_000))
    whole = sum(place**-exponent for place in range(1, 51))
    for place, question in enumerate(questions, 1):
        expected = 100_000 * place**-exponent / whole
        assert abs(drawn[question] - expected) < 5 * expected**0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked(kind: str) -> None:
    for question in made({kind: 1}):
        encode(question, Manner())


def test_a_kind_without_names_is_refused() -> None:
    with pytest.raises(MixError) as caught:
        mix({"pods": 1}, Inventory(domain="z"), missing_names=1, most=10)
    assert "`pods`" in str(caught.value)
