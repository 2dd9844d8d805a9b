"""Writes a Config as TOML that loads back equal: `check` prints it."""

import json
from pathlib import Path
from typing import Any

import msgspec

from dnsserver.config.model import Config, Table
from dnsserver.config.values import TextValue


def render(config: Config) -> str:
    """Return the configuration in force as TOML: every key; what is not set, and defaults that differ, in comments."""
    return "\n".join(_table(config, Config(), "")) + "\n"


def order(config: Config) -> str:
    """Return in one line the order in which sources are asked for a name, and how many of each kind there are."""
    counts = {
        "rewrites": len(config.rewrite),
        "answers": len(config.answer),
        "hosts": len(config.hosts),
        "cluster": None,
        "static zones": len(config.static),
        "forwards": len(config.forward),
    }
    return ", ".join(["allowed clients", *(kind if n is None else f"{kind} ({n})" for kind, n in counts.items())])


def _table(table: Table, default: Table | None, path: str) -> list[str]:
    lines = []
    later: list[str] = []  # TOML wants a table's own keys before its sub-tables
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        name = f"{path}{field.encode_name}"
        if isinstance(value, Table):
            later += ["", f"[{name}]", *_table(value, getattr(default, field.name), f"{name}.")]
        elif isinstance(value, tuple) and value and isinstance(value[0], Table):
            for item in value:
                later += ["", f"[[{name}]]", *_table(item, None, f"{name}.")]
        elif value is None:
            lines.append(f"# {field.encode_name} is not set")
        else:
            lines.append(f"{field.encode_name} = {_value(value)}{_difference(value, default, field.name)}")
    return lines + later


def _difference(value: Any, default: Table | None, name: str) -> str:
    """Return a comment with the default of a value, if the value differs from it."""
    usual = value if default is None else getattr(default, name)
    if usual == value:
        return ""
    return f"  # default: {'not set' if usual is None else _value(usual)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, TextValue | Path | str):
        # A TOML basic string is a JSON string, but that DEL has to be escaped.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
