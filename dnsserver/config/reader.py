"""Turns the data of TOML files, and flags, into a Config, or reports every mistake in them at once."""

import json
import re
import types
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from dnsserver.config import hints
from dnsserver.config.includes import Written, read_files
from dnsserver.config.model import Config, Table
from dnsserver.config.relations import mistakes
from dnsserver.config.sound import sound
from dnsserver.config.syntax import MOST_PROBLEMS, ConfigError, Problem, parse, printable
from dnsserver.config.values import TextValue, Upstream, ZoneFile

T = TypeVar("T", bound=Table)

DEFAULT_FILE = Path("zones/dnsserver.toml")

_SHOWN = 60
_DIRECTIVES = ("include",)  # keys of the first file that are not settings


class Override(NamedTuple):
    """A value from the command line in place of the file's, and the flag that brought it."""

    flag: str
    value: Any


class Loaded(NamedTuple):
    """A configuration, and where its values come from: `place` says the flag, or the file, line and key.

    `files` are all that were read, `patterns` what others may come by, and `digest` the hash of what they say.
    """

    config: Config
    source: Path
    given: Path | None
    written: Written
    overrides: Mapping[str, Override]
    is_there: bool
    files: tuple[Path, ...]
    patterns: tuple[str, ...]
    digest: str

    def again(self) -> "Loaded":
        """Return what the same files say now, changed by the same flags; raises ConfigError."""
        return read(self.given, self.overrides)

    def origin(self) -> str:
        """Return in words where all of it comes from."""
        flags = sorted({override.flag for override in self.overrides.values()})
        read = [str(file) for file in self.files] if self.is_there else [f"the defaults, as there is no {self.source}"]
        return " and ".join([", ".join(read), *([", ".join(flags)] if flags else [])])

    def place(self, key: str) -> str:
        """Return where a key's value was written, for the beginning of a message about it."""
        return str(self.problem(key, "")).removesuffix(": ")

    def problem(self, key: str, text: str) -> Problem:
        """Return what is to be said of a key's value, with the place where it was written."""
        if not self.is_there and _top(key) not in self.overrides:
            return Problem(f"{printable(key)}, by default", text)  # there is no file to look at
        return _problem(key, text, self.written, self.overrides)


def load(path: Path | None = None, overrides: Mapping[str, Override] | None = None) -> Config:
    """Return the configuration of a file, changed by flags; see `read`."""
    return read(path, overrides).config


def read(path: Path | None = None, overrides: Mapping[str, Override] | None = None) -> Loaded:
    """Return the configuration of a file and of those that it includes, changed by flags.

    `path` None reads DEFAULT_FILE, and takes the defaults where there is none. `overrides` are by top-level key. A
    relative path in a file starts at that file's folder, one in a flag at the working folder. Raises ConfigError.
    """
    source = DEFAULT_FILE if path is None else path
    found = read_files(source, may_be_missing=path is None)
    reader = _Reader(source, found.written, overrides or {}, found.problems, found.broken)
    config = reader.config(found.data)
    return Loaded(
        config, source, path, found.written, overrides or {}, found.is_there, found.files, found.patterns, found.digest
    )


def load_text(text: str, source: Path) -> Config:
    """Return the configuration that a text says, as that of a file called `source`; raises ConfigError."""
    parsed = parse(text, source)
    written = Written(source)
    written.add(source, parsed.places, {})
    return _Reader(source, written, {}, parsed.problems, parsed.broken).config(parsed.data)


def table_of(kind: type[T], data: dict[str, Any], source: Path) -> T:
    """Return a table of what was decoded elsewhere than from a file; `source` is what errors call it.

    Raises ConfigError.
    """
    problems: list[Problem] = []
    reader = _Reader(source, Written(source), {}, problems, frozenset())
    try:
        return reader.table(kind, data)
    except (_InvalidError, _TooManyError):
        raise ConfigError(problems) from None


def _problem(key: str, text: str, written: Written, overrides: Mapping[str, Override]) -> Problem:
    """Return what is to be said of a key, with the flag, or the file and line, where it is."""
    override = overrides.get(_top(key))
    return written.problem(key, text) if override is None else Problem(override.flag, text)


class _InvalidError(Exception):
    """A value was refused, and the mistake is noted."""


class _TooManyError(Exception):
    """Enough mistakes have been noted."""


