"""YAML as plain values: the same as for Kubernetes' own tools, with lines, and in memory bounded by the text."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.kube import plain
from dnsserver.kube.plain import ALIASED, DEPTH, NotPlainError, documents


def values(text: str) -> list[Any]:
    return [document.value for document in documents(text.encode())]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("[1, -1, 0x10, 010, 1_000, 0b11, 0]", [1, -1, 16, 8, 1000, 3, 0]),
        ("[1.5, -.inf, 1e3, 1.0e+3]", [1.5, float("-inf"), "1e3", 1000.0]),
        ("[true, No, on, ~, null, '', y]", [True, False, True, None, None, "", "y"]),
        ("['1', !!str 1, ! 2]", ["1", "1", "2"]),
        ("[2026-11-21, 2026-11-21T02:55:59Z, 22:22, 1:30.5, =, <<]",
         ["2026-11-21", "2026-11-21T02:55:59Z", "22:22", "1:30.5", "=", "<<"]),
        ("a: &x {b: 1}\nc: *x\nd: [*x, *x]", {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\ne: {<<: [*x, {c: 4, f: 5}]}",
         {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}, "e": {"b": 1, "c": 2, "f": 5}}),
        ("{1: a, true: b, 1.5: c}", {1: "b", 1.5: "c"}),
        ("!!map {a: !!seq [!!int '7', !!bool 'yes', !!null '', !!float '1', !!timestamp x, !!binary eA==]}",
         {"a": [7, True, None, 1.0, "x", "eA=="]}),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert values(text) == [value]


def test_documents() -> None:
    assert values("") == []
    assert values("---\n---\na: 1\n...\n---\nb: 2\n") == [None, {"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a:\n- !!bool maybe", 2, "`maybe` cannot be read as !!bool"),
        ("a: !!int x", 1, "`x` cannot be read as !!int"),
        ("a: !!float x", 1, "`x` cannot be read as !!float"),
        (f"a: {'1' * 5000}", 1, f"`{'1' * 40}` cannot be read as !!int"),
        ("a: !!python/none ''", 1, "the tag !!python/none is not supported here: expected plain values"),
        ("a: !x {}", 1, "the tag !x is not supported here: expected plain values"),
        ("a: !!set {x}", 1, "the tag !!set is not supported here: expected plain values"),
        ("a: !!map x", 1, "the tag !!map is not supported here: expected plain values"),
        ("&a [*a]", 1, "*a refers to itself"),
        ("a: &a\n  b: {c: *a}", 2, "*a refers to itself"),
        ("a: *b", 1, "not YAML: nothing is called &b before it"),
        ("&a x\n---\n*a", 3, "not YAML: nothing is called &a before it"),
        ("a: 1\n? [x]\n: y", 2, "a key that is not text"),
        ("a: {<<: 1}", 1, "`<<` needs maps"),
        ("a: {<<: [{}, 1]}", 1, "`<<` needs maps"),
        ("\n" * 7 + "[" * (DEPTH + 1), 8, f"nested deeper than {DEPTH} levels"),
        ("a: b\nc: [", 3, "not YAML: did not find expected node content"),
    ],
)
def test_what_is_refused(text: str, line: int, problem: str) -> None:
    with pytest.raises(NotPlainError) as found:
        values(text)
    assert (found.value.line, found.value.problem) == (line, problem)


def test_depth() -> None:
    assert values("[" * DEPTH + "]" * DEPTH)


def test_what_aliases_stand_for_is_bounded_each_time_that_they_do() -> None:
    wide = f"a: &a [{', '.join(['x'] * 999)}]\n"
    assert values(wide + f"b: [{', '.join(['*a'] * (ALIASED // 1000))}]")
    with pytest.raises(NotPlainError, match="line 2: aliases expand to more than"):
        values(wide + f"b: [{', '.join(['*a'] * (ALIASED // 1000 + 1))}]")
    with pytest.raises(NotPlainError, match="line 3: aliases expand to more than"):
        values(f"{wide}b: &b [{', '.join(['*a'] * 100)}]\nc: [*b, *b]")


def test_values_of_all_documents_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "NODES", 10)
    assert values("---\n" * 5) == [None] * 5
    for text in ("---\n" * 6, f"[{', '.join('x' * 12)}]"):
        with pytest.raises(NotPlainError, match="more than 10 values"):
            values(text)


def test_lines() -> None:
    text = "# first\na:\n  b:\n  - c\n  - d: {e: f,\n     g: h}\n  a: &x\n    i: j\nb: {<<: *x}\nb: 2\n"
    (document,) = documents(text.encode())
    lines = {
        (): 2, ("a",): 3, ("a", "b"): 4, ("a", "b", 0): 4, ("a", "b", 1): 5, ("a", "b", 1, "d", "g"): 6,
        ("a", "a", "i"): 8, ("a", "b", 7): 4, ("a", "b", "x"): 4, ("nothing",): 2,
    }  # fmt: skip
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.twice == [(10, "b")]


_text = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x85"))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner) | st.dictionaries(_text, inner),
    max_leaves=10,
)


@given(_values, st.booleans())
def test_what_yaml_writes_is_read_as_it_was(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    assert values(text) == [value]


@given(st.binary() | st.text(alphabet=" -:?&*!|>%@`'\"{}[],#\n\tab01~<", max_size=60).map(str.encode))
def test_any_octets_give_documents_or_say_why_not(text: bytes) -> None:
    try:
        lines = [document.line_of(()) for document in documents(text)]
    except NotPlainError as error:
        lines = [error.line]
    assert all(1 <= line <= text.count(b"\n") + text.count(b"\r") + 2 for line in lines)  # the end is a line
