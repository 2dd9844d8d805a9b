"""A new configuration while the server runs: files are followed, read, compared, and put in force as a whole.

A change is read and prepared while questions are answered, in a thread if it takes long, and applied in one step: no
question is answered by a mixture. If anything is wrong with it, the configuration in force stays, and that is
reported.
"""

import hashlib
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import trio

from dnsserver import metrics
from dnsserver.app import preflight
from dnsserver.app.dns_service import DnsService
from dnsserver.app.file_watch import FileWatch, look
from dnsserver.app.listening import ListenError
from dnsserver.app.local_data import LocalDataError, read_texts
from dnsserver.config import Config, ConfigError, Loaded
from dnsserver.config.changes import Changes, changes
from dnsserver.config.includes import HASH
from dnsserver.config.relations import mistakes
from dnsserver.faults import Faults
from dnsserver.logger import get_logger
from dnsserver.pace import next_look

log = get_logger("dnsserver")

INTERVAL = 1.0  # seconds between two looks at the files
# Seconds after which what was refused is tried again: it may name a file, or an address, that comes a moment later.
AGAIN = 5.0
_SHOWN = 10  # mistakes in one log line


class Reading(NamedTuple):
    """What the files say now: the configuration, the texts of the files it names, and hashes of other files.

    `notes` are settings of which something is to be said, what that is, and whether they are in force all the same.
    """

    loaded: Loaded
    texts: dict[str, str]
    hashes: dict[str, str]
    notes: frozenset[tuple[str, str, bool]]


class Applied(NamedTuple):
    """The result of a change: how many replies left the cache, how many stayed, and the seconds that it took."""

    dropped: int
    kept: int
    seconds: float


class Server(Protocol):
    """The part that puts a configuration in force."""

    config: Config
    dns: DnsService

    async def reconfigure(self, wanted: Changes, texts: dict[str, str], authorities: tuple[str, ...]) -> Applied:
        """Prepare a change and put it in force. Raises LocalDataError, ListenError, and OSError, without any effect."""


