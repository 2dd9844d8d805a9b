"""The program as a process: started, watched through its log, asked over sockets, told to end."""

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from time import monotonic, sleep
from typing import Any

import dns.message
import dns.query

FOLDER = Path(__file__).parents[2]
PATIENCE = 20.0  # seconds
_LOOK = 0.01  # seconds between two looks at a condition of another process


class Program:
    """A process of this package; its log is read as it comes."""

    def __init__(self, *arguments: str, before: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", *arguments],
            cwd=FOLDER,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[dict[str, Any]] = []
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait for an event in the log."""
        ends = monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, ends - monotonic()))
            except Empty:
                raise AssertionError(f"no {event!r} in the log: {self.log}") from None
            self.log.append(json.loads(line) if line.startswith("{") else {"text": line})
            if self.log[-1].get("event") == event:
                return self.log[-1]

    def first_line(self) -> str:
        """Return the first line of standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


class Served(Program):
    """A server; `port` and `admin` are where it serves, after `wait_serving`."""

    def __init__(self, *flags: str, before: Sequence[str] = ()) -> None:
        super().__init__("dnsserver", "serve", *flags, before=before)
        self.port = 0
        self.admin = ""

    def wait_serving(self) -> None:
        serving = self.wait_for("serving")
        self.port = int(serving["listen"][0].rpartition(":")[2])
        self.admin = f"http://{serving['admin']}"

    def ask(self, name: str, type_: str = "A", *, tcp: bool = False) -> dns.message.Message:
        query = dns.message.make_query(name, type_)
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(query, "127.0.0.1", port=self.port, timeout=PATIENCE)

    def addresses(self, name: str, type_: str = "A") -> set[str]:
        return {rdata.to_text() for rrset in self.ask(name, type_).answer for rdata in rrset}

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        try:
            with urllib.request.urlopen(self.admin + path, timeout=PATIENCE) as response:  # noqa: S310 - http only
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def served(*flags: str, before: Sequence[str] = ()) -> Iterator[Served]:
    """Run a server during the block; the block begins when it serves."""
    server = Served(*flags, before=before)
    try:
        server.wait_serving()
        yield server
    finally:
        server.close()


def wait_until(condition: Callable[[], object]) -> float:
    """Look again and again until a condition of another process holds; return how many seconds it took."""
    began = monotonic()
    while not condition():
        assert monotonic() < began + PATIENCE, f"never true: {condition}"
        sleep(_LOOK)
    return monotonic() - began
