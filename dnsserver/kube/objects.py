"""Kubernetes objects from files instead of an API server: the same events, at the start and whenever a file changes.

`--objects PATH` is a file, or a folder whose `*.yaml`, `*.yml` and `*.json` are read (not its subfolders: a ConfigMap's
mount has its older versions there). The path is looked at every `poll` seconds; polling needs nothing of the file
system, and sees renames by editors and the swap of a ConfigMap's `..data` link alike.

A file that breaks keeps its last good content, and says what is wrong. A change is taken up when the file has looked
the same twice, so that half a file, written just now, is not believed; and an empty file is one being written.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
import trio

from dnsserver.kube.content import Content, Key, Look
from dnsserver.kube.folder import Folder, look_around
from dnsserver.kube.reader import read_files
from dnsserver.logger import get_logger
from dnsserver.pace import next_look
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Metadata, Namespace, Object, Put, Remove

POLL = 0.5  # seconds; a change is seen within one poll and believed half a one later, so within a second
_YIELD_EVERY = 64  # objects applied between two checkpoints
_NAMED = 10  # names in one line of the log


class ObjectsError(Exception):
    """There is nothing to serve: the path is missing, or every file in it is broken."""


class ObjectsStatistics(msgspec.Struct, frozen=True):
    """`broken` has the first problem of each file that is served as it was before; times as `trio.current_time`.

    `wrong` are all sentences about what is left out of the files as they are now, each with its file; `faulty` is how
    many of them have something that cannot be read.

    `bad_objects` and `bad_values` count what could not be read of each kind, each time that a file was read.
    """

    path: str
    files: int
    broken: dict[str, str]
    faulty: int
    wrong: tuple[str, ...]
    loads: int
    last_event: float | None
    bad_objects: dict[Kind, int]
    bad_values: dict[Kind, int]


class ObjectFiles:
    """Keeps the zone equal to what the files at `path` say: `apply` gets each event, on this thread, in order."""

    def __init__(self, path: Path | str, apply: Callable[[Event], object], *, poll: float = POLL) -> None:
        self._path = Path(path)
        self._apply = apply
        self._poll = poll
        self._log = get_logger("dnsserver.kube")
        self._looks: dict[Path, Look] = {}  # of the files as they were taken up
        self._content: dict[Path, dict[Key, Object]] = {}  # the last good of each file
        self._broken: dict[Path, str] = {}
        self._wrong: dict[Path, tuple[str, ...]] = {}
        self._faulty: set[Path] = set()
        self._shadowed: dict[Path, list[str]] = {}  # objects that another file has, too
        self._unreadable = ""  # why the path itself cannot be read now
        self._implied: set[str] = set()  # namespaces
        self._served: dict[Key, Object] = {}
        self._reported: dict[Path, set[str]] = {}  # of what each file says now
        self._loads = 0
        self._bad_objects: Counter[Kind] = Counter()
        self._bad_values: Counter[Kind] = Counter()
        self._last_event: float | None = None

    def statistics(self) -> ObjectsStatistics:
        """Return the counts of this moment."""
        return ObjectsStatistics(
            path=str(self._path),
            files=len(self._content),
            broken={str(path): problem for path, problem in self._broken.items()},
            faulty=len(self._faulty) + bool(self._unreadable),
            wrong=tuple(f"{path}: {said}" for path, said in self._all_wrong()),
            loads=self._loads,
            last_event=self._last_event,
            bad_objects=dict(self._bad_objects),
            bad_values=dict(self._bad_values),
        )

    def unheard(self) -> str:
        """Return why the zone may lack what the files say now; "" where it has all of it."""
        if self._unreadable:
            return f"{self._path}: {self._unreadable}"
        return next((f"{problem}; its last good content stays in use" for problem in self._broken.values()), "")

    def _all_wrong(self) -> Iterator[tuple[Path, str]]:
        if self._unreadable:
            yield self._path, self._unreadable
        for path in sorted(self._wrong.keys() | self._shadowed.keys()):
            for said in (*self._wrong.get(path, ()), *self._shadowed.get(path, ())):
                yield path, said

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the files until cancelled; started when all of them have been applied once.

        Raises ObjectsError if there is nothing to start with.
        """
        folder = await self._read_all()
        if self._broken and not any(self._content.values()):
            raise ObjectsError("; ".join(self._broken.values()))
        if not any(self._content.values()):
            expected = "expected Namespaces, Services, EndpointSlices or Pods in *.yaml, *.yml or *.json"
            self._log.warning("no objects found, so no name of the cluster exists", path=str(self._path), hint=expected)
        self._served = {}  # what is not put again is gone at the end of the list
        for kind in Kind:
            self._apply(ListStarted(kind))
        await self._serve()
        for kind in Kind:
            self._apply(ListDone(kind))
        task_status.started()
        await self._follow(folder)

    async def _read_all(self) -> Folder:
        """Read all files, and read again those that are being written: before that, no answer may say "does not exist".

        Raises ObjectsError.
        """
        while True:
            folder = await trio.to_thread.run_sync(look_around, self._path)
            if folder.problem:
                raise ObjectsError(f"{self._path}: {folder.problem}")
            self._note_passed_over(folder)
            await self._take_up(folder.looks)
            if self._looks == folder.looks:
                return folder
            await trio.sleep(self._poll)

    async def _follow(self, before: Folder) -> None:
        """Apply what changes, until cancelled."""
        quiet = True
        while True:
            await trio.sleep_until(next_look(self._poll if quiet else self._poll / 2))
            folder = await trio.to_thread.run_sync(look_around, self._path)
            was_unreadable = bool(self._unreadable)
            self._unreadable = f"{folder.problem}; its last good content stays in use" if folder.problem else ""
            if self._unreadable:
                self._report(self._path, [self._unreadable])
                continue
            if was_unreadable:
                self._reported.pop(self._path, None)  # what comes again is told again
            if folder.looks == before.looks and folder.looks != self._looks:
                self._note_passed_over(folder)
                await self._reload(folder.looks)
            quiet = folder.looks == before.looks == self._looks
            before = folder

    async def _reload(self, looks: dict[Path, Look]) -> None:
        changed = [path for path, look in looks.items() if self._looks.get(path) != look]
        gone = self._looks.keys() - looks.keys()
        await self._take_up(looks)
        if not looks:
            self._log.warning("the folder is empty now, so no name of the cluster exists", path=str(self._path))
        put, removed = await self._serve()
        good = [path.name for path in sorted(changed) if path not in self._broken and path in self._looks]
        if good or gone:
            self._log.info(
                "objects reloaded",
                path=str(self._path),
                files=_some(good),
                gone=_some(sorted(path.name for path in gone)),
                objects_changed=put,
                objects_removed=removed,
            )

    async def _take_up(self, looks: dict[Path, Look]) -> None:
        """Read the files that have changed, and forget those that are gone."""
        for path in self._looks.keys() - looks.keys():
            self._content.pop(path, None)
            self._broken.pop(path, None)
            self._wrong.pop(path, None)
            self._faulty.discard(path)
            self._reported.pop(path, None)
        changed = sorted(path for path, look in looks.items() if self._looks.get(path) != look)
        self._looks = {path: look for path, look in looks.items() if path not in changed}
        try:
            async with aclosing(read_files(changed)) as contents:
                async for path, look, content in contents:
                    self._loads += 1
                    if look == looks[path]:
                        self._looks[path] = look
                        self._judge(path, content)
                    # Otherwise it was written just now; it differs from `_looks`, so that a later poll reads it again.
        except OSError as error:
            self._log.error("object files are not read", error=f"no process for it: {error.strerror or error}")

    def _judge(self, path: Path, content: Content) -> None:
        """Take over the content of a file, or keep its earlier content."""
        known = path in self._content
        findings = content.findings
        self._bad_objects.update(findings.bad_objects)
        self._bad_values.update(findings.bad_values)
        (self._faulty.add if findings.faulty else self._faulty.discard)(path)
        self._wrong[path] = tuple(findings.in_order())
        if not findings.problems:
            if known and self._content[path] and not self._looks[path][1]:
                self._wrong[path] = ("is empty; its last good content stays in use",)
                self._broken[path] = f"{path}: {self._wrong[path][0]}"
                self._faulty.add(path)
                self._report(path, self._wrong[path])
                return
            if self._broken.pop(path, None):
                self._log.info("objects file is good again", file=str(path))
            self._content[path] = content.objects
            self._report(path, findings.in_order())
        else:
            self._report(path, findings.in_order(), kept=known)
            self._broken[path] = f"{path}: {findings.problems[0]}"
            if not known and findings.readable:
                self._content[path] = content.objects  # at first sight its good objects are better than none
        for note in findings.notes:
            if note not in self._reported[path]:
                self._reported[path].add(note)
                self._log.info("objects file has parts that are not served", file=str(path), note=note)

    async def _serve(self) -> tuple[int, int]:
        """Pass on the difference to what is served, additions first, so that an object that moves is never missing."""
        wanted: dict[Key, Object] = {}
        origin: dict[Key, Path] = {}
        self._shadowed = {}
        for path in sorted(self._content):
            for written, thing in self._content[path].items():
                key = _same(written)
                if key in wanted:
                    who = f"{type(thing).__name__} {'/'.join(filter(None, written[1:]))}"
                    said = f"{who} is in {path} as well, and that one counts"
                    self._shadowed.setdefault(origin[key], []).append(said)
                    self._report_more(origin[key], said)
                wanted[key], origin[key] = thing, path
        self._imply_namespaces(wanted)
        puts = [Put(thing) for key, thing in wanted.items() if self._served.get(key) != thing]
        gone = [(key[0], self._served[key].metadata) for key in self._served.keys() - wanted.keys()]
        removes = [Remove(kind, who.namespace, who.name) for kind, who in gone]
        self._served = wanted
        await self._hand_on(puts)
        await self._hand_on(removes)
        return len(puts), len(removes)

    def _imply_namespaces(self, wanted: dict[Key, Object]) -> None:
        """Treat namespaces that other objects name as existing: most manifests come without their Namespace."""
        there = {name for kind, _, name in wanted if kind is Kind.NAMESPACES}
        named = {namespace for kind, namespace, _ in wanted if kind is not Kind.NAMESPACES}
        implied: dict[Key, Object] = {
            (Kind.NAMESPACES, "", name): Namespace(Metadata(name)) for name in sorted(named - there)
        }
        names = {name for _, _, name in implied}
        new, self._implied = sorted(names - self._implied), names
        if new:
            self._log.warning(
                "namespaces without a Namespace object are taken as existing, since objects name them",
                path=str(self._path),
                namespaces=_some(new),
            )
        wanted.update(implied)

    async def _hand_on(self, events: Iterable[Event]) -> None:
        for count, event in enumerate(events, 1):
            self._apply(event)
            self._last_event = trio.current_time()
            if count % _YIELD_EVERY == 0:
                await trio.lowlevel.checkpoint()

    def _note_passed_over(self, folder: Folder) -> None:
        """Log which files of a folder are not read."""
        for sentence in folder.passed_over:
            self._report_more(self._path, sentence)

    def _report(self, path: Path, problems: Sequence[str], *, kept: bool = False) -> None:
        """Log the problems of a file that it did not have the last time."""
        reported = self._reported.get(path, set())
        for problem in problems:
            if problem in reported:
                continue
            if kept:
                self._log.warning(
                    "objects file is broken, its last good content is served on", file=str(path), error=problem
                )
            else:
                self._log.warning("objects file problem", file=str(path), error=problem)
        self._reported[path] = set(problems)

    def _report_more(self, path: Path, problem: str) -> None:
        """Log another problem of a file, once until the file changes."""
        reported = self._reported.setdefault(path, set())
        if problem not in reported:
            reported.add(problem)
            self._log.warning("objects file problem", file=str(path), error=problem)


def _some(names: Sequence[str]) -> list[str]:
    more = len(names) - _NAMED
    return [*names[:_NAMED], f"and {more} more"] if more > 0 else list(names)


def _same(key: Key) -> Key:
    """Return the key under which the zone has an object: to DNS, upper and lower case are the same (RFC 4343)."""
    kind, namespace, name = key
    return kind, namespace.encode().lower().decode(), name.encode().lower().decode()
