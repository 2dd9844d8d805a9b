"""Room for HTTP clients, streamed pages, and that no client costs the others anything; in virtual time."""

import errno
import socket
from typing import Any

import h11
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.clock import LoopbackClock
from tests.logs import capture_logs
from tests.server.web import BIG, GET, page, rest, running, status


async def test_a_slow_reader_is_let_go(clock: LoopbackClock) -> None:
    async with running() as rig:
        stream = await rig.connect()
        async with stream:
            await stream.send_all(GET.replace(b"page", b"big"))
            await trio.sleep(9)
            assert rig.http.connections == 1
            await trio.sleep(2)
            assert rig.http.connections == 0
            assert len(await rest(stream)) < BIG


async def test_what_is_unsent_is_bounded_over_all_connections(clock: LoopbackClock) -> None:
    async with running(unsent=3 * BIG + 10_000) as rig:
        streams = [await rig.connect() for _ in range(8)]
        for stream in streams:
            await stream.send_all(GET.replace(b"page", b"big"))
            await wait_all_tasks_blocked(0.001)
            assert rig.http.connections <= 3 + len(streams) - 1 - streams.index(stream)
        assert rig.http.connections == 3
        assert len(await rest(streams[-1])) > BIG  # the last one is served
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("sent", [b"", b"G", GET[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", GET])
async def test_idle_and_broken_clients_make_room_for_a_probe(clock: LoopbackClock, sent: bytes) -> None:
    async with running(connections=16) as rig:
        others = []
        for number in range(100):
            stream = await rig.connect(f"127.0.0.{2 + number % 3}")
            others.append(stream)
            if sent:
                await stream.send_all(sent)
            await wait_all_tasks_blocked(0.0005)
            assert rig.http.connections <= 16
        before = trio.current_time()
        assert status(await page(await rig.connect())) == 200
        assert status(await page(await rig.connect("127.0.0.2"))) == 200  # from where the others are, too
        assert trio.current_time() - before < 1
        for stream in others:
            await stream.aclose()


async def test_one_address_has_half_of_what_the_others_leave(clock: LoopbackClock) -> None:
    async with running(connections=16) as rig:
        probe = await rig.connect()
        assert status(await page(probe)) == 200
        for _ in range(50):
            stream = await rig.connect("127.0.0.2")
            assert status(await page(stream)) == 200
        assert rig.http.connections == 1 + 7
        assert status(await page(probe)) == 200  # its own connection is still there


async def test_who_was_served_last_stays(clock: LoopbackClock) -> None:
    async with running(connections=4) as rig:
        probe = await rig.connect()
        for _ in range(20):
            await rig.connect()
            assert status(await page(probe)) == 200


async def test_readers_that_do_not_read_make_room_too(clock: LoopbackClock) -> None:
    async with running(connections=8) as rig:
        others = []
        for number in range(20):
            stream = await rig.connect(f"127.0.0.{2 + number}")
            await stream.send_all(GET.replace(b"page", b"big"))
            await wait_all_tasks_blocked(0.001)
            others.append(stream)
        assert status(await page(await rig.connect())) == 200
        for stream in others:
            await stream.aclose()


async def test_a_streamed_page_comes_piece_by_piece(clock: LoopbackClock) -> None:
    async with running() as rig:
        got = await rig.talk(GET.replace(b"page", b"stream"))
        assert b"transfer-encoding: chunked" in got.lower()
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        client.receive_data(got)
        events: list[Any] = []
        while not isinstance(events and events[-1], h11.EndOfMessage):
            events.append(client.next_event())
        pieces = [bytes(event.data) for event in events if isinstance(event, h11.Data)]
        assert pieces == [b"piece 1\n", b"piece 2\n", b"piece 3\n"]
        assert trio.current_time() >= 300


async def test_a_streamed_page_ends_when_its_reader_goes(clock: LoopbackClock) -> None:
    async with running() as rig:
        stream = await rig.connect()
        await stream.send_all(GET.replace(b"page", b"stream"))
        while b"piece 1" not in await stream.receive_some(1000):
            pass
        await stream.aclose()
        await rig.stream_ended.wait()
        assert trio.current_time() < 50
    assert rig.faults.counts == {}


async def test_a_streamed_page_that_fails_is_cut_off_and_told_once(clock: LoopbackClock) -> None:
    with capture_logs() as logs:
        async with running() as rig:
            got = await rig.talk(GET.replace(b"page", b"broken-stream"))
            assert b"piece 1" in got
            assert not got.endswith(b"0\r\n\r\n")
            assert status(await rig.talk(GET)) == 200
    assert rig.faults.counts == {"page": 1}
    assert len(logs) == 1


async def test_a_costly_page_holds_up_no_other(clock: LoopbackClock) -> None:
    """Each turn handles one costly request, so that a cheap request waits for one of them at most."""
    async with running() as rig:
        streams = [await rig.connect(f"127.0.0.{number}") for number in range(2, 42)]
        for stream in streams:
            await stream.send_all(GET.replace(b"page", b"costly"))
        probe = await rig.connect()
        await probe.send_all(GET)
        await probe.receive_some(1000)
        paths = [request.path for request in rig.asked]
        assert "/page" in paths[:-1] or paths[-1] == "/page"
        for stream in streams:
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 200 OK")
            await stream.aclose()


async def test_a_client_that_hangs_up_costs_nothing(clock: LoopbackClock) -> None:
    with capture_logs() as logs:
        async with running() as rig:
            for sent in (b"", b"G", GET, GET * 100, GET.replace(b"page", b"big")):
                stream = await rig.connect()
                await stream.send_all(sent)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset
                await stream.aclose()
            assert status(await rig.talk(GET)) == 200
    assert logs == []
    assert rig.faults.counts == {}


async def test_out_of_descriptors_it_goes_on(clock: LoopbackClock, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")] * 3
    accept = socket.socket.accept

    def failing(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(self)

    with capture_logs() as logs:
        async with running() as rig:
            idle = await rig.connect()
            monkeypatch.setattr(socket.socket, "accept", failing)
            assert status(await page(await rig.connect())) == 200
            await idle.aclose()
    assert {entry["event"] for entry in logs} == {"cannot accept a connection"}


async def test_the_end_waits_for_nobody(clock: LoopbackClock) -> None:
    async with running() as rig:
        for path in (b"page", b"big", b"stream"):
            stream = await rig.connect()
            await stream.send_all(GET.replace(b"page", path))
        await wait_all_tasks_blocked(0.001)
        before = trio.current_time()
    assert trio.current_time() == before
