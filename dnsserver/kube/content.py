"""What files of objects say, and the form in which the process that reads them (`reading`) passes it on.

It is apart from the reader because a YAML parser takes 1 MiB, and the server needs none.
"""

import os
import re
import struct
from pathlib import Path

import msgspec

from dnsserver.zone.model import Kind, Object

TIME = 60  # seconds for one file, and as many of processor time for all of them
HEAD = struct.Struct(">I")  # of a frame: its length; a pair follows, a kind and objects of it or "done" and a Done

Key = tuple[Kind, str, str]
Look = tuple[int, int, int]  # of a file: mtime in ns, size, inode; or -1, errno, 0 where it cannot be looked at

_LINE = re.compile(r"line (\d+): ")


class Findings(msgspec.Struct):
    """What was found in a text: sentences, of which those about a place in it begin with its line.

    `problems` are why it is broken, as a whole or in some object; `warnings` are about what is served without a part,
    or is not served though whoever wrote it may think so; `notes` are about what is passed over. `readable` is False
    when the text as a whole cannot be used. `bad_objects` and `bad_values` count, by kind, what is left out; of a text
    that cannot be used each kind counts once that it seems to have objects of.
    """

    problems: list[str] = []
    warnings: list[str] = []
    notes: list[str] = []
    readable: bool = True
    bad_objects: dict[Kind, int] = {}
    bad_values: dict[Kind, int] = {}

    @property
    def faulty(self) -> bool:
        """Whether something that was meant to be served cannot be read."""
        return bool(self.problems or self.bad_objects or self.bad_values)

    def in_order(self) -> list[str]:
        """Return problems and warnings in the order of their lines; those without a line come last."""
        return sorted([*self.problems, *self.warnings], key=_line)


def _line(sentence: str) -> float:
    found = _LINE.match(sentence)
    return float("inf") if found is None else int(found[1])


class Content(msgspec.Struct):
    """The good objects of a text, and what was found in it."""

    objects: dict[Key, Object] = {}
    findings: Findings = msgspec.field(default_factory=Findings)


class Done(msgspec.Struct):
    """The end of a file's frames, and what it looks like after it was read."""

    look: Look
    findings: Findings


def look_at(path: Path) -> Look:
    """Return what tells one state of a file from another."""
    try:
        return _look(path.stat())
    except OSError as error:
        return -1, error.errno or 0, 0


def _look(found: os.stat_result) -> Look:
    return found.st_mtime_ns, found.st_size, found.st_ino
