"""JSON cut at its outermost level: the same parts as a whole parser finds, however deep they are."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.kube.shallow import elements, fields

_text = st.text(st.characters(blacklist_categories=["Cs"]))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _text,
    lambda inner: st.lists(inner) | st.dictionaries(_text, inner),
    max_leaves=12,
)


@given(st.dictionaries(_text, _values), st.sampled_from([None, 1]), st.booleans())
def test_fields(thing: dict[str, Any], indent: int | None, plain: bool) -> None:
    text = json.dumps(thing, indent=indent, ensure_ascii=plain).encode()
    assert {key: json.loads(value) for key, value in fields(text).items()} == thing


@given(st.lists(_values), st.sampled_from([None, 1]))
def test_elements(thing: list[Any], indent: int | None) -> None:
    assert [json.loads(each) for each in elements(json.dumps(thing, indent=indent).encode())] == thing


def test_depth() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert fields(b'{"a": %b, "b": 1}' % deep) == {"a": deep, "b": b"1"}
    assert elements(b"[1, %b]" % deep) == [b"1", deep]


@pytest.mark.parametrize("text", ["", "[", "{", '{"a": 1', "{]", "{1: 2}", "[1]", '"x"', '{"a" 1}', '{"a": [}'])
def test_no_object(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        fields(text.encode())
