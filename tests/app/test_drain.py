"""When a drain is over, and who stays ready meanwhile."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from dnsserver.app.drain import UNDER_WAY, Drain, time_under_way, wait_answered, wait_drained
from tests.cluster import Thing, endpoint, endpoints, namespace, service
from tests.messages import d
from tests.running import HOST, ask_tcp, ask_udp, config, port_of, running, take_messages, write_objects


@pytest.mark.parametrize(
    ("least", "most", "questions", "over_at"),
    [
        (10.0, 25.0, [], 10.0),  # nobody asks: the least
        (10.0, 25.0, [1.0, 5.0, 7.0], 10.0),  # the last one leaves in time
        (10.0, 25.0, [1.0, 9.0], 12.0),  # the last one leaves late
        (10.0, 25.0, [float(n) for n in range(40)], 25.0),  # they never leave
        (0.0, 25.0, [], 3.0),  # at Ctrl-C
        (0.0, 25.0, [2.0, 4.0], 7.0),
        (5.0, 5.0, [4.0], 5.0),
        (0.0, 0.0, [], 0.0),
    ],
)
def test_a_drain_lasts_until_nobody_asks(least: float, most: float, questions: Sequence[float], over_at: float) -> None:
    drain = Drain(100.0, least, most)
    times = [tick / 4 for tick in range(200)]
    found = next(at for at in times if drain.is_over(7 + sum(q <= at for q in questions if q), 100.0 + at))
    assert found == over_at


async def test_the_questions_of_the_time_before_do_not_count(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    await wait_drained(Drain(began, 1.0, 25.0), lambda: 1_000_000)
    assert trio.current_time() - began == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize(("left", "seconds"), [(0, 0.0), (3, 0.15), (10**6, UNDER_WAY)])
async def test_what_is_under_way_is_answered_first(
    autojump_clock: trio.testing.MockClock, left: int, seconds: float
) -> None:
    def under_way() -> int:
        nonlocal left
        left -= left > 0
        return left

    began = trio.current_time()
    await wait_answered(under_way, UNDER_WAY)
    assert trio.current_time() - began == pytest.approx(seconds, abs=0.11)


@pytest.mark.parametrize(("deadline", "seconds"), [(0.5, UNDER_WAY), (2.0, UNDER_WAY), (4.0, 4.0), (60.0, 5.0)])
def test_questions_under_way_get_their_deadline_within_the_time_of_the_pod(deadline: float, seconds: float) -> None:
    assert time_under_way(deadline) == seconds


DNS = [("dns", "UDP", 53)]


@pytest.mark.parametrize(
    ("addresses", "draining_is_ready"),
    [
        ([], False),  # no Service leads here: nobody relies on readiness
        ([endpoint(HOST)], True),
        ([endpoint(HOST, ready=False)], True),  # it ends, and so do all others
        ([endpoint(HOST, ready=False), endpoint("10.1.0.2", ready=False)], True),
        ([endpoint(HOST), endpoint("10.1.0.2")], False),
        ([endpoint(HOST, ready=False), endpoint("10.1.0.2")], False),
    ],
)
async def test_the_last_endpoint_stays_ready_while_it_drains(
    tmp_path: Path, addresses: list[Thing], draining_is_ready: bool
) -> None:
    things = [namespace("kube-system"), service("kube-dns", "10.96.0.10", namespace="kube-system")]
    if addresses:
        things.append(endpoints("kube-dns", *addresses, namespace="kube-system", ports=DNS))
    async with running(config(objects=write_objects(tmp_path, things))) as server:
        assert server.ready
        server.draining = True
        assert server.ready is draining_is_ready


async def test_clients_over_tcp_hear_of_the_end_behind_their_answer(tmp_path: Path) -> None:
    things = [namespace("shop"), service("web", "10.96.0.1")]
    question = d("web.shop.svc.cluster.local").to_wire()
    framed = len(question).to_bytes(2) + question

    async def ask(stream: trio.SocketStream) -> bytes:
        await stream.send_all(framed)
        buffer = bytearray()
        while not (found := take_messages(buffer)):
            data = await stream.receive_some(4096)
            assert data, "closed without an answer"
            buffer += data
        return found[0]

    with trio.fail_after(10):
        async with running(config(objects=write_objects(tmp_path, things))) as server:
            async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:
                await ask(stream)
                server.dns.leave()
                assert (await ask(stream))[3] & 15 == 0
                assert await stream.receive_some(1) == b""
            async with await trio.open_tcp_stream(HOST, port_of(server)) as stream:  # others are answered still
                await ask(stream)


async def test_whoever_asks_is_counted(tmp_path: Path) -> None:
    things = [namespace("shop"), service("web", "10.96.0.1")]
    async with running(config(objects=write_objects(tmp_path, things))) as server:
        before = server.dns.asked()
        await ask_udp(port_of(server), [d("web.shop.svc.cluster.local").to_wire()])
        after_udp = server.dns.asked()
        await ask_tcp(port_of(server), [d("web.shop.svc.cluster.local").to_wire()])
        assert before < after_udp < server.dns.asked()
