"""`import-corefile`: the files that an import needs, and what the command prints."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dnsserver.config import ConfigError
from dnsserver.config.corefile import (
    CorefileError,
    Files,
    Finding,
    Imported,
    ImportedFile,
    Located,
    NotACorefileError,
    Sources,
    import_text,
    sources,
)
from dnsserver.config.files import UnusableFileError, read_text
from dnsserver.config.reader import load_text

_MOST_OCTETS = 4 * 1024 * 1024
_MOST_FILES = 1000
_HEADINGS = {
    "became": "What became of it:",
    "default": "What it does without a setting:",
    "differs": "What is different now:",
    "lost": "What has no counterpart:",
}
_WRITTEN = Path("imported.toml")  # what the text is called while it is looked at


def import_corefile(path: Path, text: str | None = None) -> Imported:
    """Return what becomes of a file, or of a text that was read already.

    Raises UnusableFileError, NotACorefileError or CorefileError.
    """
    given = sources(str(path), read_text(path, _MOST_OCTETS) if text is None else text)
    files = Files(lambda name: _find(path, name), lambda name: _read(path, name), lambda name: _below(path, name))
    return import_text(given, files, _Imports(path, given), os.environ, _mistakes)


class _Imports:
    """The files that `import` names: keys of the ConfigMap, which are mounted beside the Corefile, or other files."""

    def __init__(self, path: Path, given: Sources) -> None:
        self._path = path
        self._beside = given.beside
        self._read = 0

    def __call__(self, file: str, pattern: str) -> list[ImportedFile]:
        """Return the files that fit a pattern, in order; raises ValueError and UnusableFileError's reason in it."""
        name = Path(pattern).name
        if self._beside and "/" not in name:
            fitting = sorted(key for key in self._beside if Path(key).match(name))
            if fitting:
                return [ImportedFile(f"{self._path}, {key}", self._beside[key]) for key in fitting]
        folder = Path(file).parent if Path(file).exists() else self._path.parent
        return [ImportedFile(str(found), self._text(found)) for found in _fitting(folder, pattern)]

    def _text(self, path: Path) -> str:
        self._read += 1
        if self._read > _MOST_FILES:
            raise ValueError(f"more than {_MOST_FILES} files; does one import itself?")
        try:
            return read_text(path, _MOST_OCTETS)
        except UnusableFileError as error:
            raise ValueError(f"{path} {error}") from error


def _fitting(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files that match a pattern, in the order of their names, without folders."""
    whole = folder / pattern
    if any(sign in pattern for sign in "*?["):
        parent, name = whole.parent, whole.name
        if any(sign in str(parent) for sign in "*?["):
            root = Path(parent.anchor) if parent.is_absolute() else Path()
            yield from sorted(found for found in root.glob(str(whole.relative_to(root))) if found.is_file())
            return
        yield from sorted(found for found in parent.glob(name) if found.is_file())
    elif whole.exists():
        yield whole


def _find(corefile: Path, name: str) -> Located:
    """Return a path as our configuration should have it: that of the file from here, or beside the Corefile."""
    for folder in (corefile.parent, Path()):
        try:
            path = (folder / name).absolute()
            if path.exists():
                return Located(str(path), is_there=True)
        except (OSError, ValueError):
            continue
    return Located(name if name.startswith("/") else f"./{name}", is_there=False)


def _read(corefile: Path, name: str) -> str | None:
    found = _find(corefile, name)
    try:
        return read_text(Path(found.path), _MOST_OCTETS) if found.is_there else None
    except UnusableFileError:
        return None


def _below(corefile: Path, name: str) -> list[str]:
    """Return the files in a folder and below it, the first ones if there are very many."""
    found = _find(corefile, name)
    paths = Path(found.path).rglob("*") if found.is_there else ()
    try:
        return sorted(str(path) for path in islice(paths, _MOST_FILES) if path.is_file())
    except OSError:
        return []


def _mistakes(text: str) -> list[tuple[int, str]]:
    """Return the mistakes that our reader finds in a text, with their lines."""
    try:
        load_text(text, _WRITTEN)
    except ConfigError as error:
        return [(problem.line or 0, problem.text) for problem in error.problems]
    return []


def report(imported: Imported) -> Iterator[str]:
    """Give the lines that say what became of what."""
    for kind, heading in _HEADINGS.items():
        found = [finding for finding in imported.findings if finding.kind == kind]
        if found:
            yield f"{heading}"
            yield from (f"  {_sentence(finding)}" for finding in found)
    losses = imported.losses
    yield f"{losses} losses" if losses != 1 else "1 loss"


def _sentence(finding: Finding) -> str:
    text = f"{finding.source.place()}: {finding.what}: {finding.text}"
    return "".join(character if character.isprintable() else " " for character in text)


__all__ = ["CorefileError", "NotACorefileError", "UnusableFileError", "import_corefile", "report"]
