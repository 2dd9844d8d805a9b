"""Tells whether files have changed since they were read, and whether that change is complete.

A few calls of stat(2) a second see every way in which a file changes: written in place, replaced by an editor, or
behind a symlink that was swapped, as kubelets do it with the `..data` of a ConfigMap. inotify sees them only by
watching every folder on the way, and not at all on some network file systems. What it costs: `tests/bench/reload.py`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from dnsserver.config.includes import matches

_Stamp = tuple[int, int, int, int, int] | None
Stamps = Mapping[str, _Stamp]


def look(files: Iterable[str], patterns: Iterable[str] = ()) -> Stamps:
    """Return what changes when a file does, for these and for those that patterns mean; None for one not there."""
    found: dict[str, _Stamp] = {}
    for name in (*files, *(str(path) for pattern in patterns for path in matches(pattern))):
        try:
            status = Path(name).stat()
        except (OSError, ValueError):
            found[name] = None
        else:
            found[name] = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, status.st_size)
    return found


class FileWatch:
    """Reports a change once one look has found no further change. Pure: the looks are passed in."""

    def __init__(self) -> None:
        """Start empty: the first look does not count as a change."""
        self._seen: Stamps | None = None
        self._pending = False

    def has_settled(self, stamps: Stamps) -> bool:
        """Take in what a look has seen; True once after each change."""
        changed = self._seen is not None and stamps != self._seen
        self._seen = stamps
        if changed:
            self._pending = True
            return False
        settled, self._pending = self._pending, False
        return settled

    def look_again(self) -> None:
        """Take what is there now for a change: what was read of it made no sense, and may not be whole."""
        self._pending = True

    def accept(self, stamps: Stamps) -> None:
        """Take this for what is known: it has just been read, or other files are of interest from now on."""
        self._seen = stamps
        self._pending = False
