"""One run of the program with a mistake: what it logs until it serves or ends, and what /readyz says then."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

from tests.e2e.page import agree
from tests.e2e.process import FOLDER, PATIENCE

Line = dict[str, Any]


class Observed(NamedTuple):
    """`status`: the exit status, None if the program went on; `ready` and `page`: status and body of /readyz then."""

    status: int | None
    log: list[Line]
    ready: int
    page: str

    def line(self, says: str) -> Line:
        """Return the first line of the log with that text in one of its fields."""
        found = (line for line in self.log if any(says in str(value) for value in line.values()))
        line = next(found, None)
        assert line is not None, f"{says!r} is not in {self.log}"
        return line


def observe(
    folder: Path,
    *flags: str,
    until: Callable[[Line], object],
    environment: dict[str, str] | None = None,
    linger: float = 0.0,
) -> Observed:
    """Run `serve` until `until` accepts a line of its log, or until it ends; `folder` is for its settings.

    `linger`: seconds that it runs on after that line, so that repeated lines are seen.
    """
    settings = folder / "observed.toml"
    settings.write_text('listen = ["127.0.0.1:0"]\nupstreams = []\ndrain = 0\n')
    command = [sys.executable, "-m", "dnsserver", "serve", "--config", str(settings), *flags]
    process = subprocess.Popen(
        command, cwd=FOLDER, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    assert process.stderr is not None
    log: list[Line] = []

    def read(text: str) -> Line:
        log.append(json.loads(text) if text.startswith("{") else {"event": text, "level": "unstructured"})
        return log[-1]

    try:
        for text in process.stderr:
            if until(read(text)):
                sleep(linger)
                ready, page = readiness(flags)
                process.send_signal(signal.SIGTERM)
                for rest in process.stderr:
                    read(rest)
                assert process.wait(PATIENCE) == 0
                return Observed(None, log, ready, page)
        return Observed(process.wait(PATIENCE), log, 0, "")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def readiness(flags: tuple[str, ...]) -> tuple[int, str]:
    """Return status and body of /readyz, at the address that the flags name."""
    url = f"http://{flags[flags.index('--admin') + 1]}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def in_page(table: str, name: str, seen: Observed, says: str, folder: Path) -> None:
    """Expect that docs/troubleshooting.md has what was seen."""
    line = seen.line(says)
    text = (
        str(line["event"]) if says == line["event"] and "error" not in line else str(line.get("error", line["event"]))
    )
    says = says if says in text else text[:12]
    ended = "serves" if seen.status is None else seen.status
    agree(table, name, says, text.replace(f"{folder}/", ""), line["level"], ended, seen.ready or "-")
