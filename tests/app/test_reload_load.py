"""Changes of the configuration under load, in real processes: nothing is lost, and each answer is of one of them."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from dnsserver.app.listeners import LINGER
from tests.app.changing import Changing, changing
from tests.app.started import children
from tests.running import HOST

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="shares ports between processes")]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_question_is_lost_and_every_answer_is_of_a_configuration_in_force(
    tmp_path: Path, workers: str
) -> None:
    lag = 2 if workers == "2" else 0  # a worker hears of a change through its pipe
    async with changing(tmp_path, "--workers", workers, lag=lag) as server, trio.open_nursery() as nursery:
        done = trio.Event()
        nursery.start_soon(server.load, 300, 12, done)
        with trio.fail_after(120):
            await server.change(24, pause=0.15)
        done.set()
    found = server.found
    assert (found.good, found.bad) == (18, 6)
    assert found.asked > 300
    assert (found.lost, found.wrong) == (0, 0), found.said


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_question_is_lost_when_one_address_becomes_all_of_them_and_back(tmp_path: Path, workers: str) -> None:
    lag = 2 if workers == "2" else 0
    async with changing(tmp_path, "--workers", workers, lag=lag) as server, trio.open_nursery() as nursery:
        server.hosts = (HOST, "0.0.0.0")
        done = trio.Event()
        nursery.start_soon(server.load, 300, 24, done)
        with trio.fail_after(120):
            await server.change(7, pause=1.0)  # within the last seconds of the one that was given up before, and after
            await trio.sleep(4.0)
        done.set()
    found = server.found
    assert (found.good, found.bad) == (6, 1)
    assert found.asked > 1000
    assert (found.lost, found.wrong) == (0, 0), found.said


async def _stopped_at_its_start(server: Changing) -> int:
    """Replace the worker, and stop its successor before it can have read anything; return which process that is.

    Until it runs a program of its own, the first process waits for it (vfork(2)): to stop it then would stop both.
    """
    (before,) = children(server.pid)
    os.kill(before, signal.SIGKILL)
    while not (others := set(children(server.pid)) - {before}):  # noqa: ASYNC110
        await trio.sleep(0.001)
    (worker,) = others
    while b"dnsserver.app.worker" not in Path(f"/proc/{worker}/cmdline").read_bytes():  # noqa: ASYNC110, ASYNC240
        await trio.sleep(0.001)
    os.kill(worker, signal.SIGSTOP)
    return worker


@pytest.mark.parametrize("changes", [1, 2])
@pytest.mark.parametrize("seconds", [0.5, LINGER + 0.5])
async def test_no_question_is_lost_when_addresses_change_while_a_worker_starts(
    tmp_path: Path, changes: int, seconds: float
) -> None:
    """The sockets that were opened for it are those of an address that is not in force once it has started."""
    async with changing(tmp_path, "--workers", "2", lag=2) as server, trio.open_nursery() as nursery:
        server.hosts = (HOST, "0.0.0.0")
        worker = await _stopped_at_its_start(server)
        done = trio.Event()
        nursery.start_soon(server.load, 300, 24, done)
        with trio.fail_after(120):
            await server.change(1)
            await trio.sleep(seconds)
            if changes == 2:
                await server.change(2)
            os.kill(worker, signal.SIGCONT)
            while (await server.metrics())["dnsserver_workers"].value < 2:  # noqa: ASYNC110
                await trio.sleep(0.05)
            await trio.sleep(LINGER + 1.0)
        assert worker in children(server.pid)
        done.set()
    found = server.found
    assert found.asked > 300
    assert (found.lost, found.wrong) == (0, 0), found.said
