"""Writes a draft as TOML: tables and keys in the order of our own file, each below its lines of the Corefile."""

from collections.abc import Iterable

import msgspec

from dnsserver.config.corefile.draft import Draft, Entry, Source, shown
from dnsserver.config.model import Config

_LONGEST_LINE = 100  # a list of more is written with an element a line
_MOST_SOURCES = 5
_MOST_OF_A_SOURCE = 160

_KEYS = [field.encode_name for field in msgspec.structs.fields(Config)]


def render(draft: Draft, heading: str) -> str:
    """Return the draft as TOML, which the configuration's own reader takes."""
    lines = [f"# {heading}"]
    tops = sorted((key for key in draft.settings if "." not in key), key=_order)
    for key in tops:
        lines += ["", *_setting(draft, key, key)]
    sections = list(dict.fromkeys(key.partition(".")[0] for key in draft.settings if "." in key))
    for name in sorted({*sections, *draft.tables}, key=_order):
        if name in draft.tables:
            for entry in draft.tables[name]:
                lines += ["", *_entry(name, entry)]
            continue
        lines += ["", f"[{name}]"]
        for key in draft.settings:
            if key.startswith(f"{name}."):
                lines += _setting(draft, key, key.partition(".")[2])
    return "\n".join(lines) + "\n"


def _order(key: str) -> int:
    return _KEYS.index(key) if key in _KEYS else len(_KEYS)


def _setting(draft: Draft, key: str, name: str) -> list[str]:
    setting = draft.settings[key]
    return [*_comments(setting.sources), *_assignment(name, setting.value)]


def _entry(name: str, entry: Entry) -> list[str]:
    lines = [*_comments(entry.sources), f"[[{name}]]"]
    for key, value in entry.values.items():
        lines += _assignment(key, value)
    return lines


def _assignment(name: str, value: object) -> list[str]:
    text = shown(value)
    if not isinstance(value, list) or len(text) <= _LONGEST_LINE:
        return [f"{name} = {text}"]
    return [f"{name} = [", *(f"    {shown(item)}," for item in value), "]"]


def _comments(sources: list[Source]) -> list[str]:
    lines = [f"# {source.place()}: {_one_line(source.text)}" for source in sources[:_MOST_SOURCES]]
    if len(sources) > _MOST_SOURCES:
        lines.append(f"# and {len(sources) - _MOST_SOURCES} more lines")
    return lines


def _one_line(text: str) -> str:
    """Return a text in a form that a comment may have: TOML allows no control characters there."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _MOST_OF_A_SOURCE else f"{text[:_MOST_OF_A_SOURCE]}…"


def take_out(draft: Draft, text: str, mistakes: Iterable[tuple[int, str]]) -> bool:
    """Take out of a draft what stands in lines of its text, and say that it is lost; False if nothing was there."""
    lines = text.splitlines()
    places = {place: message for line, message in mistakes if (place := _place(lines, line - 1)) is not None}
    done = False
    for (section, number, key), message in sorted(places.items(), reverse=True):  # the last of a section first
        if number >= 0:
            entry = draft.tables[section].pop(number)
            if not draft.tables[section]:
                del draft.tables[section]
            draft.take_back(entry.sources[0], f"[[{section}]]")
            draft.lost(
                entry.sources[0], section, f"[[{section}]] is not accepted by dnsserver, and left out: {message}"
            )
            done = True
        elif (setting := draft.settings.pop(key, None)) is not None:
            for source in setting.sources:
                draft.take_back(source, f"{key} ")
            draft.lost(setting.sources[0], key, f"is not accepted by dnsserver, and left out: {message}")
            done = True
    return done


def _place(lines: list[str], at: int) -> tuple[str, int, str] | None:
    """Return what a line is about: its section and the number of that table, or -1, and the dotted key."""
    if not 0 <= at < len(lines):
        return None
    section = next((line for line in reversed(lines[: at + 1]) if line.startswith("[")), "")
    name = section.strip("[]")
    if section.startswith("[["):
        return name, lines[: at + 1].count(section) - 1, ""
    while at >= 0 and " = " not in lines[at].partition("#")[0]:
        at -= 1
    key = lines[at].partition(" = ")[0].strip()
    return name, -1, f"{name}.{key}" if name else key
