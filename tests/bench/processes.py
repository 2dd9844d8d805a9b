"""Programs under measurement: one started on a processor of its own, waited for, ended."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.questions import Manner, Question, encode
from tests.bench.cpu import Clock
from tests.free_port import free_port

# The server under test runs on the first processor, everything else on the last one.
PROCESSORS = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = PROCESSORS[0], PROCESSORS[-1]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
DEADLINE = 60.0  # seconds for a program to answer its first question
_QUIET, _LOOK = 0.02, 0.25  # a program is idle if it uses less than this share of so many seconds
_NOERROR, _RCODE = 0, 15


class Running(NamedTuple):
    """A DNS server that answers on 127.0.0.1."""

    name: str
    port: int
    clock: Clock
    admin: int = 0


def found(program: str) -> str | None:
    """Return the path of a program, None if it is missing; Debian's servers are not in an ordinary user's PATH."""
    return shutil.which(program, path=PATH)


def pinned(command: Sequence[str | Path], *processors: int) -> list[str | Path]:
    """Return the command pinned to these processors, if there are several."""
    if len(PROCESSORS) < 2 or not found("taskset"):
        return list(command)
    return ["taskset", "-c", ",".join(map(str, processors)), *command]


def ask(port: int, question: Question, seconds: float = 0.2) -> bytes:
    """Return the reply to one question over UDP. Raises TimeoutError, or another OSError if nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        client.connect(("127.0.0.1", port))
        client.send(b"\0\1" + encode(question, Manner()).tail)
        return client.recv(65535)


def answers(port: int, question: Question) -> bool:
    """Tell whether a server answers a question with records."""
    try:
        reply = ask(port, question)
    except OSError:
        return False
    return reply[3] & _RCODE == _NOERROR and reply[6:8] != b"\0\0"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> float:
    """Wait until the condition holds, and return the seconds that took. Raises TimeoutError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"expected within {seconds:.0f} s: {what}")
        time.sleep(0.01)
    return time.monotonic() - start


def wait_idle(clock: Clock) -> None:
    """Wait until a server that has just started has nothing left to do. Raises TimeoutError."""

    def quiet() -> bool:
        before = clock.seconds()
        time.sleep(_LOOK)
        return clock.seconds() - before < _QUIET * _LOOK

    wait_until(quiet, "a server without work")


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    port: int,
    question: Question,
    log: Path,
    *,
    processors: Sequence[int] = (MEASURED,),
    admin: int = 0,
) -> Iterator[Running]:
    """Run a server; the block begins when it answers `question`. Raises RuntimeError with its log if it ends before."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            pinned(command, *processors), stdout=out, stderr=out, env={**os.environ, "PATH": PATH}
        )
    try:
        wait_until(lambda: answers(port, question) or process.poll() is not None, f"an answer from {name}")
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once: {log.read_text(errors='replace')[-2000:]}")
        wait_idle(Clock(process.pid))
        yield Running(name, port, Clock(process.pid), admin)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def dnsserver(
    folder: Path,
    arguments: Sequence[str | Path],
    question: Question,
    *,
    processors: Sequence[int] = (MEASURED,),
) -> Iterator[Running]:
    """Run the server under test with its default settings; `arguments` say where its objects come from."""
    port, admin = free_port(), free_port()
    command: list[str | Path] = [sys.executable, "-m", "dnsserver", "serve", *arguments]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", "127.0.0.1:9"]
    with running(
        "dnsserver", command, port, question, folder / "dnsserver.log", processors=processors, admin=admin
    ) as server:
        yield server
