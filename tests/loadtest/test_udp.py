from collections.abc import Iterable
from functools import partial

import pytest
import trio

from loadtest.measure import Options, measure
from loadtest.questions import Manner, Question
from loadtest.report import Report
from tests.loadtest.servers import echo, reply, udp_server

NAMES = [Question(f"name-{i}.example", "A") for i in range(10)]

both = pytest.mark.parametrize("batches", [True, False], ids=["batches", "plain"])


async def measured(options: Options) -> Report:
    return await trio.to_thread.run_sync(partial(measure, options, NAMES))


@both
async def test_flags_of_replies_are_counted(batches: bool) -> None:
    seen = 0

    def various(query: bytes) -> Iterable[bytes]:
        nonlocal seen
        seen += 1
        yield reply(query, rcode=3 if seen % 4 == 0 else 0, flags=0x8600 if seen % 2 else 0x8400)

    async with udp_server(various) as port:
        report = await measured(Options(("127.0.0.1", port), count=400, batches=batches))
    assert report.rcodes == {"NOERROR": 300, "NXDOMAIN": 100}
    assert report.counts.truncated == 200
    assert report.reply_octets == pytest.approx(12 + len(b"\6name-0\7example\0") + 4)


@both
async def test_forged_and_repeated_replies_are_told_apart_from_answers(batches: bool) -> None:
    def noisy(query: bytes) -> Iterable[bytes]:
        right = reply(query)
        yield right[:12] + b"\1x\0\0\1\0\1"  # another question
        yield query  # no reply
        yield b"short"
        yield right
        yield right
        yield b"\xff\xff" + right[2:]  # an ID that is not out

    async with udp_server(noisy) as port:
        # The last replies may come after the end, so one more question is asked than is looked at.
        options = Options(("127.0.0.1", port), count=101, clients=1, outstanding=1, batches=batches)
        report = await measured(options)
    counts = report.counts
    assert counts.answered == 101
    assert counts.mismatched == 303
    assert 200 <= counts.unexpected <= 202
    assert counts.lost == 0


@both
async def test_late_replies_do_not_answer(batches: bool) -> None:
    held: list[bytes] = []

    def late(query: bytes) -> Iterable[bytes]:
        # The first two are answered with the third, which is asked once the first two are given up.
        held.append(query)
        if len(held) > 2:
            yield from map(reply, held[-3:] if len(held) == 3 else held[-1:])

    async with udp_server(late) as port:
        options = Options(("127.0.0.1", port), count=20, clients=1, outstanding=2, timeout=0.3, batches=batches)
        report = await measured(options)
    assert (report.counts.lost, report.counts.late, report.counts.answered) == (2, 2, 18)


@both
async def test_a_closed_port_is_refused_and_all_is_lost(batches: bool) -> None:
    async with udp_server(echo) as port:
        pass
    options = Options(("127.0.0.1", port), count=4, clients=1, outstanding=2, timeout=0.1, batches=batches)
    report = await measured(options)
    assert report.counts.answered == 0
    assert report.counts.lost == report.counts.sent == 4
    assert report.counts.refused
    assert any("port open" in note for note in report.notes)


@both
async def test_edns_is_asked_with(batches: bool) -> None:
    seen: list[bytes] = []

    def note(query: bytes) -> Iterable[bytes]:
        seen.append(query[-11:])
        yield reply(query)

    async with udp_server(note) as port:
        manner = Manner(edns=4096, dnssec=True)
        report = await measured(Options(("127.0.0.1", port), count=20, manner=manner, batches=batches))
    assert report.counts.answered == 20
    assert set(seen) == {b"\0\0\x29\x10\x00\0\0\x80\0\0\0"}
