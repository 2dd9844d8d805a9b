"""Samples of the packets of real sockets: all packets if few come, and otherwise each client's and name's share."""

import random
import socket
from collections import Counter

import dns.message
import pytest
import trio
import trio.testing

from dnsserver.server.batch import BatchPort
from dnsserver.server.unbatched import UnbatchedPort
from dnsserver.traffic.sampler import Sample, Sampler
from dnsserver.wire.message import NOERROR, NXDOMAIN
from dnsserver.wire.name import from_text
from tests.server.parts import HOST, Parts

Kind = type[BatchPort] | type[UnbatchedPort]
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


def question(name: str, number: int = 7) -> bytes:
    return dns.message.make_query(name, "A", id=number).to_wire()


@pytest.fixture(params=[BatchPort, UnbatchedPort])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


async def bound(host: str, port: int) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind((host, 0))
    await sock.connect((HOST, port))
    return sock


def told(sample: Sample) -> tuple[str, bytes | None, int | None]:
    """Return the client, the name, and the rcode of the reply if there was one."""
    return socket.inet_ntoa(sample.client), sample.name, sample.rcode


async def test_the_client_the_name_and_the_rcode_of_a_packet_are_known(kind: Kind) -> None:
    parts = Parts()
    async with parts.udp(kind=kind) as port:
        for host, name in zip(HOSTS, ("WEB.shop.", "gone.shop.", "outside.example."), strict=True):
            with await bound(host, port) as sock:
                for number in range(2):  # the second one is known
                    await sock.send(question(name, number))
                    if name.endswith("shop."):
                        await sock.recv(512)
                    else:
                        await trio.testing.wait_all_tasks_blocked()
    web, gone, outside = map(from_text, ("web.shop", "gone.shop", "outside.example"))
    assert Counter(map(told, parts.responder.sampler.take(1.0))) == {
        (HOSTS[0], web, NOERROR): 2, (HOSTS[1], gone, NXDOMAIN): 2, (HOSTS[2], outside, None): 2
    }  # fmt: skip


async def test_of_a_stream_as_well_however_its_messages_come() -> None:
    parts = Parts()
    asked = ("web.shop.", "out.example.", "gone.shop.", "web.shop.")
    messages = [question(name, number) for number, name in enumerate(asked)]
    async with parts.tcp() as server, await trio.open_tcp_stream(*server.address) as stream:
        await stream.send_all(b"".join(len(each).to_bytes(2, "big") + each for each in messages))
        got = b""
        while got.count(b"\4shop") < 3:
            got += await stream.receive_some()
    names = [from_text(name) for name in asked]
    assert [told(sample) for sample in parts.responder.sampler.take(1.0)] == list(
        zip([HOST] * 4, names, [NOERROR, None, NXDOMAIN, NOERROR], strict=True)
    )


@pytest.mark.parametrize("every", [7, 40])
async def test_each_client_has_its_part_of_the_samples_alone_in_batches_or_over_tcp(kind: Kind, every: int) -> None:
    """One client asks in batches, one a packet at a time, one over TCP: 6,000, 3,000 and 3,000 questions."""
    parts = Parts()
    sampler = parts.responder.sampler = Sampler(random.Random(11).random)
    sampler.go_by(every)
    parts.responder.streams = sampler.countdown()
    samples: list[Sample] = []
    async with (
        parts.udp(kind=kind) as port,
        parts.tcp() as server,
        await trio.open_tcp_stream(*server.address) as stream,
    ):
        with await bound(HOSTS[1], port) as batches, await bound(HOSTS[2], port) as alone:
            for _ in range(60):
                for _ in range(100):
                    await batches.send(question("web.shop."))
                for _ in range(100):
                    await batches.recv(512)
                for _ in range(50):
                    await alone.send(question("gone.shop."))
                    await alone.recv(512)
                one = question("www.shop.")
                await stream.send_all((len(one).to_bytes(2, "big") + one) * 50)
                got = 0
                while got < 50:
                    got += (await stream.receive_some()).count(b"\3www\4shop")
                sampler.go_by(every)  # it would follow the load
                samples += sampler.take(0.0)
    weights: Counter[tuple[str, bytes | None]] = Counter()
    for sample in samples:
        weights[told(sample)[:2]] += sample.weight
    truth = {
        (HOSTS[1], from_text("web.shop")): 6000, (HOSTS[2], from_text("gone.shop")): 3000,
        (HOSTS[0], from_text("www.shop")): 3000,
    }  # fmt: skip
    assert weights.keys() == truth.keys()
    for key, count in truth.items():
        assert abs(weights[key] - count) < 4 * (count * every) ** 0.5
