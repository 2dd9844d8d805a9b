"""Reads the files of a configuration as one: the first file, and those of its `include`, sorted by name.

Tables add up, and so do arrays of tables such as `[[forward]]`. Any other key may be set in one file only. Mistakes in
all files are reported at once, each with its file.
"""

import glob
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dnsserver.config.files import UnusableFileError, read_text
from dnsserver.config.places import Places, above
from dnsserver.config.syntax import ConfigError, Problem, parse, printable

HASH = "sha512"
_MOST_OCTETS = 1024 * 1024  # as much as a ConfigMap holds
_MOST_FILES = 256
_PATTERN = re.compile(r"[*?\[]")
_ELEMENT = re.compile(r"([^.\[]+)\[(\d+)\](.*)", re.DOTALL)
_EXPECTED = 'a list of file names, which may have the wildcards `*` and `?`, as in ["conf.d/*.toml"]'


class _Part(NamedTuple):
    """One file, and the positions at which its arrays of tables begin in the arrays of all files."""

    source: Path
    places: Places
    first: dict[str, int]

    def own(self, key: str) -> str | None:
        """Return what this file calls a key of all files; None if it lies in an element that another file has."""
        found = _ELEMENT.fullmatch(key)
        if found is None:
            return key
        name, number, rest = found[1], int(found[2]), found[3]
        return None if number < self.first.get(name, 0) else f"{name}[{number - self.first.get(name, 0)}]{rest}"


class Written:
    """Where each key stands in the files of a configuration."""

    def __init__(self, source: Path) -> None:
        """`source` is the first file, where whatever is written nowhere belongs."""
        self._source = source
        self._parts: list[_Part] = []

    def add(self, source: Path, places: Places, first: dict[str, int]) -> None:
        """Add a file; `first` are how many elements of each array of tables the files before it have."""
        self._parts.append(_Part(source, places, first))

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is written in one of the files."""
        return isinstance(key, str) and next(self._holders(key), None) is not None

    def place(self, key: str) -> tuple[Path, int | None]:
        """Return the file and the line of a key, or of what it stands in."""
        while key:
            for part, own in self._holders(key):
                return part.source, part.places.line_of(own)
            key = above(key)
        return self._source, None

    def problem(self, key: str, text: str) -> Problem:
        """Return what is to be said of a key, with its place."""
        source, line = self.place(key)
        return Problem(str(source), f"{printable(key)}: {text}", line)

    def _holders(self, key: str) -> Iterator[tuple[_Part, str]]:
        for part in self._parts:
            own = part.own(key)
            if own is not None and own in part.places:
                yield part, own


class Files(NamedTuple):
    """What the files of a configuration say together, and what was wrong with them.

    `broken` are the keys of values that are no TOML, `files` all that were read, `patterns` what others may come by,
    and `digest` is the hash of their texts, one behind the other.
    """

    data: dict[str, Any]
    written: Written
    problems: list[Problem]
    broken: set[str]
    files: tuple[Path, ...]
    patterns: tuple[str, ...]
    digest: str
    is_there: bool


def read_files(source: Path, *, may_be_missing: bool) -> Files:
    """Return what a file and those that it includes say. Raises ConfigError where nothing can be made of one of them.

    With `may_be_missing` a first file that is not there says nothing.
    """
    hashed = hashlib.new(HASH)
    is_there = True
    try:
        text = read_text(source, _MOST_OCTETS)
    except UnusableFileError as error:
        if not (may_be_missing and isinstance(error.__cause__, FileNotFoundError)):
            raise ConfigError([Problem(str(source), str(error))]) from error
        text, is_there = "", False
    hashed.update(text.encode())
    whole = _Whole(source)
    whole.add(source, text)
    names, patterns = _included(source, whole)
    for name in names:
        try:
            text = read_text(name, _MOST_OCTETS)
        except UnusableFileError as error:
            whole.problems.append(whole.written.problem("include", f"{name}: {error}"))
            continue
        hashed.update(text.encode())
        whole.add(name, text)
    if whole.is_unread:
        raise ConfigError(whole.problems)
    return Files(
        whole.data,
        whole.written,
        whole.problems,
        whole.broken,
        (source, *names),
        patterns,
        hashed.hexdigest(),
        is_there,
    )


def matches(pattern: str) -> list[Path]:
    """Return the files that a pattern stands for, by name; one without a wildcard stands for itself."""
    if not _PATTERN.search(pattern):
        return [Path(pattern)]
    return [path for path in map(Path, sorted(glob.glob(pattern))) if not path.is_dir()]  # noqa: PTH207 - no dot files


def _included(source: Path, whole: "_Whole") -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files that the first one includes, each once, and the patterns that name them."""
    wanted = whole.data.pop("include", [])
    if not isinstance(wanted, list) or not all(isinstance(name, str) and name and "\0" not in name for name in wanted):
        whole.problems.append(whole.written.problem("include", f"expected {_EXPECTED}"))
        return (), ()
    patterns = tuple(str((source.parent / name).absolute()) for name in wanted)
    names = tuple(dict.fromkeys(name for pattern in patterns for name in matches(pattern)))
    if len(names) > _MOST_FILES:
        many = f"names {len(names)} files, expected at most {_MOST_FILES}"
        whole.problems.append(whole.written.problem("include", many))
        return (), patterns
    return names, patterns


class _Whole:
    """The content of the files that were added so far."""

    def __init__(self, source: Path) -> None:
        self.data: dict[str, Any] = {}
        self.written = Written(source)
        self.problems: list[Problem] = []
        self.broken: set[str] = set()
        self.is_unread = False  # one of them is no TOML, so that what is missing or unknown cannot be told
        self._source = source

    def add(self, source: Path, text: str) -> None:
        """Add what a file says to what those before it have said."""
        try:
            parsed = parse(text, source)
        except ConfigError as error:
            self.problems += error.problems
            self.is_unread = True
            return
        self.problems += parsed.problems
        self.broken |= parsed.broken
        if source != self._source and "include" in parsed.data:
            line = parsed.places.line_of("include")
            text = "include: an included file cannot include others; list them all in the first file"
            self.problems.append(Problem(str(source), text, line))
            del parsed.data["include"]
        first = {key: len(value) for key, value in self.data.items() if _is_array(value)}
        self._merge(self.data, parsed.data, "", source, parsed.places)
        self.written.add(source, parsed.places, first)

    def _merge(self, into: dict[str, Any], data: dict[str, Any], path: str, source: Path, places: Places) -> None:
        for key, value in data.items():
            before = into.get(key)
            if before is None:
                into[key] = value
            elif isinstance(before, dict) and isinstance(value, dict):
                self._merge(before, value, f"{path}{key}.", source, places)
            elif _is_array(before) and _is_array(value):
                into[key] = before + value
            else:
                name = f"{path}{key}"
                other, line = self.written.place(name)
                text = f"{printable(name)}: is already in {other}:{line}; write it once"
                self.problems.append(Problem(str(source), text, places.line_of(name)))


def _is_array(value: Any) -> bool:
    """Tell whether a value is an array of tables."""
    return isinstance(value, list) and bool(value) and all(isinstance(element, dict) for element in value)
