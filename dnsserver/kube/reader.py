"""Asks a process of its own (`reading`) what files of objects say. Questions are answered meanwhile, even if it dies.

If the process does not come to its end, only the file that it was reading is lost; another process reads the rest.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec
import trio

from dnsserver.kube.content import HEAD, TIME, Content, Done, Findings, Key, Look, look_at
from dnsserver.kube.orphan import signals_held
from dnsserver.zone.model import KINDS, Kind, Object

Process = subprocess.Popen[bytes]

_PIECE = 1 << 16
_LONGEST = 64 << 20  # octets in a frame
_NAMES = 32 << 10  # octets of names that one process is given
_END = 1.0  # seconds for its end to be known; later it is init's

_FRAME = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
_DONE = msgspec.msgpack.Decoder(Done)
_OBJECTS = {kind: msgspec.msgpack.Decoder(list[each]) for each, kind in KINDS.items()}  # type: ignore[valid-type]


class _ReaderDiedError(Exception):
    """The process ended in the middle; the text says why."""


async def read_files(paths: Sequence[Path]) -> AsyncGenerator[tuple[Path, Look, Content]]:
    """Give what each file looks like and says; one that ends its reader cannot be used. Raises OSError."""
    left = list(paths)
    while left:
        batch = _batch(left)
        process = _begin(batch)
        try:
            assert process.stdout is not None
            async with trio.lowlevel.FdStream(os.dup(process.stdout.fileno())) as stream:
                frames = _Frames(stream)
                for path in batch:
                    content = Content()
                    look, whole = await _one(frames, content, path, process)
                    yield left.pop(0), look, content
                    if not whole:
                        break
        finally:
            await _end(process)


def _batch(paths: Sequence[Path]) -> list[Path]:
    """Return as many paths as fit into a command line."""
    batch, size = [paths[0]], 0
    for path in paths[1:]:
        size += len(os.fsencode(path))
        if size > _NAMES:
            break
        batch.append(path)
    return batch


async def _one(frames: "_Frames", content: Content, path: Path, process: Process) -> tuple[Look, bool]:
    """Read the frames of one file into `content`; return the look of the file, and whether all frames came."""
    try:
        with trio.fail_after(TIME):
            return await frames.file(content), True
    except trio.TooSlowError:
        problem = f"reading it took longer than {TIME} s"
    except _ReaderDiedError:
        problem = f"reading it {await _death(process)}"
    except (msgspec.MsgspecError, ValueError) as error:
        problem = f"reading it gave invalid output: {error}"
    content.objects = {}
    content.findings = Findings([problem], readable=False)
    return await trio.to_thread.run_sync(look_at, path), False


class _Frames:
    """Reads the output of the process, frame by frame."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def file(self, content: Content) -> Look:
        """Read all frames of the next file. Raises _ReaderDiedError, msgspec.MsgspecError and ValueError."""
        while True:
            label, raw = _FRAME.decode(await self._next())
            if label == "done":
                done = _DONE.decode(raw)
                content.findings = done.findings
                return done.look
            kind = Kind(label)
            for thing in _OBJECTS[kind].decode(raw):
                content.objects[_key(kind, thing)] = thing

    async def _next(self) -> bytes:
        await self._fill(HEAD.size)
        (size,) = HEAD.unpack_from(self._buffer)
        if size > _LONGEST:
            raise ValueError(f"a frame of {size} octets")
        await self._fill(HEAD.size + size)
        frame = bytes(self._buffer[HEAD.size : HEAD.size + size])
        del self._buffer[: HEAD.size + size]
        await trio.lowlevel.checkpoint()
        return frame

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = await self._stream.receive_some(_PIECE)
            if not data:
                raise _ReaderDiedError
            self._buffer += data


def _begin(paths: Sequence[Path]) -> Process:
    # Not by trio, which starts it on a thread: with the thread that started it, the process would end.
    command = [sys.executable, "-m", "dnsserver.kube.reading", str(os.getpid()), *map(str, paths)]
    with signals_held():
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )


async def _end(process: Process) -> None:
    process.kill()
    with trio.CancelScope(shield=True):
        await _status(process)
    if process.stdout is not None:
        process.stdout.close()


async def _death(process: Process) -> str:
    status = await _status(process)
    if status is None:
        return "broke off"
    if status == -signal.SIGXCPU:
        return f"took more than {TIME} s of processor time"
    if status < 0:
        return f"ended its process by {signal.Signals(-status).name}"
    return f"ended its process with status {status}"


async def _status(process: Process) -> int | None:
    """Return how a process has ended, None if it has not within a second: a file system that hangs may hold it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return await trio.to_thread.run_sync(process.wait, _END)
    return None


def _key(kind: Kind, thing: Object) -> Key:
    return kind, thing.metadata.namespace, thing.metadata.name
