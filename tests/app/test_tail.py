"""`/tail` and `dnsserver tail`: they follow all processes of a running server, with the filters of the query log."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.message
import pytest
import trio

from dnsserver.app.digest import EVERY
from dnsserver.app.followers import Collected
from dnsserver.traffic.filters import Filter
from dnsserver.traffic.observed import MOST_ROOM, QUEUE
from tests.app import served_by_two, started
from tests.cluster import namespace, service
from tests.running import HOST, ask_udp
from tests.traffic.seen import seen

NONE, WEB = "none.shop.svc.cluster.local.", "web.shop.svc.cluster.local."
PATIENCE = 30.0


class Stream:
    """A stream of lines, as they come."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._rest = b""
        self.entries: list[dict[str, Any]] = []

    async def read(self) -> None:
        """Read until its end."""
        while data := await self._source.receive_some(65536):
            self._rest += data
            *lines, self._rest = self._rest.split(b"\n")
            self.entries += [json.loads(line) for line in lines if line.startswith(b"{")]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["event"] == event]

    def told(self) -> int:
        """The number of questions that the stream reported, including those that were left out."""
        left_out: int = sum(left["count"] + left["not_looked_at"] for left in self.of("left out"))
        return len(self.of("query")) + left_out

    async def wait(self, count: int, event: str = "query") -> list[dict[str, Any]]:
        with trio.fail_after(PATIENCE):
            while len(self.of(event)) < count:  # noqa: ASYNC110 - another process sends them
                await trio.sleep(0.02)
        return self.of(event)


