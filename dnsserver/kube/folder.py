"""The files at the path of object files: which of them are read, how they look, and which are skipped. Blocks."""

import errno
import os
from pathlib import Path

import msgspec

from dnsserver.kube.content import Look, look_at

_SUFFIXES = {".yaml", ".yml", ".json"}
_NAMED = 5
# Beside a file while it is being edited: vim's test file, backups, JetBrains' safe write, and whatever ends in these.
_PASSING = ("~", ".swp", ".swo", ".swx", ".tmp", ".temp", ".new", ".bak", ".part", "___jb_tmp___", "___jb_old___", "#")


class Folder(msgspec.Struct, frozen=True):
    """The files that count and what they look like, or the `problem` of the path itself.

    `passed_over` says what else is there, in sentences.
    """

    looks: dict[Path, Look] = {}
    passed_over: tuple[str, ...] = ()
    problem: str = ""


def look_around(path: Path) -> Folder:
    """Return what is at a path: a file, or a folder of files."""
    try:
        if not _is_folder(path):
            return Folder({path: look_at(path)})
        with os.scandir(path) as entries:
            names = {entry.name: _is_folder_entry(entry) for entry in entries if not entry.name.startswith(".")}
    except OSError as error:
        missing = error.errno == errno.ENOENT
        return Folder(problem="no such file or folder" if missing else (error.strerror or str(error)).lower())
    # A folder that is called as a file is a mistake to be told when it is read: what the file said before is kept.
    files = {name for name, is_folder in names.items() if not is_folder or Path(name).suffix in _SUFFIXES}
    subfolders = sorted(names.keys() - files)
    counting = sorted(name for name in files if Path(name).suffix in _SUFFIXES)
    others = sorted(name for name in files.difference(counting) if not _is_passing(name))
    notes = []
    if subfolders:
        notes.append(f"subfolders are not read: {_some(subfolders)}")
    if others:
        notes.append(f"files whose names do not end in .yaml, .yml or .json are not read: {_some(others)}")
    return Folder({path / name: look_at(path / name) for name in counting}, tuple(notes))


def _is_folder(path: Path) -> bool:
    """Tell whether a path is a folder. Raises OSError."""
    path.stat()
    return path.is_dir()


def _is_folder_entry(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into what may not be looked at: reading it says so
        return False


def _is_passing(name: str) -> bool:
    return name.endswith(_PASSING) or name.startswith("#") or name == "4913"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
