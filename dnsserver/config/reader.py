"""TOML text and flags to a Config, or every mistake in them at once."""

import difflib
import re
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from dnsserver.config.model import Config, Table
from dnsserver.config.values import Domain, TextValue
from dnsserver.wire.name import ROOT, is_below

T = TypeVar("T", bound=Table)

DEFAULT_FILE = Path("zones/dnsserver.toml")

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")
_SHOWN = 60

# What was once, and what to write instead.
_FORMER_KEYS = {
    "search.namespaces_off": "is no key any more; write search.namespaces, the list of those where completion is on"
}
_FORMER_VALUES = {
    ("ipv6", "auto"): '"auto" is no value any more; write "on", which is the default, or "off" to hide all outside AAAA'
}


class ConfigError(Exception):
    """The configuration cannot be used; its text has a line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Override(NamedTuple):
    """A value from the command line in place of the file's, and the flag that brought it."""

    flag: str
    value: Any


def load(path: Path | None = None, overrides: Mapping[str, Override] | None = None) -> Config:
    """Return the configuration of a file, changed by flags.

    `path` None reads DEFAULT_FILE, and takes the defaults where there is none. `overrides` are by top-level key. A
    relative path in the file starts at the file's folder, one in a flag at the working folder. Raises ConfigError.
    """
    text, source = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_error(source, text, str(error))]) from error
    reader = _Reader(source, text, overrides or {})
    return reader.config(data)


def _read(path: Path | None) -> tuple[str, Path]:
    source = DEFAULT_FILE if path is None else path
    try:
        return source.read_text("utf-8"), source
    except FileNotFoundError as error:
        if path is None:
            return "", source
        raise ConfigError([f"{source}: there is no such file"]) from error
    except OSError as error:
        raise ConfigError([f"{source}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{source}: is not UTF-8 text, at octet {error.start}"]) from error


def _syntax_error(source: Path, text: str, message: str) -> str:
    """Put the place in front, as compilers do, so that editors can jump to it."""
    found = _AT.search(message)
    if found is None:
        return f"{source}: {message}"
    lines = text.split("\n")
    line, column = (int(found[1]), int(found[2])) if found[1] else (len(lines), len(lines[-1]) + 1)
    return f"{source}:{line}:{column}: {message[: found.start()]}"


class _InvalidError(Exception):
    """A value was refused, and that has been noted."""