class RefusedError(Exception):
    """What the files say cannot be in force; a line for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Reloader:
    """Keeps the configuration in force equal to the files."""

    def __init__(
        self,
        server: Server,
        loaded: Loaded,
        faults: Faults,
        interval: float = INTERVAL,
    ) -> None:
        """Follow the files of `loaded`, which is in force."""
        self._server = server
        self._loaded = loaded
        self._faults = faults
        self._interval = interval
        self._watch = FileWatch()
        self._texts: Mapping[str, str] = {}
        self._hashes: dict[str, str] = {}
        self._files: tuple[tuple[str, ...], tuple[str, ...]] = _files(loaded)
        self._wake = trio.Event()
        self._applied_at = 0.0
        self._applied_wall = time.time()
        self._failed = 0
        self._tried_at = 0.0
        self._doubt: tuple[str, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._restart: tuple[str, ...] = ()
        self._notes: frozenset[tuple[str, str, bool]] = frozenset()
        self._durations = metrics.Histogram(metrics.LAG)

    def place(self, key: str) -> str:
        """Return where a key of the configuration in force is written."""
        return self._loaded.place(key)

    def statistics(self) -> metrics.Configuration:
        """Return which configuration is in force, since when, and what is wrong with that of the files."""
        return metrics.Configuration(
            hash_type=HASH,
            hash=self._loaded.digest,
            applied=self._applied_at,
            applied_wall=self._applied_wall,
            durations=self._durations,
            failed=self._failed,
            problems=self._problems,
            needs_restart=self._restart,
        )

    async def run(self) -> None:
        """Follow the files until cancelled; SIGHUP checks them at once."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            self._applied_at = self._applied_at or trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._faults.keep, "reload", self._follow)
                async for _ in signals:
                    self._wake.set()

    async def _follow(self) -> None:
        self._texts = self._server.dns.texts
        self._hashes = await trio.to_thread.run_sync(_hashes, self._server.config)
        self._watch.look_again()  # what has changed since the start, before the first look, is a change as well
        while True:
            with trio.CancelScope(deadline=next_look(self._interval)):
                await self._wake.wait()
            told, self._wake = self._wake.is_set(), trio.Event()
            stamps = await trio.to_thread.run_sync(look, *self._files)
            waits = bool(self._problems) and trio.current_time() >= self._tried_at + AGAIN
            if self._watch.has_settled(stamps) or told or waits:
                await self._reload(told=told)

    async def _reload(self, *, told: bool) -> None:
        """Read the files, and put their configuration in force if possible."""
        self._tried_at = trio.current_time()
        stamps = await trio.to_thread.run_sync(look, *self._files)
        try:
            reading = await trio.to_thread.run_sync(self._read_all)
            await self._use(reading, told=told)
        except RefusedError as error:
            self._watch.accept(stamps)
            self._refuse(error.problems, told=told)
        else:
            self._loaded = reading.loaded
            self._watch.accept(stamps)
            if self._files != (files := _files(reading.loaded)):
                self._files = files  # the next look finds other files, which is a change to look at

    def _read_all(self) -> Reading:
        """Read everything, in a thread. Raises RefusedError."""
        try:
            loaded = self._loaded.again()
            if self._loaded.is_there and not (loaded.is_there and loaded.source.stat().st_size):
                state = "is empty" if loaded.is_there else "is gone"
                raise RefusedError((f"{loaded.source}: {state}, expected the configuration",))
            found = [*preflight.findings(loaded.config, loaded.written), *preflight.hidden(loaded)]
            refused = tuple(f"{loaded.place(each.key)}: {each.text}" for each in found if each.level == "refused")
            if refused:
                raise RefusedError(refused)
            notes = frozenset((loaded.place(each.key), each.text, each.level == "noted") for each in found)
            return Reading(loaded, read_texts(loaded.config), _hashes(loaded.config), notes)
        except ConfigError as error:
            raise RefusedError(tuple(map(str, error.problems))) from error
        except (LocalDataError, OSError) as error:
            raise RefusedError((str(error),)) from error

    async def _use(self, reading: Reading, *, told: bool) -> None:
        """Put the differences in force; raises RefusedError."""
        loaded, before = reading.loaded, self._server.config
        wanted = changes(before, loaded.config)
        if wrong := list(mistakes(wanted.config)) if wanted.restart else []:
            why = f"needs a restart, as does {', '.join(wanted.restart)}"
            raise RefusedError(tuple(f"{loaded.place(key)}: {text}; this {why}" for key, text in wrong))
        files = _differing(self._texts, reading.texts)
        authorities = _differing(self._hashes, reading.hashes)
        applied = None
        if wanted.keys or files or authorities:
            try:
                applied = await self._server.reconfigure(wanted, reading.texts, authorities)
            except ListenError as error:
                raise RefusedError((_with_place(loaded, error),)) from error
            except (LocalDataError, OSError) as error:
                raise RefusedError((str(error),)) from error
        mended, self._problems, self._doubt = bool(self._problems), (), ()
        news = wanted.restart != self._restart
        self._restart = wanted.restart
        self._texts, self._hashes = reading.texts, reading.hashes
        notes, self._notes = reading.notes - self._notes, reading.notes
        say_of_settings(sorted(notes))
        if applied is not None:
            self._durations.observe(applied.seconds)
            self._applied_at, self._applied_wall = trio.current_time(), time.time()
            log.info(
                "configuration reloaded",
                changed=list(wanted.keys),
                files=[*files, *authorities],
                needs_restart=list(wanted.restart),
                replies_dropped=applied.dropped,
                replies_kept=applied.kept,
                milliseconds=round(applied.seconds * 1000, 2),
                hash=loaded.digest[:16],
            )
        elif news or mended or told:
            log.info("configuration is in force as it is", needs_restart=list(wanted.restart), hash=loaded.digest[:16])
        if wanted.restart and news:
            log.warning("some keys are in force after a restart only", needs_restart=list(wanted.restart))

    def _refuse(self, problems: tuple[str, ...], *, told: bool) -> None:
        """Log what is wrong, once. A new mistake has to wait: the file may be half written."""
        if not told and problems != self._doubt:
            self._doubt = problems
            self._watch.look_again()
            return
        self._doubt = problems
        if problems == self._problems and not told:
            return
        self._problems = problems
        self._failed += 1
        log.error(
            "configuration not reloaded, the one in force stays",
            mistakes=list(problems[:_SHOWN]),
            count=len(problems),
            hash=self._loaded.digest[:16],
        )


def _with_place(loaded: Loaded, error: ListenError) -> str:
    """Return why an address cannot be bound, with the file, line and key that name it."""
    listen = loaded.config.listen
    if error.address is None or error.address not in listen:
        return str(error)
    return f"{loaded.place(f'listen[{listen.index(error.address)}]')}: {error}"


def say_of_settings(notes: Iterable[tuple[str, str, bool]]) -> None:
    """Log findings about settings: the place, the text, and whether the setting is in force anyway."""
    for setting, text, in_force in notes:
        if in_force:
            log.warning("this setting is in force, but look at it", setting=setting, hint=text)
        else:
            log.warning("this setting is not in force as it is written", setting=setting, error=text)


def _files(loaded: Loaded) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files to watch, and the patterns by which more files may be included."""
    config = loaded.config
    names = [*loaded.files, *(each.path for each in config.static), *_authorities(config)]
    names += [table.file for table in config.hosts if table.file is not None]
    if config.kubeconfig is not None:
        names.append(config.kubeconfig)
    return tuple(dict.fromkeys(map(str, names))), loaded.patterns


def _authorities(config: Config) -> list[Path]:
    """Return the files of certificate authorities."""
    return [route.authorities for route in config.routes() if route.authorities is not None]


def _hashes(config: Config) -> dict[str, str]:
    """Return the hashes of files that other parts of the server read; a file that cannot be read has no hash."""
    found = {}
    for path in (*_authorities(config), *([config.kubeconfig] if config.kubeconfig else [])):
        try:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            continue
    return found


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files that have changed, appeared or disappeared."""
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))
