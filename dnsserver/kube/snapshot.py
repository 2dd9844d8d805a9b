"""A snapshot of the zone in a folder, so that a server that starts while the API is down can answer.

One file, replaced as a whole by a rename: a magic line, then parts. A part is its length and its CRC-32, four octets
each, and a msgpack pair: "header" and a Header, then a kind and an array of its objects, again and again, and "end"
and how many parts of objects there were. All of it is verified before any of it is believed.
"""

import fcntl
import os
import re
import stat
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import trio

from dnsserver.logger import get_logger
from dnsserver.zone import model
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Object, Put

FORMAT = 1
NAME = "zone.copy"
_APART = 3600.0  # seconds that the clocks of two starts may differ without a word
TOO_OLD = 7 * 86_400.0  # seconds; what has changed in a week helps nobody
LARGEST = 128 << 20  # octets of a file; 10,000 services, their slices and 150,000 pods make 20 MiB
YIELD_EVERY = 100  # objects in a part, which is what is done between two turns of the event loop: 1 to 2 ms
ANY = "<any>"
_MAGIC = b"dnsserver zone copy\n"
_HEAD = struct.Struct(">II")
_WRITE = 1 << 16  # octets that are worth a turn of the writing thread
_FAREWELL = 0.2  # seconds for a file to be closed when the server ends; one on a folder that hangs is left open
_PATIENCE = 5.0  # seconds for a folder on a disk, or a network, that hangs

log = get_logger("dnsserver")


class Identity(msgspec.Struct, frozen=True):
    """Whose zone it is: the domain, and where the objects came from and how they were chosen."""

    domain: str
    source: str

    def fits(self, other: "Identity") -> bool:
        """Tell whether a snapshot of the other one is a snapshot of this; ANY in the source stands for any word."""
        pattern = re.escape(self.source).replace(re.escape(ANY), r"\S+")
        return self.domain == other.domain and re.fullmatch(pattern, other.source) is not None


class Header(msgspec.Struct, frozen=True):
    """What is said of a snapshot.

    `saved` is the unix time at which what was saved was up to date, `versions` are the resourceVersions of each kind.
    """

    whose: Identity
    saved: float
    versions: dict[Kind, tuple[str, ...]]
    format: int = FORMAT


class _Format(msgspec.Struct):
    format: int


class _UnusableError(Exception):
    """The file is not a snapshot of this zone, or not a whole one."""


_PART = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
_OBJECTS = {kind: msgspec.msgpack.Decoder(list[each]) for each, kind in model.KINDS.items()}  # type: ignore[valid-type]


class Snapshot:
    """A snapshot that was found whole."""

    def __init__(self, header: Header, parts: list[tuple[Kind, msgspec.Raw]], size: int) -> None:
        """Hold what `find` read."""
        self.header = header
        self.size = size
        self._parts = parts

    async def give(self, apply: Callable[[Event], object]) -> None:
        """Hand on every object, as one full list of each kind, so that the zone is what it was."""
        for kind in Kind:
            if kind not in self.header.versions:
                continue
            apply(ListStarted(kind))
            for each, raw in self._parts:
                if each is kind:
                    for obj in _OBJECTS[kind].decode(raw):
                        apply(Put(obj))
                    await trio.lowlevel.checkpoint()
            apply(ListDone(kind))
        self._parts = []


async def find(folder: Path, whose: Identity, *, wall: Callable[[], float] = time.time) -> Snapshot | None:
    """Return the snapshot of this zone that is in the folder, or None, and then a warning says why."""
    path = folder / NAME
    try:
        with trio.fail_after(_PATIENCE):
            snapshot = await trio.to_thread.run_sync(_read, path, whose, wall(), abandon_on_cancel=True)
    except FileNotFoundError:
        log.info("no snapshot of the zone yet", file=str(path))
    except (OSError, _UnusableError) as error:
        log.warning("snapshot of the zone ignored", file=str(path), error=str(error))
    except trio.TooSlowError:
        log.warning("snapshot of the zone ignored", file=str(path), error=f"not read within {_PATIENCE:.0f} s")
    else:
        ahead = snapshot.header.saved - wall()
        if ahead > _APART:  # the clock was wrong then or is now, and the zone in the snapshot is the same
            log.warning("snapshot of the zone is from the future by this clock", seconds=round(ahead))
        return snapshot
    return None


async def save(folder: Path, header: Header, objects: Callable[[Kind], Iterator[Object]]) -> int:
    """Replace the snapshot in the folder by one of what `objects` gives of each kind; return its size in octets.

    The zone may change meanwhile. Whatever happens, the folder has the old snapshot or the new one. Raises OSError.
    """
    encode = msgspec.msgpack.Encoder().encode
    writer = await trio.to_thread.run_sync(_Writer, folder, abandon_on_cancel=True)
    try:
        buffer = bytearray(_MAGIC + _part(encode(("header", header))))
        count = 0
        for kind in header.versions:
            source = objects(kind)
            while objects_of_part := list(islice(source, YIELD_EVERY)):
                buffer += _part(encode((kind, objects_of_part)))
                count += 1
                if len(buffer) >= _WRITE:
                    await trio.to_thread.run_sync(writer.write, bytes(buffer), abandon_on_cancel=True)
                    buffer.clear()
                else:
                    await trio.lowlevel.checkpoint()
        buffer += _part(encode(("end", count)))
        await trio.to_thread.run_sync(writer.finish, bytes(buffer), abandon_on_cancel=True)
    finally:
        with trio.move_on_after(_FAREWELL, shield=True):
            await trio.to_thread.run_sync(writer.close, abandon_on_cancel=True)
    return writer.size


