"""The end of the server: after one signal, after two, during its start; what it leaves, and what does not end it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.app.started import DRAIN, PATIENCE, Program, children, left_behind, program
from tests.free_port import free_port
from tests.running import HOST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

A_LITTLE = 25.0  # seconds beyond the drain, on a busy machine; what hangs here does so for 1,000
IDLE = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


async def nothing_left(folder: Path) -> None:
    """Wait a moment for what the kernel ends by itself."""
    left = [0]
    with trio.move_on_after(2.0):
        while left := left_behind(folder):  # noqa: ASYNC110
            await trio.sleep(0.05)
    assert not left


def hanging_plugin(folder: Path) -> Sequence[str]:
    """A kubeconfig whose plugin for credentials never answers."""
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["1000"],
                     "interactiveMode": "Never"}}  # fmt: skip
    return _kubeconfig(folder, "https://127.0.0.1:1", user)


def hanging_api(folder: Path, port: int) -> Sequence[str]:
    """A kubeconfig of an API server at a port."""
    return _kubeconfig(folder, f"http://{HOST}:{port}", {})


def _kubeconfig(folder: Path, server: str, user: Mapping[str, object]) -> Sequence[str]:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return ["--kubeconfig", str(path)]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_idle_signals_end_nothing_at_any_time(tmp_path: Path, workers: str) -> None:
    async with program(tmp_path, "--workers", workers) as running:
        await running.wait_heeds()

        async def shower() -> None:
            """All of them, to the server and its children, every few milliseconds, before the event loop and after."""
            while True:
                for number in IDLE:
                    running.process.send_signal(number)
                    for pid in children(running.process.pid):
                        with suppress(ProcessLookupError):
                            os.kill(pid, number)
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(shower)
            await running.wait_says("serving")
            with trio.fail_after(PATIENCE):
                while len(children(running.process.pid)) != int(workers) - 1:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            running.process.terminate()
            await running.wait_says("draining")
            assert await running.wait_ends() == 0
            nursery.cancel_scope.cancel()
        assert b"replaced" not in running.said
        assert not running.tracebacks


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_while_it_starts_it_ends_and_leaves_nothing(
    tmp_path: Path, delay: float, number: signal.Signals
) -> None:
    async with program(tmp_path, "--workers", "2", source=hanging_plugin(tmp_path)) as running:
        await running.wait_heeds()
        await trio.sleep(delay)
        begun = time.monotonic()
        os.kill(running.process.pid, number)
        assert await running.wait_ends() in {0, 130 if number == signal.SIGINT else 0}
        assert time.monotonic() - begun < A_LITTLE  # nobody has been served, who would have to be drained
        assert not running.tracebacks
        await nothing_left(tmp_path)


async def test_once_drains_and_says_that_a_second_time_ends_it(tmp_path: Path) -> None:
    async with program(tmp_path, "--workers", "2") as running:
        await running.wait_says("serving")
        begun = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert "Ctrl-C again" in (await running.wait_says("draining"))["hint"]
        running.process.terminate()  # a second SIGTERM is no impatience: service managers repeat it
        assert await running.wait_ends() == 0
        assert DRAIN <= time.monotonic() - begun < DRAIN + A_LITTLE
        assert not running.tracebacks
        await nothing_left(tmp_path)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_interrupt_ends_it_at_once(tmp_path: Path, first: signal.Signals) -> None:
    async with program(tmp_path, "--workers", "2", drain=10 * PATIENCE) as running:
        await running.wait_says("serving")
        running.process.send_signal(first)
        await running.wait_says("draining")
        running.process.send_signal(signal.SIGINT)
        assert await running.wait_ends() == 130  # long before the drain is over
        assert not running.tracebacks
        await nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("flags", "text", "said"),
    [
        (["--listen", "192.0.2.1:53"], "", "192.0.2.1:53"),
        ([], 'static = ["missing.zone"]\n', "missing.zone"),
    ],
    ids=["address", "zone"],
)
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_start_that_fails_leaves_no_process(
    tmp_path: Path, flags: list[str], text: str, said: str, workers: str
) -> None:
    source = hanging_plugin(tmp_path)
    async with program(tmp_path, *flags, "--workers", workers, source=source, text=text) as running:
        assert await running.wait_ends() in {1, 2}
        assert said.encode() in running.said
        assert not running.tracebacks
        await nothing_left(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_leaves_no_thread(tmp_path: Path, workers: int) -> None:
    _, kubeconfig = hanging_plugin(tmp_path)
    file = tmp_path / "c.toml"
    listen = [f"{HOST}:0", "192.0.2.1:53"]
    file.write_text(f"listen = {json.dumps(listen)}\nkubeconfig = {json.dumps(kubeconfig)}\nworkers = {workers}\n")
    code = (
        "import os, subprocess, threading\n"
        "from pathlib import Path\n"
        "from dnsserver.app import run\n"
        "import dnsserver.app.server\n"
        "from dnsserver.config import read\n"
        f"assert run(read(Path({str(file)!r}))) == 1\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert not Path(f'/proc/self/task/{os.getpid()}/children').read_text()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


# A folder on a network that is gone: whoever reads or writes there waits for ever, in a system call.
_HANG = (
    "import os, time, pathlib\n"
    "def hang(*_, **__):\n"
    "    open(os.environ['MARK'] + '/hangs', 'w').close()\n"
    "    time.sleep(1000)\n"
)
HANGING = {
    "write": (
        "real = os.write\n"
        "new = lambda fd: os.readlink(f'/proc/self/fd/{fd}').endswith('.new')\n"
        "os.write = lambda fd, data: hang() if new(fd) else real(fd, data)\n"
    ),
    "sync": "os.fsync = hang\n",
    "mkdir": "pathlib.Path.mkdir = hang\n",
    "look": (
        "look, mark = pathlib.Path.stat, os.environ['MARK']\n"
        "pathlib.Path.stat = lambda path, **how: hang() if os.path.exists(mark + '/gone') else look(path, **how)\n"
    ),
}


@pytest.mark.parametrize("hanging", HANGING)
async def test_draining_waits_for_no_file(tmp_path: Path, hanging: str) -> None:
    text = f'state = "{tmp_path}/state"\n'
    async with program(tmp_path, text=text, prelude=_HANG + HANGING[hanging]) as running:
        await running.wait_says("serving")
        (tmp_path / "gone").touch()
        with trio.fail_after(PATIENCE):
            while hanging == "look" and not (tmp_path / "hangs").exists():  # noqa: ASYNC110
                await trio.sleep(0.02)
        begun = time.monotonic()
        running.process.terminate()
        assert await running.wait_ends() == 0
        assert time.monotonic() - begun < DRAIN + A_LITTLE
        assert not running.tracebacks
        # The state folder's thread is left to itself; for the others there is a limit.
        assert (b'"ended"' in running.said) == (hanging != "look")


# The log is a pipe of one page that nobody reads, or one whose reader has gone; a worker hangs; the API server says
# nothing. Without the limit on the end, only an end in good order is one.
HOLDING = {
    "full": (["--workers", "1"], False, False),
    "full, two processes": (["--workers", "2"], False, False),
    "closed": (["--workers", "2"], True, False),
    "full, a worker hangs": (["--workers", "2"], False, True),
}
_NO_LIMIT = "import threading\nthreading.Timer.start = lambda timer: None\n"
_QUERY_LOG = '[[query_log]]\nclasses = ["all"]\nrate = 0\n'


async def wait_log_full(running: Program, port: int) -> None:
    """Ask until the pipe, of one page, has held the same for a while: its writer waits for room for the next lines."""
    assert isinstance(running.process.stderr, trio.lowlevel.FdStream)
    log = running.process.stderr.fileno()
    fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock, trio.fail_after(PATIENCE):
        await sock.connect((HOST, port))
        looks = [0]
        while not looks[-1] or looks[-10:] != 10 * looks[-1:]:
            for number in range(50):
                with suppress(ConnectionRefusedError):  # it does not listen yet
                    await sock.send(b"\0\1\1\0\0\1\0\0\0\0\0\0\1%d\4shop\0\0\1\0\1" % (number % 10))
            await trio.sleep(0.05)
            looks.append(int.from_bytes(fcntl.ioctl(log, termios.FIONREAD, bytes(4)), sys.byteorder))


@pytest.mark.parametrize("case", HOLDING)
@pytest.mark.parametrize("api_hangs", [False, True], ids=["files", "an API server that says nothing"])
async def test_no_log_and_no_worker_holds_up_the_end(tmp_path: Path, case: str, api_hangs: bool) -> None:
    flags, closed, stopped = HOLDING[case]
    with socket.create_server((HOST, 0)) as silent:
        source = hanging_api(tmp_path, silent.getsockname()[1]) if api_hangs else None
        listen = ["--listen", f"{HOST}:{free_port()}"]
        async with program(tmp_path, *flags, *listen, source=source, text=_QUERY_LOG, prelude=_NO_LIMIT) as running:
            if not api_hangs:
                await running.wait_says("serving")
            with trio.fail_after(PATIENCE):
                while len(children(running.process.pid)) != int(flags[1]) - 1:  # noqa: ASYNC110
                    await trio.sleep(0.02)
            running.stop_reading()
            if closed:
                assert running.process.stderr is not None
                await running.process.stderr.aclose()
            else:
                await wait_log_full(running, int(listen[1].rpartition(":")[2]))
            for pid in children(running.process.pid) if stopped else ():
                os.kill(pid, signal.SIGSTOP)
            begun = time.monotonic()
            running.process.terminate()
            assert await running.wait_ends() == 0
            assert time.monotonic() - begun < DRAIN + A_LITTLE
            assert not running.tracebacks
            await nothing_left(tmp_path)
