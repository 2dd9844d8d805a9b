"""A Corefile during its import: the settings that it leads to, and what to say about each line.

The function of a plugin writes into a `Draft`: `put` for a setting, `add` for a table of rules, `say` for a finding.
"""

from typing import Any, Literal, NamedTuple

import msgspec

# What a finding says of a line. `lost` alone is a loss: `--strict` ends with status 1 for it.
Kind = Literal["became", "default", "differs", "lost"]


class Source(NamedTuple):
    """A line of the Corefile that something came from."""

    file: str
    line: int
    text: str

    def place(self) -> str:
        """Return the file and line, for the beginning of a message."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Finding(msgspec.Struct, frozen=True):
    """What became of one thing of the Corefile: where it stands, what it is, and a sentence."""

    kind: Kind
    source: Source
    what: str
    text: str


class Setting(msgspec.Struct):
    """A value, and the lines it came from."""

    value: Any
    sources: list[Source]


class Entry(msgspec.Struct):
    """One table of an array of tables, such as `[[forward]]`."""

    values: dict[str, Any]
    sources: list[Source]


class Draft:
    """The configuration so far. Keys are dotted, as in `cache.ttl_cap`; what is written first is what counts."""

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}
        self.tables: dict[str, list[Entry]] = {}
        self.findings: list[Finding] = []

    def put(self, key: str, value: Any, source: Source, what: str, note: str = "") -> None:
        """Write a setting. Where an earlier line has said otherwise, that one stays, and this one is lost."""
        there = self.settings.get(key)
        if there is None:
            self.settings[key] = Setting(value, [source])
        elif there.value == value:
            there.sources.append(source)
        else:
            said = f"{key} is one setting for all names, and {there.sources[0].place()} sets {shown(there.value)}: "
            self.lost(source, what, f"{said}{shown(value)} is not used for the names of this block")
            return
        self.became(source, what, f"{key} = {shown(value)}{note and '; ' + note}")

    def extend(self, key: str, values: list[Any], source: Source, what: str, note: str = "") -> None:
        """Add to a list, leaving out what it has."""
        setting = self.settings.setdefault(key, Setting([], []))
        new = [value for value in values if value not in setting.value]
        setting.value = setting.value + list(dict.fromkeys(new))
        if source not in setting.sources:
            setting.sources.append(source)
        self.became(source, what, f"{key} has {', '.join(map(shown, values))}{note and '; ' + note}")

    def add(self, table: str, values: dict[str, Any], source: Source, what: str, note: str = "") -> Entry:
        """Add a table of rules. One that is there with the same values gets another source."""
        entries = self.tables.setdefault(table, [])
        brief = ", ".join(f"{key} = {shown(value)}" for key, value in values.items())
        self.became(source, what, f"[[{table}]] {_cut(brief)}{note and '; ' + note}")
        for entry in entries:
            if entry.values == values:
                entry.sources.append(source)
                return entry
        entries.append(Entry(values, [source]))
        return entries[-1]

    def became(self, source: Source, what: str, text: str) -> None:
        """Say what a line became."""
        self._say("became", source, what, text)

    def default(self, source: Source, what: str, text: str) -> None:
        """Say that what a line asks for is so without a setting."""
        self._say("default", source, what, text)

    def differs(self, source: Source, what: str, text: str) -> None:
        """Say what will be another way than it was, and is no loss to anybody."""
        self._say("differs", source, what, text)

    def lost(self, source: Source, what: str, text: str) -> None:
        """Report what has no counterpart, and what that means for whom."""
        self._say("lost", source, what, text)

    def take_back(self, source: Source, beginning: str, kind: Kind = "became") -> None:
        """Unsay what was said of a line, such as what it became, as it does not."""
        self.findings = [
            finding
            for finding in self.findings
            if not (finding.kind == kind and finding.source == source and finding.text.startswith(beginning))
        ]

    def _say(self, kind: Kind, source: Source, what: str, text: str) -> None:
        finding = Finding(kind, source, what, text)
        if finding not in self.findings:
            self.findings.append(finding)


def shown(value: Any) -> str:
    """Return a value as it would stand in TOML, without regard to length."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, str):
        return quoted(value)
    return str(value)


def quoted(text: str) -> str:
    """Return a text as a string of TOML: a literal one where a basic one would need backslashes."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    characters = []
    for character in text:
        if character in '"\\':
            characters.append(f"\\{character}")
        elif character.isprintable():
            characters.append(character)
        else:
            code = ord(character)
            characters.append(f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")
    return f'"{"".join(characters)}"'


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