def _remove_abandoned(path: Path) -> None:
    """Remove a file that was begun by a process that is gone. Whoever still writes one, as in an update, locks it."""
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(file)


class _Writer:
    """Writes a new file beside the old one; at the end it takes the place of the old one. All methods block.

    An abandoned thread may still be in a method when another thread closes the file: `close` then waits.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a file. Raises OSError."""
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{NAME}.*.new"):
            _remove_abandoned(left)
        self._folder = folder
        # As tempfile.mkstemp does it, which takes 0.6 MiB with what it imports.
        path = str(folder / f"{NAME}.{os.urandom(8).hex()}.new")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._path: str | None = path
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add to the file. Raises OSError."""
        with self._lock:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self.size += len(data)

    def finish(self, data: bytes) -> None:
        """Add the last of it and put the file where the old one is. Raises OSError."""
        assert self._path is not None  # it is finished once
        with self._lock:
            self.write(data)
            os.fsync(self._file)
            Path(self._path).rename(self._folder / NAME)
            self._path = None
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # only then does the rename outlive a power cut
        finally:
            os.close(folder)

    def close(self) -> None:
        """Leave nothing behind."""
        with self._lock:
            os.close(self._file)
            self._file = -1  # its number may be a socket's by the time that an abandoned thread gets here
            if self._path is not None:
                with suppress(OSError):
                    Path(self._path).unlink()


def _part(body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _read(path: Path, whose: Identity, now: float) -> Snapshot:
    """Return a snapshot that is complete, of this zone and not too old. Raises OSError and _UnusableError."""
    data = _octets(path)
    if not data.startswith(_MAGIC):
        raise _UnusableError("it is not a snapshot of a zone")
    try:
        parts = _parts(memoryview(data)[len(_MAGIC) :])
        label, raw = next(parts, ("", msgspec.Raw()))
        if label != "header":
            raise _UnusableError("truncated" if not label else "it begins without a header")
        header = _header(raw, whose, now)
        held: list[tuple[Kind, msgspec.Raw]] = []
        for label, raw in parts:
            if label == "end":
                if msgspec.msgpack.decode(raw, type=int) != len(held) or next(parts, None):
                    raise _UnusableError("corrupt: parts are missing, or are there twice")
                return Snapshot(header, held, len(data))
            held.append((Kind(label), raw))
    except (msgspec.MsgspecError, ValueError) as error:
        raise _UnusableError(f"corrupt: {error}") from None
    raise _UnusableError("truncated: it has no end")


def _octets(path: Path) -> bytes:
    """Return the octets of a regular file of bounded size, and never wait for it. Raises OSError, _UnusableError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise _UnusableError("it is not a regular file")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  (a descriptor)
        data = file.read(min(found.st_size, LARGEST) + 1)  # as much is taken before it looks
    if len(data) > LARGEST:
        raise _UnusableError(f"it has more than {LARGEST >> 20} MiB")
    return data


def _parts(data: memoryview) -> Iterator[tuple[str, msgspec.Raw]]:
    """Yield each part, after its checksum is verified. Raises _UnusableError and msgspec.MsgspecError."""
    position = 0
    while position < len(data):
        start = position + _HEAD.size
        if start > len(data):
            raise _UnusableError("truncated")
        size, checksum = _HEAD.unpack(data[position:start])
        position = start + size
        if position > len(data):
            raise _UnusableError("truncated")
        if zlib.crc32(data[start:position]) != checksum:
            raise _UnusableError("corrupt: a checksum is wrong")
        yield _PART.decode(data[start:position])


def _header(raw: msgspec.Raw, whose: Identity, now: float) -> Header:
    """Return the header of a snapshot that may be used. Raises _UnusableError and msgspec.MsgspecError."""
    found: Any = msgspec.msgpack.decode(raw, type=_Format).format
    if found != FORMAT:
        raise _UnusableError(f"it has format {found}, expected {FORMAT}")
    header = msgspec.msgpack.decode(raw, type=Header)
    if not whose.fits(header.whose):
        raise _UnusableError(f"it belongs to {_shown(header.whose)}, expected {_shown(whose)}")
    age = now - header.saved
    if age > TOO_OLD:
        raise _UnusableError(f"it is {age / 86_400:.1f} days old, expected at most {TOO_OLD / 86_400:.0f}")
    return header


def _shown(whose: Identity) -> str:
    return f"{whose.domain} from {whose.source}"
