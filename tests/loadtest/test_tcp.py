from collections.abc import Iterable
from functools import partial

import pytest
import trio

from loadtest.measure import Options, measure
from loadtest.questions import Question
from loadtest.report import Report
from tests.loadtest.servers import echo, reply, tcp_server

NAMES = [Question(f"name-{i}.example", "A") for i in range(10)]


async def measured(options: Options) -> Report:
    return await trio.to_thread.run_sync(partial(measure, options, NAMES))


async def test_answers_out_of_order_are_matched_by_id() -> None:
    held: list[bytes] = []

    def backwards(query: bytes) -> Iterable[bytes]:
        held.append(query)
        if len(held) == 5:
            yield from map(reply, reversed(held))
            held.clear()

    async with tcp_server(backwards) as port:
        report = await measured(Options(("127.0.0.1", port), protocol="tcp", count=500, clients=1, outstanding=5))
    assert (report.counts.answered, report.counts.mismatched, report.counts.lost) == (500, 0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_connection_that_is_closed_is_opened_anew_and_what_was_out_is_lost(host: str) -> None:
    async with tcp_server(echo, close_after=10) as port:
        report = await measured(Options((host, port), protocol="tcp", count=100, clients=1, outstanding=4))
    counts = report.counts
    assert counts.sent == 100
    assert counts.answered + counts.lost == 100
    assert counts.lost == counts.closed
    assert counts.reconnects >= 2
    assert counts.answered >= 20


async def test_a_big_reply_in_many_pieces_is_put_together() -> None:
    def big(query: bytes) -> Iterable[bytes]:
        yield reply(query) + bytes(60_000)

    async with tcp_server(big) as port:
        report = await measured(Options(("127.0.0.1", port), protocol="tcp", count=40, clients=2, outstanding=20))
    assert report.counts.answered == 40
    assert report.reply_octets > 60_000


async def test_a_port_where_nobody_listens_is_an_error_at_once() -> None:
    async with tcp_server(echo) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        await measured(Options(("127.0.0.1", port), protocol="tcp", count=1))


async def test_a_run_goes_on_to_its_end_without_a_server() -> None:
    seen = 0
    stop = trio.Event()

    def first_ten(query: bytes) -> Iterable[bytes]:
        nonlocal seen
        seen += 1
        if seen > 10:
            stop.set()
        yield reply(query)

    reports: list[Report] = []

    async def run(port: int) -> None:
        options = Options(("127.0.0.1", port), protocol="tcp", duration=0.5, clients=2, outstanding=4)
        reports.append(await measured(options))

    async with trio.open_nursery() as nursery, tcp_server(first_ten) as port:
        nursery.start_soon(run, port)
        await stop.wait()
    assert reports[0].counts.answered >= 10
    assert reports[0].counts.reconnects >= 2
    assert reports[0].elapsed_s >= 0.5
