"""`dnsserver top` as a user starts it: on a terminal until a key ends it, and once for programs."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec
import pytest

from dnsserver.traffic.report import FailureList, Top
from tests.cli.shown import FAILURES, TOP

HOST = "127.0.0.1"
PATIENCE = 20.0
COMMAND = [sys.executable, "-m", "dnsserver", "top"]


class Pages:
    """A server's pages, as often as it is started, and what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.asked.append(self.path)
                body = msgspec.json.encode(FAILURES if self.path.startswith("/failures") else TOP)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, self.port), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    made.start()
    yield made
    made.stop()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.parametrize("once", [(), ("--once",)])
def test_where_there_is_no_terminal_it_is_printed_once_as_plain_text(pages: Pages, once: tuple[str, ...]) -> None:
    done = run("--server", f"{HOST}:{pages.port}", *once, "--window", "5", "--limit", "7")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "10.0.0.1 shop/web-0 61,234 ±700 68.0 %" in lines
    assert "192.0.2.1:53 down - 20 silent 20, failed 3" in lines
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 200
    assert pages.asked == ["/top?window=5&limit=7", "/failures?limit=7&missing=no"]


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        (("--client", "10.0.0.1"), "client=10.0.0.1"),
        (("--name", "web.shop", "--window", "15", "--json"), "name=web.shop"),
    ],
)
def test_one_client_or_one_name_is_asked_about(pages: Pages, flags: tuple[str, ...], asked: str) -> None:
    done = run("--server", f"{HOST}:{pages.port}", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = pages.asked
    assert path == f"/top?window={15 if '15' in flags else 1}&limit=20&{asked}"


def test_a_client_and_a_name_do_not_go_together() -> None:
    done = run("--client", "10.0.0.1", "--name", "web.shop")
    assert done.returncode == 2
    assert "--client and --name do not go together" in done.stderr


def test_as_json_it_has_what_the_server_says(pages: Pages) -> None:
    done = run("--server", f"{HOST}:{pages.port}", "--json")
    found = json.loads(done.stdout)
    assert msgspec.convert(found["top"], Top) == TOP
    assert msgspec.convert(found["failures"], FailureList) == FAILURES
    assert pages.asked == ["/top?window=1&limit=20", "/failures?limit=20&missing=yes"]


@pytest.mark.parametrize("how", ["--once", "--json"])
def test_a_server_that_is_not_there_is_told_and_is_status_2(pages: Pages, how: str) -> None:
    pages.stop()
    done = run("--server", f"{HOST}:{pages.port}", how)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no server answers at {HOST}:{pages.port}" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("--window", "2"), ("--limit", "0"), ("--limit", "101"), ("--every", "0"), ("--server", "nowhere")]
)
def test_a_mistake_in_a_flag_is_told(arguments: tuple[str, str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


class Terminal:
    """A program on a terminal."""

    def __init__(self, *arguments: str) -> None:
        self._mine, theirs = os.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "50"}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        self.text = ""

    def wait_says(self, *wanted: str) -> None:
        """Wait until all of this was said since the last time."""
        end = time.monotonic() + PATIENCE
        while not all(each in self.text for each in wanted):
            assert time.monotonic() < end, (wanted, self.text[-3000:])
            self._read()
        self.text = ""

    def press(self, key: str) -> None:
        os.write(self._mine, key.encode())

    def wait_end(self) -> int:
        """Read to the end, and return the status."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        with suppress(OSError):  # nobody has the other end any more
            if select.select([self._mine], [], [], 0.1)[0]:
                self.text += os.read(self._mine, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    made = Terminal(*arguments)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal")
def test_on_a_terminal_it_goes_on_until_a_key_ends_it(pages: Pages) -> None:
    with terminal("--server", f"{HOST}:{pages.port}", "--every", "0.2") as shown:
        shown.wait_says("Clients that ask most", "shop/web-0", "q ends")
        shown.press("5")
        shown.wait_says("The last minute")  # as the pages say whatever is asked
        end = time.monotonic() + PATIENCE
        while not any("window=5" in path for path in pages.asked):
            assert time.monotonic() < end
            shown.wait_says("shop/web-0")
        pages.stop()
        shown.wait_says("no answer for", "shop/web-0")  # with what it said last
        pages.start()
        pages.asked.clear()
        end = time.monotonic() + PATIENCE
        while not pages.asked:
            assert time.monotonic() < end
            shown.wait_says("shop/web-0")
        shown.press("q")
        assert shown.wait_end() == 0
        assert "\x1b[?1049l" in shown.text  # the terminal has again what it had


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal")
def test_ctrl_c_ends_it_as_well(pages: Pages) -> None:
    with terminal("--server", f"{HOST}:{pages.port}", "--every", "30") as shown:
        shown.wait_says("Clients that ask most", "shop/web-0")
        shown.process.send_signal(2)
        assert shown.wait_end() == 0
