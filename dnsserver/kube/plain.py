"""YAML as the plain values of JSON, with the line of each: what a file may ask of us is bounded. No I/O.

Values are built from the parser's events in a loop of our own, so that depth costs no stack: libyaml's and PyYAML's
composers recurse, and 100,000 brackets end the process. An alias counts as what it stands for, every time, as whoever
walks the values meets it every time; one that stands for itself is refused. A tag other than those of JSON's values is
refused too: it names something that no Kubernetes object holds. What a plain scalar means is PyYAML's resolver's word
(YAML 1.1), but for times, which are text in Kubernetes.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

DEPTH = 100  # collections in each other; Kubernetes' own deepest, a CustomResourceDefinition's schema, has about 40
NODES = 4_000_000  # values in a file: 32 MiB of usual objects have a tenth
ALIASED = 200_000  # values that aliases stand for
_TWICE = 20  # keys that are told

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast, where it is there
_STANDARD = "tag:yaml.org,2002:"
_RESOLVERS: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.resolver.Resolver.yaml_implicit_resolvers
_BOOL = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_Path = tuple[str | int, ...]


class NotPlainError(Exception):
    """The text is not YAML, or not within bounds; `line` begins with 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


class Document(msgspec.Struct):
    """One document's value, and where its parts stand; `twice` has the line of each key that is there again."""

    value: Any
    line: int
    twice: list[tuple[int, str]]
    lines: dict[int, list[int]]

    def line_of(self, path: _Path) -> int:
        """Return the line of the deepest part of the path that is there."""
        at, line = self.value, self.line
        for step in path:
            known = self.lines.get(id(at), [])
            place = list(at).index(step) if isinstance(at, dict) and step in at else step
            if not isinstance(at, dict | list) or not isinstance(place, int) or not 0 <= place < len(known):
                break
            at, line = at[step], known[place]  # type: ignore[index]
        return line


class _Open:
    """A collection whose end is not read yet."""

    __slots__ = ("anchor", "begun", "key", "key_line", "lines", "merged", "value")

    def __init__(self, value: dict[Any, Any] | list[Any], anchor: str | None, begun: int) -> None:
        self.value = value
        self.anchor = anchor
        self.begun = begun  # nodes before it
        self.lines: list[int] = []
        self.key: Any = _NO_KEY
        self.key_line = 0
        self.merged: list[dict[Any, Any]] = []


_NO_KEY: Any = object()
_MERGE: Any = object()


