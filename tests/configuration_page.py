"""The tables of docs/configuration.md, made of zones/dnsserver.toml: `python -m tests.configuration_page` writes them.

Text and defaults are those of the file; what a value may be, and whether a reload follows it, are said by the program.
"""

import re
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from dnsserver.config.changes import PARTS, value_of
from dnsserver.config.model import Config, Table
from dnsserver.config.values import TextValue

_ROOT = Path(__file__).parents[1]
SHIPPED = _ROOT / "zones" / "dnsserver.toml"
PAGE = _ROOT / "docs" / "configuration.md"
_BEGIN, _END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"
_HEAD = "| key | value | default | reload | |\n|---|---|---|---|---|"
_HEAD_OF_REPEATED = "| key | value | where it is left out | for example | |\n|---|---|---|---|---|"
_PARTLY = {"pods": 'yes, but to and from `"verified"`'}
_CODE = re.compile(r"(`[^`]*`)")


class Setting(NamedTuple):
    """A key, with its table in front; the value that the file shows; the text above it."""

    key: str
    shown: str
    text: tuple[str, ...]


class Section(NamedTuple):
    """What stands under one heading of the file, or in one table of it: prose, and settings that share a text."""

    title: str
    table: str
    prose: list[tuple[str, ...]]
    groups: list[list[Setting]]


def sections(text: str) -> list[Section]:
    """Return the parts of the file, in its order."""
    found = [Section("", "", [], [])]
    comment: list[str] = []
    behind_key = False
    for line in (*text.splitlines(), ""):
        heading, table, key = (
            re.match(pattern, line) for pattern in (r"# --- (.*?) -+$", r"#?\[+(\w+)\]+$", r"#(\w+) = (.*)$")
        )
        if key and found[-1].table in {"", *_tables()}:
            setting = Setting(f"{found[-1].table}.{key[1]}".lstrip("."), key[2], tuple(comment))
            if behind_key:
                found[-1].groups[-1].append(setting)
            else:
                found[-1].groups.append([setting])
            behind_key = True
            continue
        if behind_key:
            comment, behind_key = [], False
        if heading:
            found.append(Section(heading[1], "", [], []))
        elif table and table[1] != found[-1].table:
            found.append(Section(f"`{line.lstrip('#')}`", table[1], [tuple(comment)] if comment else [], []))
            comment = []
        elif line.startswith("# "):
            comment.append(line.removeprefix("# "))
        elif not line and comment:
            found[-1].prose.append(tuple(comment))
            comment = []
    return found


def settings(found: list[Section]) -> list[Setting]:
    """Return the settings of all sections, each once."""
    return list({setting.key: setting for section in found for group in section.groups for setting in group}.values())


def page() -> str:
    """Return the page as it is to be."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    parts = [_section(section) for section in sections(SHIPPED.read_text())]
    return f"{before}{_BEGIN}\n{''.join(parts)}{_END}{after}"


def _section(section: Section) -> str:
    title, _, more = section.title.removesuffix(")").partition(" (docs/")
    lines = [f"{'####' if section.table else '###'} {title}\n"] if title else []
    lines += [f"[{more}]({more}) says more.\n"] if more else []
    if section.title:  # what the file says before that is about the file
        lines += [f"{_text(prose)}\n" for prose in section.prose]
    if section.groups:
        lines += [_HEAD_OF_REPEATED if _is_repeated(section.table) else _HEAD]
        lines += [row for group in section.groups for row in _rows(group, repeated=_is_repeated(section.table))]
        lines += [""]
    return "\n".join((*lines, "")) if lines else ""


def _rows(group: list[Setting], *, repeated: bool) -> list[str]:
    """Return a row for each setting; the text that they share is with the first one."""
    texts = [_text(group[0].text), *[f"see {_code(_name(group[0]))}"] * (len(group) - 1)]
    rows = []
    for setting, text in zip(group, texts, strict=True):
        cells = [_code(_name(setting)), what_it_takes(_type(setting.key))]
        cells += (
            [_left_out(setting.key), _code(setting.shown)] if repeated else [_default(setting), _reload(setting.key)]
        )
        rows.append(f"| {' | '.join(cells)} | {text} |")
    return rows


def _name(setting: Setting) -> str:
    return setting.key.rpartition(".")[2]


def _linked(text: str) -> str:
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", text)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _default(setting: Setting) -> str:
    value = setting.shown if setting.key == "include" else value_of(Config(), setting.key)
    return f"none, as in {_code(setting.shown)}" if value is None else _code(setting.shown)


def _left_out(key: str) -> str:
    field = _field(key)
    if field.default is msgspec.NODEFAULT:
        return "has to be there"
    if isinstance(field.default, bool | int | float | str) or field.default:
        return _code(msgspec.json.encode(field.default).decode())
    return ""


def _reload(key: str) -> str:
    return _PARTLY.get(key, "**restart**" if PARTS.get(key) == "restart" else "yes")


def what_it_takes(kind: Any) -> str:
    """Return the phrase for what a value of this type may be, as the program's errors say it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return f"a list of: {what_it_takes(arguments[0])}"
    if origin in {Union, UnionType}:
        (only,) = (one for one in arguments if one is not type(None))
        return what_it_takes(only)
    if origin is Literal or kind is bool:
        words = [f'"{word}"' for word in arguments] or ["true", "false"]
        return ", ".join(map(_code, words))
    if arguments:  # Annotated
        return str(arguments[1].description)
    if issubclass(kind, TextValue):
        return str(kind.EXPECTED)
    return "a path" if kind is Path else "text"


def _tables() -> dict[str, type[Table]]:
    found = {}
    for field in msgspec.structs.fields(Config):
        inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
        if isinstance(inner, type) and issubclass(inner, Table):
            found[field.name] = inner
    return found


def _is_repeated(table: str) -> bool:
    return bool(table) and isinstance(getattr(Config(), table), tuple)


def _field(key: str) -> Any:
    table, _, name = key.rpartition(".")
    of = _tables()[table] if table else Config
    (found,) = (field for field in msgspec.structs.fields(of) if field.encode_name == name)
    return found


def _type(key: str) -> Any:
    return tuple[Path, ...] if key == "include" else _field(key).type


def _text(lines: tuple[str, ...]) -> str:
    """Return a comment as one line; lines that are set in stay lines."""
    parts: list[str] = []
    for line in lines:
        shape = re.match(r" +(- |\".*?\"(?=  +[^\" ]))(.*)$", line)
        if shape and shape[1] == "- ":
            parts.append(f"<br>- {shape[2]}")
        elif shape:
            parts.append(f"<br>{' '.join(map(_code, re.split(r'  +', shape[1])))}: {shape[2].strip()}")
        else:
            ends_list = parts and re.match("<br>(- |`)", parts[-1]) and not line.startswith(" ")
            parts.append(f"{'<br>' if ends_list else ' '}{line.strip()}")
    return "".join(map(_plain, parts)).strip()


def _plain(text: str) -> str:
    """Return a text with nothing in it that Markdown takes for its own, outside of code."""
    pieces = _CODE.split(text)
    return "".join(
        piece.replace("|", "\\|") if piece.startswith("`") else _linked(re.sub(r"<(?!br>)|\*|\|", r"\\\g<0>", piece))
        for piece in pieces
    )


if __name__ == "__main__":
    PAGE.write_text(page())
