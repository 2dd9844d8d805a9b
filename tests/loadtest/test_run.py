"""Runs over real loopback sockets. Nothing here asserts how fast anything is, only what is counted and from when."""

from array import array
from collections.abc import Iterable
from functools import partial

import pytest
import trio

from loadtest.clients import Client, Poller
from loadtest.deck import Deck
from loadtest.measure import Options, measure
from loadtest.outstanding import Outstanding
from loadtest.questions import Manner, Question
from loadtest.report import Report
from loadtest.run import SECOND, Plan, Progress, Run
from loadtest.tally import Tally
from tests.loadtest.servers import echo, reply, tcp_server, udp_server

NAMES = [Question(f"name-{i}.example", "A") for i in range(100)]


async def measured(options: Options, asked: list[Question] = NAMES) -> Report:
    return await trio.to_thread.run_sync(partial(measure, options, asked))


@pytest.mark.parametrize("batches", [True, False])
async def test_closed_loop_counts_every_question_once(batches: bool) -> None:
    async with udp_server(echo) as port:
        report = await measured(Options(("127.0.0.1", port), count=1000, clients=3, outstanding=21, batches=batches))
    assert (report.counts.sent, report.counts.answered, report.counts.lost) == (1000, 1000, 0)
    assert report.rcodes == {"NOERROR": 1000}
    assert report.latency is not None
    assert 0 < report.latency.min <= report.latency.p50 <= report.latency.p99 <= report.latency.max
    assert report.counts.outstanding == 0


async def test_no_more_than_the_window_is_ever_outstanding() -> None:
    held: list[bytes] = []
    most = 0

    def in_pairs(query: bytes) -> Iterable[bytes]:
        nonlocal most
        held.append(query)
        most = max(most, len(held))
        if len(held) == 4:
            yield from map(reply, held)
            held.clear()

    async with udp_server(in_pairs) as port:
        report = await measured(Options(("127.0.0.1", port), count=400, clients=1, outstanding=4))
    assert most == 4
    assert report.counts.answered == 400


@pytest.mark.parametrize("batches", [True, False])
async def test_every_tenth_dropped_is_a_tenth_lost(batches: bool) -> None:
    seen = 0

    def lossy(query: bytes) -> Iterable[bytes]:
        nonlocal seen
        seen += 1
        if seen % 10:
            yield reply(query)

    async with udp_server(lossy) as port:
        options = Options(("127.0.0.1", port), count=300, clients=2, outstanding=100, timeout=0.7, batches=batches)
        report = await measured(options)
    assert (report.counts.sent, report.counts.answered, report.counts.lost) == (300, 270, 30)
    assert report.loss == pytest.approx(0.1)


async def test_open_loop_shows_a_stall_of_the_server_in_the_percentiles() -> None:
    held: list[bytes] = []
    seen = 0

    def stalled(query: bytes) -> Iterable[bytes]:
        # Says nothing until the 300th question, which is due 299 ms after the first; then answers all at once.
        nonlocal seen
        seen += 1
        held.append(query)
        if seen >= 300:
            yield from map(reply, held)
            held.clear()

    async with udp_server(stalled) as port:
        report = await measured(Options(("127.0.0.1", port), rate=1000, count=600, outstanding=1 << 15, clients=1))
    assert report.counts.answered == 600
    assert report.latency is not None
    assert report.latency.max >= 299_000
    assert report.latency.p99 >= 290_000
    # A quarter waited 150 ms or more: a tool that held questions back meanwhile would show one or none of them.
    assert report.latency.p90 >= 200_000
    assert report.rate is not None
    assert report.rate.unsent == 0