def documents(text: bytes) -> Iterator[Document]:
    """Give the documents of a text. Raises NotPlainError."""
    builder = _Builder()
    try:
        events = yaml.parse(text, _Loader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                yield builder.document(events)
    except yaml.reader.ReaderError as error:
        raise NotPlainError(_line_at(text, error.position), f"not YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or ""
        if mark is not None and "cannot start any token" in what:
            what = _no_token(text, mark.line, mark.column)
        elif "tab character" in what:
            what = "found a tab, expected spaces"
        raise NotPlainError(mark.line + 1 if mark else 1, f"not YAML: {what}") from None
    except yaml.YAMLError as error:
        raise NotPlainError(1, f"not YAML: {error}") from None


class _Builder:
    """Builds the values of a file's documents, and counts the parts of all of them."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}  # what it names, and how many nodes that is
        self._nodes = 0
        self._aliased = 0
        self._twice: list[tuple[int, str]] = []
        self._lines: dict[int, list[int]] = {}

    def document(self, events: Iterator[Any]) -> Document:
        """Return the document whose start was the last event."""
        self._anchors, self._twice, self._lines = {}, [], {}
        self._nodes += 1  # an empty document costs as much as a value
        value, first = None, 0
        for event in events:
            kind = type(event)
            if kind is yaml.DocumentEndEvent:
                break
            line = event.start_mark.line + 1
            first = first or line
            if kind is yaml.ScalarEvent:
                self._nodes += 1
                made = _scalar(event, line)
                if event.anchor:
                    self._anchors[event.anchor] = made, 1
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._begin(event, line)
                continue
            elif kind is yaml.AliasEvent:
                made = self._alias(event.anchor, line)
            else:  # the end of a collection
                made, line = self._end(line)
            if self._nodes > NODES:
                raise NotPlainError(line, f"more than {NODES} values")
            if self._stack:
                self._add(made, line)
            else:
                value = _outside_keys(made)
        return Document(value, first or 1, self._twice, self._lines)

    def _begin(self, event: Any, line: int) -> None:
        if len(self._stack) >= DEPTH:
            raise NotPlainError(line, f"nested deeper than {DEPTH} levels")
        is_map = type(event) is yaml.MappingStartEvent
        if event.tag not in {None, "!", f"{_STANDARD}{'map' if is_map else 'seq'}"}:
            raise NotPlainError(line, _unknown_tag(event.tag))
        if event.anchor:
            self._anchors[event.anchor] = _NO_KEY, 0  # until it is whole
        self._nodes += 1
        opened = _Open({} if is_map else [], event.anchor, self._nodes + self._aliased)
        opened.key_line = line
        opened.lines.append(line)
        self._stack.append(opened)

    def _end(self, line: int) -> tuple[Any, int]:
        done = self._stack.pop()
        line = done.lines.pop(0)
        made = done.value
        if isinstance(made, dict):
            for other in done.merged:  # earlier ones win, and the map's own keys over all of them
                for key, value in other.items():
                    if key not in made:
                        made[key] = value
                        done.lines.append(line)
        if done.anchor:
            self._anchors[done.anchor] = made, self._nodes + self._aliased - done.begun + 1
        self._lines[id(made)] = done.lines
        return made, line

    def _alias(self, anchor: str, line: int) -> Any:
        if anchor not in self._anchors:
            raise NotPlainError(line, f"not YAML: nothing is called &{anchor} before it")
        made, size = self._anchors[anchor]
        if made is _NO_KEY:
            raise NotPlainError(line, f"*{anchor} refers to itself")
        self._aliased += size
        if self._aliased > ALIASED:
            raise NotPlainError(line, f"aliases expand to more than {ALIASED} values")
        return made

    def _add(self, made: Any, line: int) -> None:
        """Add a value, or a key, to the innermost collection."""
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(_outside_keys(made))
            top.lines.append(line)
        elif top.key is _NO_KEY:
            if isinstance(made, dict | list):
                raise NotPlainError(line, "a key that is not text")
            top.key, top.key_line = made, line
        else:
            key, top.key = top.key, _NO_KEY
            if key is _MERGE:
                self._merge(top, made, line)
                return
            if key not in top.value:
                top.lines.append(line)
            elif len(self._twice) < _TWICE:
                self._twice.append((top.key_line, str(key)))
            top.value[key] = _outside_keys(made)

    @staticmethod
    def _merge(top: _Open, made: Any, line: int) -> None:
        others = made if isinstance(made, list) else [made]
        if not all(isinstance(other, dict) for other in others):
            raise NotPlainError(line, "`<<` needs maps")
        top.merged += others


def _scalar(event: Any, line: int) -> Any:
    text, tag = event.value, event.tag
    if tag is None and not event.implicit[0]:
        return text  # in quotes
    if tag is None:
        tag = next((tag for tag, fits in _RESOLVERS.get(text[:1], ()) if fits.match(text)), "")
    if tag in {"", "!"}:
        return text
    if not tag.startswith(_STANDARD):
        raise NotPlainError(line, _unknown_tag(tag))
    try:
        return _VALUES[tag.removeprefix(_STANDARD)](text)
    except KeyError:
        raise NotPlainError(line, _unknown_tag(tag)) from None
    except ValueError:
        name = tag.removeprefix(_STANDARD)
        raise NotPlainError(line, f"`{text[:40]}` cannot be read as !!{name}") from None


def _outside_keys(made: Any) -> Any:
    return "<<" if made is _MERGE else made


def _unknown_tag(tag: str) -> str:
    shown = tag.replace(_STANDARD, "!!", 1)[:60]
    return f"the tag {shown} is not supported here: expected plain values"


def _bool(text: str) -> bool:
    try:
        return _BOOL[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _int(text: str) -> int | str:
    plain = text.replace("_", "")
    if ":" in plain:
        return text  # 22:22, base 60 in YAML 1.1, is no number to anybody who writes it
    digits = plain.lstrip("+-")
    if digits.startswith("0") and digits.isdigit() and len(digits) > 1:
        return int(plain, 8)
    return int(plain, 0)


def _float(text: str) -> float | str:
    plain = text.replace("_", "").lower()
    return text if ":" in plain else float(_SPECIAL.get(plain, plain))


def _null(_: str) -> None:
    return None


_VALUES: dict[str, Any] = {
    "null": _null,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": str,
    "timestamp": str,
    "binary": str,
    "value": str,
    "merge": lambda _: _MERGE,
}


def _no_token(text: bytes, line: int, column: int) -> str:
    """Return which character stands where YAML does not allow it."""
    lines = text.decode(errors="replace").splitlines()
    character = lines[line][column : column + 1] if line < len(lines) else ""
    if character == "\t":
        return "found a tab, expected spaces"
    return f"found {character or 'a character'}, with which no value begins; expected it in quotation marks"


def _line_at(text: bytes, position: int | None) -> int:
    return text.count(b"\n", 0, position or 0) + 1
