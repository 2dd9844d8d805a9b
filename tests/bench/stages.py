"""What the parts of an answer cost, run by themselves in this process, without sockets' waiting or an event loop."""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from dnsserver.resolver.chain import Chain
from dnsserver.resolver.reply_cache import ReplyCache
from dnsserver.server.batch import BatchPort
from dnsserver.server.respond import Responder
from dnsserver.server.udp_port import BATCH, Miss
from dnsserver.wire.query import read_query
from dnsserver.wire.reply import compose
from dnsserver.zone import model
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.static import SpecialNames
from loadtest.deck import Deck
from loadtest.mmsg import Calls, Outbox
from loadtest.questions import Manner, read
from tests.bench.names import SIZE
from tests.kube.generated import endpoint_slice, namespace_name, service
from tests.port import Port

_BATCHES = 400
_BUFFER = 4 * 1024 * 1024


class Stages(NamedTuple):
    """The times of one answer, in µs."""

    read: float
    answer: float
    compose: float
    rest: float
    whole: float


def zone() -> Cluster:
    """Return the zone as the API would have filled it."""
    made = Cluster(b"\x07cluster\x05local\0")
    spaces = ({"metadata": {"name": namespace_name(number)}} for number in range(SIZE.namespaces))
    services = (service(number, SIZE) for number in range(SIZE.services))
    slices = (endpoint_slice(number, SIZE) for number in range(SIZE.slices))
    things: tuple[tuple[Iterable[object], type[model.Object]], ...] = (
        (spaces, model.Namespace),
        (services, model.Service),
        (slices, model.EndpointSlice),
    )
    for kind in model.Kind:
        made.apply(model.ListStarted(kind), 0, 0)
    for objects, wanted in things:
        for thing in objects:
            made.apply(model.Put(msgspec.convert(thing, type=wanted)), 0, 1)
    for kind in model.Kind:
        made.apply(model.ListDone(kind), 0, 1)
    return made


def responder(of: Cluster) -> tuple[Responder, Chain, Port]:
    """Return a responder with an empty reply cache, its chain, and a port for it."""
    replies = ReplyCache(1 << 30)
    chain = Chain((of, SpecialNames()))
    # Nobody is asked outside: the names are the cluster's.
    return Responder(chain, None, replies, time.monotonic), chain, Port(replies.add_table("udp", "1"))  # type: ignore[arg-type]


def stages(of: Cluster, packets: Sequence[bytes]) -> Stages:
    """Answer every packet for the first time, and return how long each stage takes."""
    made, chain, port = responder(of)
    queries = [read_query(packet) for packet in packets]
    answers = [chain.answer(query.name, query.type) for query in queries]

    def each(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e6 / len(packets)

    reading = each(lambda: [read_query(packet) for packet in packets])
    answering = each(lambda: [chain.answer(query.name, query.type) for query in queries])
    composing = each(
        lambda: [
            compose(query.name, answer.answer, answer.authority, answer.additional)
            for query, answer in zip(queries, answers, strict=True)
        ]
    )
    whole = each(lambda: [made.respond(packet, port, 0) for packet in packets])
    return Stages(reading, answering, composing, whole - reading - answering - composing, whole)


class Blind(BatchPort):
    """Answers as a server does; while `shut`, it sends the replies of the last batch to any packets."""

    shut = False

    def serve_batch(self, miss: Miss, now: float) -> int:
        if not self.shut:
            return super().serve_batch(miss, now)
        count: int = self._recvmmsg(self._fd, self._in.at, BATCH, socket.MSG_DONTWAIT, None)
        self._send(self._out.at, count)
        return count


class Batch(NamedTuple):
    """A known question in a full batch, in µs: all of it, and the two system calls alone."""

    whole: float
    calls: float


def batch(of: Cluster, questions: Path) -> Batch:
    """Measure full batches of questions that were asked before."""
    made, _, own = responder(of)
    with questions.open() as lines:
        deck = Deck(read(lines, str(questions)), Manner())
    outbox, calls = Outbox(deck), Calls()
    with _socket() as server, _socket() as client:
        client.connect(server.getsockname())

        port = Blind(server, own.table, made)

        def once(number: int) -> float:
            """Send one batch, and return the µs per question that its answers take."""
            position = number * BATCH % (len(deck) // BATCH * BATCH)
            calls.send(client.fileno(), outbox.number(position, number, BATCH), BATCH)
            start = time.perf_counter()
            count = port.serve_batch(made.respond, start)
            spent = time.perf_counter() - start
            for _ in range(count):
                client.recv(65535)
            return spent * 1e6 / count

        for number in range(len(deck) // BATCH):
            once(number)
        whole = median(once(number) for number in range(_BATCHES))
        port.shut = True  # the octets of the last batch's replies live on in the cache
        return Batch(whole, median(once(number) for number in range(_BATCHES)))


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.setblocking(False)
    made.bind(("127.0.0.1", 0))
    return made
