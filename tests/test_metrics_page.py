"""docs/metrics.md says what the code says."""

from dnsserver.metrics.families import FAMILIES
from tests.metrics_page import OLD, PAGE, QUESTIONS, page, question_of


def test_the_page_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "python -m tests.metrics_page"


def test_every_question_has_an_answer_and_every_name_is_used() -> None:
    assert {question_of(family) for family in FAMILIES} == {*QUESTIONS, OLD}
    for names in QUESTIONS.values():
        for name in names:
            assert any(family.name.startswith(name) for family in FAMILIES), name
