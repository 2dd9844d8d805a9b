"""Changes of the configuration under load, in real processes: nothing is lost, and each answer is of one of them."""

import sys
from pathlib import Path

import pytest
import trio

from tests.app.changing import changing
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