async def test_open_loop_that_waits_for_room_counts_from_when_questions_were_due() -> None:
    def slow(query: bytes) -> Iterable[bytes]:
        held.append(query)
        if len(held) == 2:
            yield from map(reply, held)
            held.clear()

    held: list[bytes] = []
    async with udp_server(slow) as port:
        # One outstanding at a time and a server that answers by twos: only the time-out lets the next question go.
        options = Options(("127.0.0.1", port), rate=100, duration=0.5, outstanding=1, clients=1, timeout=0.2)
        report = await measured(options)
    assert report.lateness is not None
    assert report.rate is not None
    assert report.rate.unsent > 0
    assert report.rate.shortfall > 0.5
    assert report.lateness.max >= 100_000


class Deaf:
    """A client whose socket never has room."""

    def __init__(self) -> None:
        self.outstanding = Outstanding(4)

    def fileno(self) -> int:
        return 0

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:  # noqa: ARG002
        return 0

    def receive(self, tally: Tally) -> None:
        pass

    def close(self, tally: Tally) -> None:
        pass


def test_questions_never_sent_are_the_shortfall() -> None:
    deck, poller = Deck(NAMES, Manner()), Poller()
    clients: list[Client] = [Deaf(), Deaf()]
    plan = Plan(timeout=SECOND, duration=SECOND // 10, rate=1000)
    outcome = Run(deck, clients, poller, plan, Tally()).go()
    poller.close()
    assert outcome.due == 100
    assert outcome.tally.sent == 0
    assert outcome.elapsed == SECOND // 10


class Instant(Deaf):
    """A client that answers when it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: list[int] = []
        self.due: list[int | None] = []

    def send(self, tally: Tally, position: int, count: int, due: int | None, interval: int) -> int:
        first, room = self.outstanding.reserve(count)
        self.positions += range(position, position + room)
        self.due += [None if due is None else due + number * interval for number in range(room)]
        self.outstanding.begin(first, position, array("q", [0]) * room)
        for ident in range(first, first + room):
            tally.latency.record(self.outstanding.finish(ident))
        return room


def test_the_schedule_of_open_loop_is_even_and_goes_round_the_deck() -> None:
    client, poller = Instant(), Poller()
    deck = Deck(NAMES[:1], Manner())
    plan = Plan(timeout=SECOND, count=6000, rate=30_000)
    run = Run(deck, [client], poller, plan, Tally(), position=10)
    outcome = run.go()
    poller.close()
    assert client.positions == [(10 + number) % 4096 for number in range(6000)]
    assert run.position == 6010 % 4096
    due = [moment for moment in client.due if moment is not None]
    for number, moment in enumerate(due):
        assert abs(moment - due[0] - number * SECOND / 30_000) < 100
    assert outcome.due == outcome.tally.sent == 6000


def test_a_run_that_is_stopped_ends_with_what_it_has() -> None:
    poller = Poller()
    plan = Plan(timeout=SECOND)
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        run.stop()

    run = Run(Deck(NAMES, Manner()), [Deaf()], poller, plan, Tally(), stop)
    outcome = run.go()
    poller.close()
    assert outcome.interrupted
    assert seen[0].elapsed >= SECOND


async def test_the_warm_up_is_not_counted_and_its_questions_not_asked_again() -> None:
    asked: list[bytes] = []

    def note(query: bytes) -> Iterable[bytes]:
        asked.append(query[12:])
        yield reply(query)

    names = [Question(f"n{i}", "A") for i in range(100_000)]
    async with udp_server(note) as port:
        report = await measured(Options(("127.0.0.1", port), count=50, warmup=0.1, outstanding=4, clients=2), names)
    assert report.counts.sent == report.counts.answered == 50
    assert len(asked) > 50
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("rate", [None, 2000.0])
async def test_tcp_connections_persist_and_carry_many_questions_at_once(rate: float | None) -> None:
    async with tcp_server(echo) as port:
        options = Options(("127.0.0.1", port), protocol="tcp", count=1000, clients=4, outstanding=40, rate=rate)
        report = await measured(options)
    assert (report.counts.answered, report.counts.lost, report.counts.reconnects) == (1000, 0, 0)