class _Reader:
    """Turns decoded TOML into a Config; collects what is wrong on the way."""

    def __init__(
        self,
        source: Path,
        written: Written,
        overrides: Mapping[str, Override],
        problems: list[Problem],
        broken: AbstractSet[str],
    ) -> None:
        self._source = source
        self._written = written
        self._overrides = overrides
        self._problems = problems
        self._broken = broken
        self._wrong: list[str] = []  # the keys of what is noted

    def config(self, data: dict[str, Any]) -> Config:
        """Return the Config; raises ConfigError."""
        data = data | {key: override.value for key, override in self._overrides.items()}
        config = None
        try:
            config = self._table(Config, data, "")
        except _InvalidError:
            pass
        except _TooManyError:
            raise ConfigError(self._problems) from None
        try:
            if config is not None and not self._problems:
                for key, message in mistakes(config):
                    self._problem(key, message)
            else:
                self._more(data)
        except _TooManyError:
            pass
        if config is None or self._problems:
            raise ConfigError(self._problems)
        return config

    def _more(self, data: dict[str, Any]) -> None:
        """Note the mistakes in the relations between values that are valid by themselves."""
        left = sound(data, self._wrong, self._broken)
        reader = _Reader(self._source, self._written, self._overrides, [], left.gone)
        try:
            config = reader.table(Config, left.data)
        except _InvalidError:  # something that has to be there is gone
            return
        for key, message in mistakes(config):
            if (place := left.as_written(key)) is not None:
                self._problem(place, message)

    def table(self, kind: type[T], data: dict[str, Any]) -> T:
        """Return a struct of type `kind`; raises when everything wrong in it has been noted."""
        found = self._table(kind, data, "")
        if self._problems:
            raise _InvalidError
        return found

    def _table(self, table: type[T], data: Any, path: str) -> T:
        """Return a struct of type `table`; raises _InvalidError when everything wrong in it has been noted."""
        if not isinstance(data, dict):
            key = path.removesuffix(".")
            brackets = f"; write [{key}] in single brackets" if isinstance(data, list) and "[" not in key else ""
            raise self._invalid(key, data, f"a table{brackets}")
        fields = {field.encode_name: field for field in msgspec.structs.fields(table)}
        values = {}
        whole = True
        for key, raw in data.items():
            if key not in fields:
                self._problem(
                    f"{path}{key}", hints.unknown(key, path, [*fields, *_DIRECTIVES] if not path else list(fields))
                )
                continue
            try:
                values[fields[key].name] = self._value(fields[key].type, raw, f"{path}{key}")
            except _InvalidError:
                whole = False
        for field in fields.values():
            if field.required and field.encode_name not in data:
                if field.encode_name not in self._broken:  # else that has been said
                    self._problem(f"{path}{field.encode_name}", "is missing")
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
            former = hints.former_value(key, raw)
            if former:
                self._problem(key, former)
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
                value = expected.parse(raw)
            except ValueError:
                raise self._invalid(key, raw, phrase) from None
            if isinstance(value, Upstream) and value.transport == "file":
                return msgspec.structs.replace(value, host=str(self._path(raw, key, phrase)))
            if isinstance(value, ZoneFile):
                return msgspec.structs.replace(value, path=self._path(str(value.path) if raw else "", key, phrase))
            return value
        if expected is Path:
            return self._path(raw, key, phrase)
        if not raw.isprintable():
            raise self._invalid(key, raw, "text without control characters")
        return raw

    def _path(self, raw: str, key: str, phrase: str) -> Path:
        """Return an absolute path: a relative one starts at the file's folder, one of a flag at the working folder."""
        folder = Path() if _top(key) in self._overrides else self._written.place(key)[0].parent
        try:
            path = folder / Path(raw).expanduser()
        except RuntimeError:  # ~somebody, whom the system does not know
            path = None
        if not raw or "\0" in raw or path is None:
            raise self._invalid(key, raw, phrase)
        return path.absolute()

    def _list(self, item: Any, raw: Any, key: str) -> tuple[Any, ...]:
        if not isinstance(raw, list | tuple):
            brackets = f"; write [[{key}]] in double brackets" if isinstance(raw, dict) else ""
            raise self._invalid(key, raw, f"a list{brackets}")
        values = []
        for index, element in enumerate(raw):
            try:
                values.append(self._value(item, element, f"{key}[{index}]"))
            except _InvalidError:
                continue
        if len(values) < len(raw):
            raise _InvalidError
        return tuple(values)

    def _invalid(self, key: str, raw: Any, expected: str) -> _InvalidError:
        self._problem(key, f"found {_show(raw)}, expected {expected}")
        return _InvalidError()

    def _problem(self, key: str, message: str) -> None:
        """Note a mistake at its place: the flag, or the key and its line. Raises _TooManyError after very many."""
        self._wrong.append(key)
        self._problems.append(_problem(key, message, self._written, self._overrides))
        if len(self._problems) >= MOST_PROBLEMS:
            more = f"there may be more mistakes; these are the first {MOST_PROBLEMS}"
            self._problems.append(Problem(str(self._source), more))
            raise _TooManyError


def _top(key: str) -> str:
    """Return the top-level key of a dotted name."""
    return re.split(r"[.\[]", key, maxsplit=1)[0]


def _show(raw: Any) -> str:
    """Return a value of TOML as a person would write it, cut if it is long."""
    match raw:
        case bool():
            shown = str(raw).lower()
        case str():
            shown = f'"{raw}"' if raw.isprintable() else json.dumps(raw)
        case dict():
            shown = "a table"
        case list() | tuple():
            shown = "a list"
        case int() if raw.bit_length() > 256:
            shown = "a very large number"  # Python does not print more than 4,300 digits
        case _:
            shown = str(raw)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _alternatives(choices: tuple[str, ...]) -> str:
    quoted = [f'"{choice}"' for choice in choices]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
