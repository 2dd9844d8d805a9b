import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import partial

import pytest
import trio

from loadtest.cost import ProcessGoneError
from loadtest.measure import Options, measure, server_text
from loadtest.questions import Question
from tests.loadtest.servers import echo, reply, udp_server

NAMES = [Question("a.example", "A")]


async def test_outstanding_questions_are_shared_out_and_idle_clients_left_out() -> None:
    async with udp_server(echo) as port:
        report = await trio.to_thread.run_sync(
            partial(measure, Options(("127.0.0.1", port), count=10, outstanding=3, clients=8), NAMES)
        )
    assert (report.setting.clients, report.setting.outstanding) == (3, 3)
    assert report.setting.server == server_text(("127.0.0.1", port)) == f"127.0.0.1#{port}"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_a_server_that_dies_under_the_load_still_has_a_report() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:  # noqa: ASYNC220 - it is not waited for

        def kill(query: bytes) -> Iterable[bytes]:
            if other.returncode is None:
                other.kill()
                other.wait()
            yield reply(query)

        async with udp_server(kill) as port:
            options = Options(("127.0.0.1", port), count=20_000, pids=(other.pid,))
            report = await trio.to_thread.run_sync(partial(measure, options, NAMES))
    assert report.counts.answered == 20_000
    assert report.cost.server_us is None
    assert any("ended during the run" in note for note in report.notes)


def test_a_process_that_is_not_there_is_told_before_anything_is_asked() -> None:
    with pytest.raises(ProcessGoneError):
        measure(Options(("127.0.0.1", 9), count=1, pids=(1 << 22,)), NAMES)


def test_a_signal_ends_the_run_and_what_there_is_is_reported() -> None:
    before = signal.getsignal(signal.SIGINT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)

        def answer_ten() -> None:
            for _ in range(10):
                query, client = server.recvfrom(4096)
                server.sendto(reply(query), client)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=answer_ten)
        thread.start()
        address = ("127.0.0.1", server.getsockname()[1])
        report = measure(Options(address, duration=60, clients=1, outstanding=1, timeout=0.2), NAMES)
        thread.join()
    assert 9 <= report.counts.answered <= 10  # the last one may come in too late
    assert any("was interrupted" in note for note in report.notes)
    assert report.elapsed_s < 20
    assert signal.getsignal(signal.SIGINT) is before
