"""Kubernetes objects from files instead of an API server: the same events, at the start and whenever a file changes.

`--objects PATH` is a file, or a folder whose `*.yaml`, `*.yml` and `*.json` are read (not its subfolders: a ConfigMap's
mount has its older versions there). The path is looked at every `poll` seconds; polling needs nothing of the file
system, and sees renames by editors and the swap of a ConfigMap's `..data` link alike.

A file that breaks keeps its last good content, and says what is wrong. A change is taken up when the file has looked
the same twice, so that half a file, written just now, is not believed; and an empty file is one being written.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog
import trio

from dnsserver.kube.documents import Content, Key, read
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Object, Put, Remove

POLL = 0.3  # seconds; a change is seen within one poll and believed after the next, so within a second
_SUFFIXES = {".yaml", ".yml", ".json"}
_BITE = 64  # objects applied between two checkpoints
_Look = tuple[int, int, int]  # of a file: mtime in ns, size, inode


class ObjectsError(Exception):
    """There is nothing to serve: the path is missing, or every file in it is broken."""


class ObjectsStatistics(msgspec.Struct, frozen=True):
    """`broken` has the first problem of each file that is served as it was before; times as `trio.current_time`."""

    path: str
    files: int
    broken: dict[str, str]
    objects: dict[Kind, int]
    loads: int
    last_event: float | None


class ObjectFiles:
    """Keeps the zone equal to what the files at `path` say: `apply` gets each event, on this thread, in order."""

    def __init__(self, path: Path | str, apply: Callable[[Event], None], *, poll: float = POLL) -> None:
        self._path = Path(path)
        self._apply = apply
        self._poll = poll
        self._log = structlog.get_logger("dnsserver.kube")
        self._looks: dict[Path, _Look] = {}  # of the files as they were taken up
        self._content: dict[Path, dict[Key, Object]] = {}  # the last good of each file
        self._broken: dict[Path, str] = {}
        self._served: dict[Key, Object] = {}
        self._told: set[tuple[str, str]] = set()
        self._loads = 0
        self._last_event: float | None = None

    def statistics(self) -> ObjectsStatistics:
        """The present figures."""
        objects = dict.fromkeys(Kind, 0)
        for kind, _, _ in self._served:
            objects[kind] += 1
        broken = {str(path): problem for path, problem in self._broken.items()}
        return ObjectsStatistics(str(self._path), len(self._content), broken, objects, self._loads, self._last_event)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves the files for ever; started when all of them have been applied once.

        Raises ObjectsError if there is nothing to start with.
        """
        looks = await trio.to_thread.run_sync(_look_around, self._path)
        if looks is None:
            raise ObjectsError(f"{self._path}: no such file or folder")
        await self._take_up(looks)
        if self._broken and not any(self._content.values()):
            raise ObjectsError("; ".join(self._broken.values()))
        if not any(self._content.values()):
            self._log.warning("no objects found", path=str(self._path))
        for kind in Kind:
            self._apply(ListStarted(kind))
        await self._serve()
        for kind in Kind:
            self._apply(ListDone(kind))
        task_status.started()
        before = looks
        while True:
            await trio.sleep(self._poll)
            now = await trio.to_thread.run_sync(_look_around, self._path)
            if now is None:
                self._tell(self._path, "is gone; what it said last is served on")
            elif now == before and now != self._looks:
                await self._take_up(now)
                await self._serve()
            before = now if now is not None else before

    async def _take_up(self, looks: dict[Path, _Look]) -> None:
        """Read the files that have changed, forget those that are gone."""
        for path in self._looks.keys() - looks.keys():
            self._content.pop(path, None)
            self._broken.pop(path, None)
        changed = sorted(path for path, look in looks.items() if self._looks.get(path) != look)
        self._looks = {path: look for path, look in looks.items() if path not in changed}
        for path in changed:
            self._loads += 1
            look, content = await trio.to_thread.run_sync(_read, path)
            if look == looks[path]:
                self._looks[path] = look
                self._judge(path, content)
            # Otherwise it was written just now; it differs from `_looks`, so that a later poll reads it again.

    def _judge(self, path: Path, content: Content) -> None:
        """Believe what a file says, or keep what it said before."""
        known = path in self._content
        if not content.problems:
            if known and self._content[path] and not self._looks[path][1]:
                self._tell(path, "is empty; what it said last is served on")
                return
            if self._broken.pop(path, None):
                self._told = {told for told in self._told if told[0] != str(path)}
                self._log.info("objects file is good again", file=str(path))
            self._content[path] = content.objects
        else:
            for problem in content.problems:
                self._tell(path, problem, kept=known)
            self._broken[path] = f"{path}: {content.problems[0]}"
            if not known and content.readable:
                self._content[path] = content.objects  # at first sight its good objects are better than none
        for key in content.duplicates:
            self._tell(path, f"{'/'.join(key)} is there twice; the last one counts")

    async def _serve(self) -> None:
        """Hand on the difference to what is served, additions first, so that nothing that moves is ever missing."""
        wanted: dict[Key, Object] = {}
        origin: dict[Key, Path] = {}
        for path in sorted(self._content):
            for key, thing in self._content[path].items():
                if key in wanted:
                    self._tell(path, f"{'/'.join(key)} is in {origin[key]} as well; this one counts")
                wanted[key], origin[key] = thing, path
        puts = [Put(thing) for key, thing in wanted.items() if self._served.get(key) != thing]
        removes = [Remove(*key) for key in self._served.keys() - wanted.keys()]
        self._served = wanted
        await self._hand_on(puts)
        await self._hand_on(removes)

    async def _hand_on(self, events: Iterable[Event]) -> None:
        for count, event in enumerate(events, 1):
            self._apply(event)
            self._last_event = trio.current_time()
            if count % _BITE == 0:
                await trio.lowlevel.checkpoint()

    def _tell(self, path: Path, problem: str, *, kept: bool = False) -> None:
        """Log a problem once."""
        if (str(path), problem) in self._told:
            return
        self._told.add((str(path), problem))
        if kept:
            self._log.warning("broken file; its last good content is served on", file=str(path), problem=problem)
        else:
            self._log.warning("objects file", file=str(path), problem=problem)


def _look_around(path: Path) -> dict[Path, _Look] | None:
    """The files that count and what they look like; None if the path itself is not there."""
    try:
        if not path.is_dir():
            return {path: _look(path.stat())}
        found = [file for file in path.iterdir() if not file.name.startswith(".") and file.suffix in _SUFFIXES]
    except OSError:
        return None
    looks = {}
    for file in found:
        try:
            looks[file] = _look(file.stat())
        except OSError:
            continue  # a link whose target is being swapped, or a file just renamed
    return looks


def _look(stat: os.stat_result) -> _Look:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> tuple[_Look | None, Content]:
    """What a file says, and what it looks like after it was read; None if it is gone again."""
    try:
        text = path.read_bytes()
        look = _look(path.stat())
    except FileNotFoundError:
        return None, Content({}, [], [])
    except OSError as error:
        return _look(path.stat()), Content({}, [f"line 1: {error}"], [], readable=False)
    return look, read(text, json=path.suffix == ".json")
