"""What a scrape costs at full size: how long it takes, and for how long at most nothing else runs.

    .venv/bin/python -m tests.bench.scrape                  10,000 services, 65,000 replies held: 1 minute
    .venv/bin/python -m tests.bench.scrape --replies 100000

The server runs in this process, so that each step of its event loop can be timed. Between two scrapes every reply is
sent once more. Beside wall time stands processor time, which what else the machine does makes no longer.
"""

import argparse
import gzip
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice, product
from pathlib import Path
from statistics import median

import dns.message
import msgspec
import trio

from dnsserver.app.gc_tuning import collect_seldom
from dnsserver.app.server import Server
from dnsserver.config import Address
from dnsserver.config.model import ReplyCache
from dnsserver.log import configure_logging
from tests.bench.names import SIZE
from tests.cluster import Thing
from tests.kube.generated import endpoint_slice, namespace_name, service
from tests.port import Port
from tests.running import HOST, config, write_objects

_ROUNDS = 10
_CACHE = 256 * 1024 * 1024
_NAMESPACES = 1_000
_IN_A_FILE = 5_000  # objects
_START = 60.0  # seconds
_ASK = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"


class Steps(trio.abc.Instrument):
    """The longest step of a task of the event loop: seconds by the clock, and of the processor."""

    def __init__(self) -> None:
        self.longest = self.longest_cpu = 0.0
        self._began = self._began_cpu = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self._began, self._began_cpu = time.perf_counter(), time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        del task
        self.longest = max(self.longest, time.perf_counter() - self._began)
        self.longest_cpu = max(self.longest_cpu, time.thread_time() - self._began_cpu)


class Row(msgspec.Struct, frozen=True):
    """One scrape: seconds by the clock and of the processor, and octets as sent (compressed) and as text."""

    total: float
    cpu: float
    step: float
    step_cpu: float
    sent: int
    text: int


def objects(folder: Path) -> None:
    """Write the generated cluster, with more namespaces than metrics have labels, as files small enough to be read."""
    size = msgspec.structs.replace(SIZE, namespaces=_NAMESPACES)
    things = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace_name(number)}}
        for number in range(size.namespaces)
    ]
    things += [{"apiVersion": "v1", "kind": "Service", **service(number, size)} for number in range(size.services)]
    things += [
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **endpoint_slice(number, size)}
        for number in range(size.slices)
    ]
    for number, some in enumerate(batched(things, _IN_A_FILE)):
        part = folder / str(number)
        part.mkdir()
        write_objects(part, some).rename(folder / f"{number}.json")
        part.rmdir()


def batched(things: list[Thing], count: int) -> Iterator[list[Thing]]:
    """Yield lists of `count` objects; the last one may be shorter."""
    for start in range(0, len(things), count):
        yield things[start : start + count]


def fill(server: Server, wanted: int) -> int:
    """Let the server keep so many replies about services, of four types, various EDNS; return how many it keeps."""
    port = Port(server.dns.udp[0][1].table)
    names = [
        f"{name.decode()}.{namespace.decode()}.svc.cluster.local."
        for namespace, entries in server.cluster.index.entries.items()
        for name in entries
    ]
    shapes = product(("A", "AAAA", "SRV", "TXT"), (False, True), (1232, 4096))
    questions = (
        dns.message.make_query(name, kind, use_edns=0, payload=payload, want_dnssec=do)
        for kind, do, payload in shapes
        for name in names
    )
    for query in islice(questions, wanted):
        server.dns.responder.respond(query.to_wire(), port, 0)
    return len(port.table.replies)


@asynccontextmanager
async def serving(folder: Path, workers: int) -> AsyncIterator[tuple[Server, int]]:
    """Run a server; yield it, and the port of its admin HTTP."""
    with trio.socket.socket() as probe:
        await probe.bind((HOST, 0))
        admin = probe.getsockname()[1]
    settings = config(
        objects=folder,
        admin=Address(HOST, admin),
        workers=workers,
        reply_cache=ReplyCache(size=_CACHE),
        state=None,
    )
    server = Server(settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        with trio.fail_after(_START):
            await server.sync.wait_synced()
        while len(server.workers.processes()) < workers - 1:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.1)
        yield server, admin
        nursery.cancel_scope.cancel()


async def scrape(admin: int, steps: Steps) -> Row:
    """Scrape once, and return what it took."""
    await trio.lowlevel.checkpoint()  # what the caller did is no part of it
    steps.longest = steps.longest_cpu = 0.0
    began, began_cpu = time.perf_counter(), time.thread_time()
    stream = await trio.open_tcp_stream(HOST, admin)
    async with stream:
        await stream.send_all(_ASK)
        body = b"".join([piece async for piece in stream]).partition(b"\r\n\r\n")[2]
    total, cpu = time.perf_counter() - began, time.thread_time() - began_cpu
    row = steps.longest, steps.longest_cpu
    return Row(total, cpu, *row, len(body), len(gzip.decompress(body)))


async def measure(folder: Path, workers: int, replies: int) -> tuple[int, list[Row]]:
    """Scrape some times, with one more hit of each reply before; return how many replies are kept, and the rows."""
    async with serving(folder, workers) as (server, admin):
        held = fill(server, replies)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        rows = []
        for _ in range(_ROUNDS):
            for table in server.dns.replies.tables:
                for reply in table.replies.values():
                    reply.hits += 1
            rows.append(await scrape(admin, steps))
        return held, rows


def main() -> None:
    """Measure with one process and with two, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, default=65_000)
    arguments = parser.parse_args()
    print("| processes | replies held | a scrape, median | processor time | longest step | of it processor | octets |")
    print("|---|---|---|---|---|---|---|")
    configure_logging("error")
    collect_seldom()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects(folder)
        for workers in (1, 2):
            held, rows = trio.run(measure, folder, workers, arguments.replies)
            total, cpu = (median(getattr(row, field) for row in rows) * 1e3 for field in ("total", "cpu"))
            step, step_cpu = (median(getattr(row, field) for row in rows) * 1e3 for field in ("step", "step_cpu"))
            size = f"{rows[-1].text:,}, {rows[-1].sent:,} sent"
            print(
                f"| {workers} | {held:,} | {total:.0f} ms | {cpu:.0f} ms | {step:.1f} ms | {step_cpu:.1f} ms | {size} |"
            )


if __name__ == "__main__":
    main()
