"""The import of a Corefile without a file system: only the files that a test gives exist."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dnsserver.config import ConfigError
from dnsserver.config.corefile import Files, Imported, ImportedFile, Located, import_text, sources
from dnsserver.config.model import Config
from dnsserver.config.reader import load_text

NAME = "Corefile"


def root(*lines: str) -> str:
    """A Corefile of one block for all names."""
    return "\n".join([".:53 {", *lines, "}"]) + "\n"


def imported(
    text: str, files: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None, name: str = NAME
) -> Imported:
    """Import a text; `files` are by the name that an `import`, or a plugin, has of them."""
    known = files or {}

    def imports(_: str, pattern: str) -> list[ImportedFile]:
        return [ImportedFile(name, known[name]) for name in sorted(known) if fnmatch(name, pattern)]

    machine = Files(
        lambda path: Located(f"/{path.lstrip('/')}", is_there=path in known),
        known.get,
        lambda folder: sorted(path for path in known if path.startswith(f"{folder}/")),
    )
    return import_text(sources(name, text), machine, imports, environment or {}, mistakes)


def mistakes(text: str) -> list[tuple[int, str]]:
    try:
        load_text(text, Path("imported.toml"))
    except ConfigError as error:
        return [(problem.line or 0, problem.text) for problem in error.problems]
    return []


def config(result: Imported) -> Config:
    """Return what the TOML says."""
    return load_text(result.toml, Path("imported.toml"))


def said(result: Imported, kind: str) -> list[str]:
    """Return what is said of one kind, as `LINE WHAT: TEXT`."""
    return [f"{found.source.line} {found.what}: {found.text}" for found in result.findings if found.kind == kind]


def losses(result: Imported) -> list[str]:
    """Return what is lost, as `LINE WHAT`."""
    return [f"{found.source.line} {found.what}" for found in result.findings if found.kind == "lost"]


def written(text: str, *, without: tuple[str, ...] = ("upstreams",)) -> dict[str, Any]:
    """What the TOML says, less what every Corefile without `forward` leads to."""
    result = imported(text)
    config(result)
    return {key: value for key, value in tomllib.loads(result.toml).items() if key not in without}
