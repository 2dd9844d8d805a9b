"""What the server holds of a question that waits for the outside, and how it distinguishes two such questions."""

import dns.message
import pytest

from dnsserver.server.batch import BatchPort
from dnsserver.server.pending import PendingQuery
from dnsserver.server.unbatched import UnbatchedPort
from tests.messages import option
from tests.server.parts import Parts, UdpClient, query, tcp_client

PADDED = [
    query("www.example.com", 1, options=[option(65001, bytes(400))]),
    query("www.example.com", 1, use_edns=False) + bytes(3900),
    query("www.EXAMPLE.com", 1) + bytes(3900),
    query("www.example.com", 1, use_edns=0),
]


@pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])
@pytest.mark.parametrize("packet", PADDED)
async def test_no_more_than_the_question_is_held(packet: bytes, kind: type[BatchPort] | type[UnbatchedPort]) -> None:
    parts = Parts()
    async with parts.udp(kind=kind) as port:
        with UdpClient(port) as client:
            await client.send(packet)
            await parts.outside.wait_asked()
            waiting = parts.outside.waiting[0][1]
            assert isinstance(waiting, PendingQuery)
            assert len(waiting.packet) <= len(PADDED[3])
            assert waiting.resolution is None or waiting.resolution.query.packet == waiting.packet
            parts.deliver()
            reply = await client.receive()
            assert (reply.id, len(reply.answer)) == (1, 1)
            assert (
                reply.question[0].name.labels
                == dns.message.from_wire(packet, ignore_trailing=True).question[0].name.labels
            )


@pytest.mark.parametrize("kind", [BatchPort, UnbatchedPort])
async def test_equal_are_questions_of_one_socket_with_one_id(kind: type[BatchPort] | type[UnbatchedPort]) -> None:
    parts = Parts()
    async with parts.udp(kind=kind) as port:
        with UdpClient(port) as client, UdpClient(port) as neighbour, UdpClient(port, "127.0.0.9") as other:
            for each, numbers in ((client, (1, 1, 2)), (neighbour, (1,)), (other, (1,))):
                for number in numbers:
                    await each.send(query("www.example.com", number))
                    await parts.outside.wait_asked(len(parts.outside.waiting) + 1)
            askers = [waiter.asker() for _, waiter in parts.outside.waiting]
            assert askers[0] == askers[1]
            assert len(set(askers)) == 4
            assert [client == askers[0][0] for client, _ in askers] == [True, True, True, True, False]


async def test_over_tcp_each_question_is_owed_an_answer() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("www.example.com", 1), query("www.example.com", 1))
        await parts.outside.wait_asked(2)
        askers = [waiter.asker() for _, waiter in parts.outside.waiting]
        assert askers == [(b"\x7f\0\0\1", None)] * 2
