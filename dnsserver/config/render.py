"""A Config to TOML that loads back equal: what `check` prints."""

import json
from pathlib import Path
from typing import Any

import msgspec

from dnsserver.config.model import Config, Table
from dnsserver.config.values import TextValue


def render(config: Config) -> str:
    """Return the effective configuration as TOML: every key, those that are not set as comments."""
    return "\n".join(_table(config, "")) + "\n"


def _table(table: Table, path: str) -> list[str]:
    lines = []
    later: list[str] = []  # TOML wants a table's own keys before its sub-tables
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        name = f"{path}{field.name}"
        if isinstance(value, Table):
            later += ["", f"[{name}]", *_table(value, f"{name}.")]
        elif isinstance(value, tuple) and value and isinstance(value[0], Table):
            for item in value:
                later += ["", f"[[{name}]]", *_table(item, f"{name}.")]
        elif value is None:
            lines.append(f"# {field.name} is not set")
        else:
            lines.append(f"{field.name} = {_value(value)}")
    return lines + later


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, TextValue | Path | str):
        # A TOML basic string is a JSON string, but that DEL has to be escaped.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
