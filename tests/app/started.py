"""The server as a user starts it, with its output, and with what it leaves behind at its end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from tests.cluster import namespace, service
from tests.running import HOST, write_objects

PATIENCE = 30.0
DRAIN = 1.5


class Program:
    """The server as a user starts it, and what it has said."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said = b""
        self._news = trio.Event()
        self._is_silent = trio.Event()
        self._reading = trio.CancelScope()

    async def read(self) -> None:
        assert self.process.stderr is not None
        with self._reading:
            async for data in self.process.stderr:
                self.said += data
                self._news.set()
                self._news = trio.Event()
            self._is_silent.set()

    def stop_reading(self) -> None:
        """Leave all that it says from now on in the pipe."""
        self._reading.cancel()

    async def wait_says(self, event: str) -> dict[str, Any]:
        with trio.fail_after(PATIENCE):
            while True:
                for line in self.said.splitlines():
                    with suppress(ValueError):
                        if (entry := json.loads(line))["event"] == event:
                            found: dict[str, Any] = entry
                            return found
                await self._news.wait()

    async def wait_heeds(self) -> None:
        """Wait until it has said what signals do, in its first lines of code, of which SIGTERM is the last."""
        mask = 1 << signal.SIGTERM - 1
        with trio.fail_after(PATIENCE):
            while not int(status_of(self.process.pid).get("SigCgt", "0"), 16) & mask:  # noqa: ASYNC110
                await trio.sleep(0.001)

    async def wait_ends(self) -> int:
        with trio.fail_after(PATIENCE):
            return await self.process.wait()

    async def wait_silent(self) -> None:
        """Wait until all that it has said is read, and nobody is left who may say more."""
        with trio.fail_after(PATIENCE):
            await self._is_silent.wait()

    @property
    def tracebacks(self) -> int:
        return self.said.count(b"Traceback")


def status_of(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def began(pid: int) -> int:
    """When a process began, in ticks of the kernel's clock; 0 if it has ended (proc(5), field 22 of stat)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def children(parent: int) -> list[int]:
    """Processes that it has started itself and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        status = status_of(int(folder.name))
        if status.get("PPid") == str(parent) and status["State"][0] != "Z":
            found.append(int(folder.name))
    return found


def left_behind(folder: Path) -> list[int]:
    """Processes with this test's own folder in their environment, whoever their parent is by now; only to look at."""
    mark = f"MARK={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [pid for pid in found if status_of(pid).get("State", "Z")[0] != "Z"]


@asynccontextmanager
async def program(
    folder: Path,
    *flags: str,
    source: Sequence[str] | None = None,
    text: str = "",
    prelude: str = "",
    drain: float = DRAIN,
) -> AsyncIterator[Program]:
    """Start it; `text` is more of its configuration, `prelude` is run before its first line."""
    settings = folder / "dnsserver.toml"
    settings.write_text(f"drain = {drain}\nupstreams = []\n{text}")
    if source is None:
        source = ["--objects", str(write_objects(folder, [namespace("shop"), service("web", "10.9.0.1")]))]
    code = f"{prelude}from dnsserver.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, "serve", "--config", str(settings), *source, *flags]
    command += ["--admin", f"{HOST}:0"] + ([] if "--listen" in flags else ["--listen", f"{HOST}:0"])
    env = {**os.environ, "MARK": str(folder)}
    async with spawned(command, env) as process, trio.open_nursery() as nursery:
        found = Program(process)
        nursery.start_soon(found.read)
        yield found
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def spawned(command: Sequence[str], env: Mapping[str, str] | None = None) -> AsyncIterator[trio.Process]:
    """Start a process whose standard error is a pipe; it has gone afterwards, whatever happens."""
    process = await trio.lowlevel.open_process(list(command), stderr=subprocess.PIPE, env=env)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
