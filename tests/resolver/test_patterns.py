"""Regular expressions of users, and texts with gaps."""

# ruff: noqa: E501 - a case stands on one line
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.resolver.patterns import GapText, Pattern, RuleError, domain_of


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        (r"^(.*)-(?P<where>\w+)\.example\.$", "a-b-c.example.", {"0": "a-b-c.example.", "1": "a-b", "2": "c", "where": "c"}),
        (r"b(x)?", "abc.", {"0": "b", "1": ""}),
        (r"^B", "abc.", None),
        (r"^ABC", "abc.", {"0": "abc"}),
        (r"", "abc.", {"0": ""}),
        (r"\\032", "a\\032b.", {"0": "\\032"}),
    ],
)  # fmt: skip
def test_an_expression_is_looked_for_anywhere_in_any_case(
    expression: str, text: str, found: dict[str, str] | None
) -> None:
    pattern = Pattern(expression)
    assert pattern.search(text) == found
    assert found is None or pattern.groups == found.keys()


@pytest.mark.parametrize(
    ("expression", "domain"),
    [
        (r"^(.*)-(eu|us)\.corp\.example\.$", "corp.example"),
        (r"(.*)\.Corp\.example\.$", "corp.example"),
        (r"^db\.corp\.example\.$", "corp.example"),
        (r"x-y\.my-corp\.example\.$", "my-corp.example"),
        (r"^(?:[^.]+\.){4,}corp\.example\.$", "example"),  # the group may end in any label
        (r"[\.$]\.corp\.example\.$", "corp.example"),
        (r"[[:alpha:]]\.corp\.example\.$", "corp.example"),
        (r"(?i)a\.corp\.$", "corp"),
        (r"a\.corp\.example\.", ""),
        (r"a\.corp\.example$", ""),
        (r"a\.corp.example\.$", ""),
        (r"a\\.corp\.example\.$", "example"),
        (r"a|b\.corp\.example\.$", ""),
        (r"(a|b)\.corp\.example\.$", "corp.example"),
        (r"a\.corp\.exampl(e\.)$", ""),
        (r"a\.corp\.examples?\.$", ""),
        (r"a\.cor+p\.example\.$", "example"),
        (r"a\.x{2}\.$", ""),
        (r"\Qa|\E\.corp\.$", ""),
        (r"(.*)\.$", ""),
        ("$", ""),
        ("", ""),
    ],
)
def test_the_domain_of_an_expression_is_what_stands_literally_at_its_end(expression: str, domain: str) -> None:
    Pattern(expression)
    assert domain_of(expression) == domain


@given(
    st.lists(
        st.sampled_from(
            ["a", "b", r"\.", ".", ".*", "(", ")", "|", "$", "^", "[a.]", "[^.]", r"\\", "+", "?", "b{2}", "(?:"]
        ),
        max_size=10,
    ).map(lambda found: "".join(found) + r"\.b\.a\.$"),
    st.lists(st.sampled_from(["a", "b", "ab", "."]), max_size=8).map("".join),
    st.booleans(),
)
def test_all_that_an_expression_fits_lies_in_its_domain(expression: str, name: str, near: bool) -> None:
    try:
        pattern = Pattern(expression)
    except RuleError:
        return
    text = f"{name}.b.a." if near else f"{name}."
    domain = domain_of(expression)
    if pattern.search(text) is not None and domain:
        assert f".{text}".endswith(f".{domain}.")


@pytest.mark.parametrize("expression", ["(", "a**", r"(?=a)", r"(a)\1", "(?<!a)b", "[z-a]", "a{1001}", "x" * 1001])
def test_what_is_no_expression_says_so(expression: str) -> None:
    with pytest.raises(RuleError, match=r"is not a regular expression in RE2 syntax: |has 1001 characters"):
        Pattern(expression)


@pytest.mark.parametrize(
    "expression",
    [rf"^(.*)\.{'a' * 64}\.org\.$", r"a\.\.org\.$", r"x\." + r"abc\." * 63 + r"abcd\.$"],
)
def test_an_expression_that_no_name_can_end_as_says_so(expression: str) -> None:
    with pytest.raises(RuleError, match=r"fits no name: "):
        Pattern(expression)


@pytest.mark.parametrize("expression", ["(a*)*$", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)x$", "(a?){50}a{50}b"])
def test_no_expression_takes_long(expression: str) -> None:
    pattern = Pattern(expression)
    begun = time.process_time()
    pattern.search("a" * 250 + "!.")
    assert time.process_time() - begun < 0.05


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{1}.{who}.x", "one.bob.x"),
        ("x", "x"),
        ("", ""),
        ("{{1}}{{{1}}}", "{1}{one}"),
        ("{1}{1}{who}", "oneonebob"),
    ],
)
def test_gaps_are_filled(text: str, filled: str) -> None:
    assert GapText(text, {"1", "who"}).filled({"1": "one", "who": "bob"}) == filled


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{2}", 'found "{2}" in "{2}", expected "{1}" or "{who}"'),
        ("{}", 'found "{}", a single "{"; for a brace write it twice'),
        ("a}", 'found "a}", a single "}"; for a brace write it twice'),
        ("{1", 'found "{1", a single "{"; for a brace write it twice'),
        ("{who!r}", 'found "{who!r}", a single "{"; for a brace write it twice'),
    ],
)
def test_a_gap_that_nothing_fills_says_so(text: str, why: str) -> None:
    with pytest.raises(RuleError) as caught:
        GapText(text, {"1", "who"})
    assert str(caught.value) == why
