"""Whatever happens to the log, the server and its workers answer, and count the lines that they could not write."""

import fcntl
import http.client
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from tests.e2e.process import FOLDER, PATIENCE, wait_until
from tests.free_port import free_port

pytestmark = pytest.mark.e2e

NAME = "web.shop.svc.cluster.local"


def unread(keep: ExitStack) -> int:
    """A pipe that holds a page, is full, and is not read."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        keep.callback(os.close, end)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"#")
    os.set_blocking(writing, True)
    return writing


def closed_pipe(keep: ExitStack) -> int:
    """A pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    keep.callback(os.close, writing)
    return writing


def full_device(keep: ExitStack) -> int:
    """A disk without room."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    keep.callback(os.close, descriptor)
    return descriptor


def nothing(keep: ExitStack) -> int:
    """No standard error at all: the shell that starts the server closes it."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    keep.callback(os.close, descriptor)
    return descriptor


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as response:
        text: str = response.read().decode()
        return text


def is_ready(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):  # a connection to a port that nobody has may meet itself
        return get(port, "/readyz").startswith("ready")
    return False


def answers(port: int) -> bool:
    """Ask from many ports, which the kernel spreads over the processes."""
    for _ in range(20):
        reply = dns.query.udp(dns.message.make_query(NAME, "A"), "127.0.0.1", port=port, timeout=PATIENCE)
        if not reply.answer:
            return False
    return True


@contextmanager
def serving(
    folder: Path, stderr: int, *, closed: bool, workers: int
) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Run a server with this standard error; gives the process, its port and that of admin HTTP."""
    port, admin = free_port(), free_port()
    (folder / "settings.toml").write_text("drain = 0.5\n")
    command = [sys.executable, "-m", "dnsserver", "serve", "--config", str(folder / "settings.toml")]
    command += ["--objects", "zones/demo", "--workers", str(workers)]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", "127.0.0.1:9"]
    if closed:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    process = subprocess.Popen(command, cwd=FOLDER, stderr=stderr, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(admin))
        assert process.poll() is None
        yield process, port, admin
    finally:
        process.kill()
        process.wait()


def lost(admin: int) -> float:
    found = re.search(r"^dnsserver_log_lines_lost_total (\S+)$", get(admin, "/metrics"), re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("log", [unread, closed_pipe, full_device, nothing])
def test_it_answers_and_ends_as_it_should(log: Callable[[ExitStack], int], workers: int, tmp_path: Path) -> None:
    with (
        ExitStack() as keep,
        serving(tmp_path, log(keep), closed=log is nothing, workers=workers) as (process, port, admin),
    ):
        assert answers(port)
        if log is not unread:  # whose lines still wait
            wait_until(lambda: lost(admin))
        dns.query.udp(dns.message.make_query("example.org", "A"), "127.0.0.1", port=port, timeout=PATIENCE)
        assert answers(port)
        assert get(admin, "/healthz") == "ok\n"
        process.send_signal(signal.SIGTERM)
        assert answers(port)  # while it drains
        assert process.wait(PATIENCE) == 0