@asynccontextmanager
async def following(admin: int, query: str = "") -> AsyncIterator[Stream]:
    """Follow a server, and wait until it reports that."""
    async with await trio.open_tcp_stream(HOST, admin) as connection, trio.open_nursery() as nursery:
        await connection.send_all(f"GET /tail?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stream = Stream(connection)
        nursery.start_soon(stream.read)
        await stream.wait(1, "following")
        yield stream
        nursery.cancel_scope.cancel()


async def ask(port: int, *names: str) -> None:
    for name in names:
        await ask_udp(port, [dns.message.make_query(name, "A", use_edns=0, payload=1232).to_wire()])


async def places(run: started.Program) -> tuple[int, int]:
    """Return the ports of DNS and of admin HTTP."""
    entry = await run.wait_says("serving")
    return int(entry["listen"][0].rpartition(":")[2]), int(entry["admin"].rpartition(":")[2])


async def test_two_followers_see_what_they_want_also_from_the_cache(tmp_path: Path) -> None:
    async with started.program(tmp_path) as run:
        port, admin = await places(run)
        await ask(port, *[NONE, WEB] * 4)
        await trio.sleep(2 * EVERY)
        async with following(admin, "classes=denial&below=shop.svc.cluster.local") as one, following(admin) as other:
            await trio.sleep(0.1)
            await ask(port, *[NONE, WEB] * 5)
            denials, all_ = await one.wait(5), await other.wait(10)
            assert [entry["name"] for entry in denials] == [NONE] * 5
            assert sorted(entry["name"] for entry in all_) == [NONE] * 5 + [WEB] * 5
            assert {entry["reason"] for entry in denials} == {"service-missing"}
            assert all(entry["text"] for entry in denials)
        await trio.sleep(0.1)
        async with following(admin, "rcodes=NXDOMAIN&types=AAAA,A&clients=127.0.0.0/8,::1&sample=1") as one:
            await trio.sleep(0.1)
            await ask(port, NONE, WEB)
            assert len(await one.wait(1)) == 1
        async with following(admin, "took=0.5") as none, following(admin, "classes=denial&took=0") as one:
            await trio.sleep(0.1)
            await ask(port, NONE, WEB)
            assert len(await one.wait(1)) == 1
            assert none.of("query") == []
    assert not run.tracebacks


async def test_a_worker_s_answers_are_followed_too(tmp_path: Path) -> None:
    things = [namespace("shop"), service("web", "10.9.0.1")]
    async with served_by_two.program(tmp_path, *things) as run, following(run.admin, "classes=success") as stream:
        await trio.sleep(0.7)
        for _ in range(3):
            await run.ask()
        found = await stream.wait(3 * served_by_two.CLIENTS)
        assert len(found) == 3 * served_by_two.CLIENTS
        assert {entry["name"] for entry in found} == {WEB}


async def test_what_is_asked_for_wrongly_is_told(tmp_path: Path) -> None:
    async with started.program(tmp_path) as run:
        _, admin = await places(run)
        for query, said in (
            ("classes=denail", 'classes[0]: found "denail", expected "all", "success"'),
            ("clients=10.0.0.1/8", "clients[0]"),
            ("sample=0", "sample: found 0, expected a whole number from 1"),
            ("slow=fast", 'slow: found "fast", expected a number of seconds'),
            ("took=61", "took: found 61, expected a number of seconds from 0 to 60"),
            ("nmae=x", "nmae"),
            ("rcodes=NX", "rcodes[0]"),
        ):
            connection = await trio.open_tcp_stream(HOST, admin)
            async with connection:
                await connection.send_all(f"GET /tail?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                data = b"".join([piece async for piece in connection]).decode()
            assert data.startswith("HTTP/1.1 400 ")
            assert said in data


def test_what_nobody_takes_is_left_out_and_counted() -> None:
    stream = Collected(Filter(frozenset(("all",))), 1)
    for _ in range(QUEUE + 5):
        stream.take(seen())
    assert (len(stream), stream.left_out) == (QUEUE, 5)
    assert len(stream.give(100)) == 100
    assert len(stream) == QUEUE - 100


@asynccontextmanager
async def command(admin: int, *flags: str) -> AsyncIterator[trio.Process]:
    """Run `dnsserver tail` against a server."""
    words = [sys.executable, "-m", "dnsserver", "tail", "--server", f"{HOST}:{admin}", *flags]
    process = await trio.lowlevel.open_process(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def followed(admin: int) -> None:
    """Wait until somebody follows the server."""
    with trio.fail_after(PATIENCE):
        while True:
            connection = await trio.open_tcp_stream(HOST, admin)
            async with connection:
                await connection.send_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                page = b"".join([piece async for piece in connection])
            if b"dnsserver_tail_followers 1.0" in page:
                return
            await trio.sleep(0.1)


@pytest.mark.parametrize("ending", ["ctrl-c", "drain"])
@pytest.mark.parametrize("as_json", [True, False])
async def test_the_command_shows_lines_and_ends_cleanly(tmp_path: Path, ending: str, as_json: bool) -> None:
    flags = ("--class", "denial", "--class", "error", "--name", "shop.svc.cluster.local", "--client", "127.0.0.1")
    async with (
        started.program(tmp_path, drain=0.5) as run,
        command((ports := await places(run))[1], *flags, *(["--json"] if as_json else [])) as tail,
    ):
        await followed(ports[1])
        await trio.sleep(0.1)
        await ask(ports[0], NONE, WEB, NONE)
        assert tail.stdout is not None
        assert tail.stderr is not None
        said = b""
        with trio.fail_after(PATIENCE):
            while said.count(NONE.encode()) < 2:
                said += await tail.stdout.receive_some(4096)
        os.kill(tail.pid if ending == "ctrl-c" else run.process.pid, signal.SIGINT)
        with trio.fail_after(PATIENCE):
            assert await tail.wait() == (130 if ending == "ctrl-c" else 0)
        told = b"".join([piece async for piece in tail.stderr])
        assert b"Traceback" not in told
        assert (b"the server has ended the stream" in told) is (ending == "drain")
    lines = said.decode().splitlines()
    if as_json:
        assert [json.loads(line)["event"] for line in lines] == ["following", "query", "query"]
    else:
        assert len(lines) == 2
        assert all(HOST in line and "NXDOMAIN" in line and f"A {NONE}" in line for line in lines)
        assert all("service-missing: " in line for line in lines)


async def test_how_many_were_not_looked_at_is_told(tmp_path: Path) -> None:
    async with started.program(tmp_path) as run:
        port, admin = await places(run)
        async with following(admin, "classes=denial") as stream:
            count = 4 * MOST_ROOM
            packets = [
                dns.message.make_query(f"n{number}.shop.svc.cluster.local.", "A", id=number).to_wire()
                for number in range(count)
            ]
            await ask_udp(port, packets)
            with trio.fail_after(PATIENCE):
                while stream.told() < count:  # noqa: ASYNC110
                    await trio.sleep(0.05)
            assert stream.of("left out")


async def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    async with started.program(tmp_path) as run:
        _, admin = await places(run)
        async with command(admin, "--type", "NOTYPE") as tail:
            assert tail.stderr is not None
            assert b"expected a query type" in b"".join([piece async for piece in tail.stderr])
            assert await tail.wait() == 2


async def test_a_follower_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    async with started.program(tmp_path) as run:
        port, admin = await places(run)
        connection = await trio.open_tcp_stream(HOST, admin)
        async with connection:
            await connection.send_all(b"GET /tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await connection.receive_some(1000)
            for number in range(40):
                names = [f"n{number}-{each}-{'x' * 40}.shop.svc.cluster.local." for each in range(32)]
                packets = [dns.message.make_query(name, "A", id=each).to_wire() for each, name in enumerate(names)]
                with trio.fail_after(3):
                    assert len(await ask_udp(port, packets)) == 32
                await trio.sleep(0.02)
        await trio.sleep(0.5)
        await ask(port, WEB)
    assert not run.tracebacks