class _Reader:
    """Turns decoded TOML into a Config; collects what is wrong on the way."""

    def __init__(self, source: Path, text: str, overrides: Mapping[str, Override]) -> None:
        self._source = source
        self._overrides = overrides
        self._lines = _lines(text)
        self._problems: list[str] = []

    def config(self, data: dict[str, Any]) -> Config:
        """Return the Config; raises ConfigError."""
        data = data | {key: override.value for key, override in self._overrides.items()}
        try:
            config = self._table(Config, data, "")
        except _InvalidError:
            raise ConfigError(self._problems) from None
        if not self._problems:
            self._relations(config)
        if self._problems:
            raise ConfigError(self._problems)
        return config

    def _table(self, table: type[T], data: Any, path: str) -> T:
        """Return a struct of type `table`; raises _InvalidError when everything wrong in it has been noted."""
        if not isinstance(data, dict):
            raise self._invalid(path.removesuffix("."), data, "a table")
        fields = {field.name: field for field in msgspec.structs.fields(table)}
        values = {}
        whole = True
        for key, raw in data.items():
            if key not in fields:
                former = _FORMER_KEYS.get(f"{path}{key}")
                self._problem(f"{path}{key}", former or f"unknown key{self._hint(key, path, list(fields))}")
                continue
            try:
                values[key] = self._value(fields[key].type, raw, f"{path}{key}")
            except _InvalidError:
                whole = False
        for field in fields.values():
            if field.required and field.name not in data:
                self._problem(f"{path}{field.name}", "is missing")
                whole = False
        if not whole:
            raise _InvalidError
        return table(**values)

    def _value(self, expected: Any, raw: Any, key: str) -> Any:
        """Return what `raw` is as a value of the type `expected`; raises _InvalidError."""
        origin = get_origin(expected)
        if origin in {Union, types.UnionType}:  # only ever "or None", and TOML has no None
            (expected,) = (choice for choice in get_args(expected) if choice is not type(None))
            return self._value(expected, raw, key)
        if origin is tuple:
            return self._list(get_args(expected)[0], raw, key)
        if origin is Literal:
            choices = get_args(expected)
            if isinstance(raw, str) and raw in choices:
                return raw
            if isinstance(raw, str) and (key, raw) in _FORMER_VALUES:
                self._problem(key, _FORMER_VALUES[key, raw])
                raise _InvalidError
            raise self._invalid(key, raw, _alternatives(choices))
        if origin is Annotated:
            meta = get_args(expected)[1]
            try:
                return msgspec.convert(raw, expected)
            except msgspec.ValidationError:
                raise self._invalid(key, raw, meta.description) from None
        if issubclass(expected, Table):
            return self._table(expected, raw, f"{key}.")
        if expected is bool:
            if isinstance(raw, bool):
                return raw
            raise self._invalid(key, raw, "true or false")
        return self._text(expected, raw, key)

    def _text(self, expected: type[Any], raw: Any, key: str) -> Any:
        """Return a value that is written as text."""
        phrase = expected.EXPECTED if issubclass(expected, TextValue) else "a path" if expected is Path else "text"
        if not isinstance(raw, str):
            raise self._invalid(key, raw, phrase)
        if issubclass(expected, TextValue):
            try:
                return expected.parse(raw)
            except ValueError:
                raise self._invalid(key, raw, phrase) from None
        if expected is Path:
            folder = Path() if _top(key) in self._overrides else self._source.parent
            try:
                path = folder / Path(raw).expanduser()
            except RuntimeError:  # ~somebody, whom the system does not know
                path = None
            if not raw or "\0" in raw or path is None:
                raise self._invalid(key, raw, phrase)
            return path.absolute()
        return raw

    def _list(self, item: Any, raw: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(raw, list | tuple):
            raise self._invalid(key, raw, "a list")
        values = []
        for index, element in enumerate(raw):
            try:
                values.append(self._value(item, element, f"{key}[{index}]"))
            except _InvalidError:
                continue
        if len(values) < len(raw):
            raise _InvalidError
        return tuple(values)

    def _relations(self, config: Config) -> None:
        """Note what is wrong between values that are right by themselves."""
        if not config.listen:
            self._problem("listen", "is empty, expected at least one address")
        for index, address in enumerate(config.listen):
            if address.port and address in config.listen[:index]:
                self._problem(f"listen[{index}]", f"{address} is already in the list")
        if config.domain.wire == ROOT:
            self._problem("domain", "is the root, expected a domain of the cluster's own")
        routes = [("upstreams", config.upstreams)]
        routes += [(f"forward[{index}].upstreams", forward.upstreams) for index, forward in enumerate(config.forward)]
        for key, upstreams in routes:
            if len(upstreams) > 1 and any(upstream.transport == "file" for upstream in upstreams):
                self._problem(key, "a file of upstreams has to be the only entry")
        seen: set[Domain] = set()
        for index, forward in enumerate(config.forward):
            key = f"forward[{index}].domain"
            if forward.domain in seen:
                self._problem(key, f'"{forward.domain}" is already in another [[forward]]')
            if config.domain.wire != ROOT and is_below(forward.domain.wire, config.domain.wire):
                self._problem(key, f'"{forward.domain}" lies in "{config.domain}", which is answered here')
            seen.add(forward.domain)
        for low, high in (("ttl_floor", "ttl_cap"), ("negative_floor", "negative_cap"), ("failure_ttl", "failure_cap")):
            least, most = getattr(config.cache, low), getattr(config.cache, high)
            if least > most:
                self._problem(f"cache.{low}", f"{least} is above cache.{high}, which is {most}")

    def _hint(self, key: str, path: str, known: list[str]) -> str:
        """Say what an unknown key may have been meant to be: a neighbour, or a key of another table."""
        meant = [name for name in _every_key(Config) if name.rpartition(".")[2] == key]
        meant = meant or [f"{path}{name}" for name in difflib.get_close_matches(key, known, n=1)]
        if meant:
            return f"; did you mean {' or '.join(meant)}?"
        place = f"the table {path.removesuffix('.')}" if path else "the file"
        return f"; the keys of {place} are {', '.join(known)}"

    def _invalid(self, key: str, raw: Any, expected: str) -> _InvalidError:
        self._problem(key, f"found {_show(raw)}, expected {expected}")
        return _InvalidError()

    def _problem(self, key: str, message: str) -> None:
        """Note a mistake at its place: the flag, or the key and its line."""
        override = self._overrides.get(_top(key))
        if override is not None:
            self._problems.append(f"{override.flag}: {message}")
            return
        line = _line_of(key, self._lines)
        place = f"{self._source}:{line}" if line else f"{self._source}"
        self._problems.append(f"{place}: {key}: {message}")


def _top(key: str) -> str:
    """Return the top-level key of a dotted name."""
    return re.split(r"[.\[]", key, maxsplit=1)[0]


def _show(raw: Any) -> str:
    """Return a value of TOML as a person would write it, cut if it is long."""
    match raw:
        case bool():
            shown = str(raw).lower()
        case str():
            shown = f'"{raw}"'
        case dict():
            shown = "a table"
        case list() | tuple():
            shown = "a list"
        case _:
            shown = str(raw)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _alternatives(choices: tuple[str, ...]) -> str:
    quoted = [f'"{choice}"' for choice in choices]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _every_key(table: type[Table], path: str = "") -> list[str]:
    """Return the dotted names of all keys below a table."""
    keys = []
    for field in msgspec.structs.fields(table):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        keys.append(f"{path}{field.name}")
        if isinstance(inner, type) and issubclass(inner, Table):
            keys += _every_key(inner, f"{path}{field.name}.")
    return keys


def _lines(text: str) -> dict[str, int]:
    """Return the line of each key, by its dotted name.

    tomllib does not tell, so this reads the file again by its looks. A multi-line string can deceive it, and then a
    message shows a wrong line; nothing else depends on it.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header:
            name = header[1]
            if line.lstrip().startswith("[["):
                index = counts[name] = counts.get(name, -1) + 1
                name = f"{name}[{index}]"
            table = f"{name}."
            lines.setdefault(name, number)
        elif key:
            lines.setdefault(f"{table}{key[1]}", number)
    return lines


def _line_of(key: str, lines: dict[str, int]) -> int | None:
    """Return the line of a key, or of what it stands in."""
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return None
