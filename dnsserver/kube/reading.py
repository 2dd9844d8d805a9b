"""Reads files of objects in a separate process, which their content may kill: by a crash, or by its memory or time.

    python -m dnsserver.kube.reading PID FILE...      prints frames: each file's objects, then what was found

PID is who asks. The parsers are bounded by themselves (`plain`); this is for what nobody thought of, for what holds
Python's lock for long, and for a file system that hangs. It needs 16 MiB and a tenth of a second of its own.
"""

import contextlib
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dnsserver.kube.content import HEAD, TIME, Content, Done, Findings, Look, look_at
from dnsserver.kube.documents import read
from dnsserver.kube.orphan import settle_in
from dnsserver.zone.model import Kind, Object

LARGEST = 64 << 20  # octets of a file
MEMORY = 1 << 30  # octets of address space of the process
_PIECE = 1 << 18  # octets read at once
YIELD_EVERY = 100  # objects in a frame, decoded between two turns of the event loop


class _RefusedError(Exception):
    """The path is something that is not read; the text says what it is."""


def read_file(path: Path) -> tuple[Look, Content]:
    """Return what a file says, and what it looks like after it was read; it never waits for a file to be written."""
    try:
        text = _text(path)
        content = read(text, json=path.suffix == ".json", name=path.name)
    except _RefusedError as error:
        content = _unusable(str(error))
    except OSError as error:
        content = _unusable((error.strerror or str(error)).lower())
    except MemoryError:
        content = _unusable(f"reading it needed more than {_allowed() >> 20} MiB of memory")
    except Exception as error:  # the border of this process: a bug of ours costs one file
        content = _unusable(f"reading it failed: {type(error).__name__}: {error}")
    return look_at(path), content


def _unusable(problem: str) -> Content:
    return Content({}, Findings([problem], readable=False))


def _text(path: Path) -> bytes:
    """Return the octets of a regular file. Raises OSError and _RefusedError."""
    _expect_regular(path.stat())  # before it is opened, which is an event to some devices
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123  (a descriptor)
        _expect_regular(os.fstat(handle))
        # Not `read(LARGEST + 1)`, which takes as much memory before it looks.
        pieces, size = [], 0
        while size <= LARGEST and (piece := file.read(_PIECE)) != b"":
            if piece is None:  # some files of /proc are regular ones and have to be waited for
                raise _RefusedError("it has no data that can be read without waiting: expected a regular file")
            pieces.append(piece)
            size += len(piece)
    if size > LARGEST:
        raise _RefusedError(f"it has grown to more than {LARGEST:,} octets, the most allowed")
    return b"".join(pieces)


def _expect_regular(found: os.stat_result) -> None:
    mode = found.st_mode
    if not stat.S_ISREG(mode):
        names = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFDIR: "folder"}
        raise _RefusedError(f"it is a {names.get(stat.S_IFMT(mode), 'device')}: expected a regular file")
    if found.st_size > LARGEST:
        raise _RefusedError(f"it has {found.st_size:,} octets: expected at most {LARGEST:,}")


def _frames(path: Path) -> Iterator[bytes]:
    encode = msgspec.msgpack.Encoder().encode
    look, content = read_file(path)
    by_kind: dict[Kind, list[Object]] = {}
    for (kind, _, _), thing in content.objects.items():
        by_kind.setdefault(kind, []).append(thing)
    for kind, things in by_kind.items():
        for start in range(0, len(things), YIELD_EVERY):
            yield encode((str(kind), things[start : start + YIELD_EVERY]))
    yield encode(("done", Done(look, content.findings)))


def _allowed() -> int:
    """Return how many octets of address space this process may have: `MEMORY`, or less if our parent limits it."""
    return min([MEMORY, *(limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit >= 0)])


def _bound_process() -> None:
    """Limit the memory and time of this process. If the system runs out of memory, this process is ended first."""
    resource.setrlimit(resource.RLIMIT_AS, (_allowed(), resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME, TIME + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def main(parent: str, *paths: str) -> None:
    """Print what each file says, as long as the process that asked is there."""
    settle_in(int(parent), signal.SIGKILL)
    _bound_process()
    for path in paths:
        for frame in _frames(Path(path)):
            sys.stdout.buffer.write(HEAD.pack(len(frame)) + frame)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
