"""The option edns-tcp-keepalive (RFC 7828): over TCP, for who asks for it, and for nobody else."""

import dns.edns
import dns.message
import pytest
import trio

from dnsserver.forward.outcome import OVERLOAD, Outcome
from dnsserver.server.connection import TcpLimits
from dnsserver.server.room import Room
from dnsserver.wire.message import EMPTY, SERVFAIL
from dnsserver.wire.reply import opt_record, with_keepalive
from tests.server.parts import HOST, LARGE, Parts, UdpClient, query, tcp_client

KEEPALIVE = dns.edns.OptionType.make(11)
ASKS = dns.edns.GenericOption(KEEPALIVE, b"")
TELLS = dns.edns.GenericOption(KEEPALIVE, b"\0\x64")  # which only a server does
COOKIE = dns.edns.CookieOption(b"8octets!", b"")


def told(reply: dns.message.Message) -> list[int]:
    return [int.from_bytes(o.to_wire() or b"") for o in reply.options if o.otype == KEEPALIVE]


def others(reply: dns.message.Message) -> list[dns.edns.OptionType]:
    """Return the options of a reply, but for the one that says why a name is missing."""
    return [option.otype for option in reply.options if option.otype != dns.edns.OptionType.EDE]


# Options of a query, and whether its reply has the timeout.
FORMS: dict[str, tuple[list[dns.edns.Option], bool]] = {
    "none": ([], False),
    "asked": ([ASKS], True),
    "with a timeout": ([TELLS], True),
    "twice": ([ASKS, ASKS], True),
    "beside others": ([COOKIE, ASKS], True),
    "others": ([COOKIE], False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["web.shop", "WEB.shop", "missing.shop", "www.example.com", "medium.shop"])
async def test_row_07_keepalive_is_told_over_tcp_to_who_asks(form: str, name: str) -> None:
    options, expected = FORMS[form]
    kind = "TXT" if name.startswith("medium") else "A"
    plain, asking = query(name, 1, kind, use_edns=0), query(name, 2, kind, options=options)
    parts = Parts()
    async with parts.tcp(TcpLimits(idle=12.5)) as server, tcp_client(server) as client:
        for _ in range(3):  # made, then kept
            replies = []
            for packet in (plain, asking, plain):
                await client.send(packet)
                if name == "www.example.com":
                    await parts.outside.wait_asked(1)
                    parts.deliver()
                replies.append(await client.receive())
            before, reply, after = replies
            assert told(reply) == ([125] if expected else [])
            assert others(reply) == [KEEPALIVE] * expected
            assert reply.answer == before.answer
            assert reply.rcode() == before.rcode()
            assert (others(before), others(after)) == ([], [])
            assert str(reply.question[0].name) == f"{name}."


async def test_row_07_keepalive_is_passed_over_in_udp() -> None:
    parts = Parts()
    async with parts.udp() as port:
        with UdpClient(port, HOST) as client:
            await client.send(query("web.shop", 1, options=[ASKS]), query("web.shop", 2, options=[TELLS]))
            assert [(await client.receive()).options for _ in range(2)] == [(), ()]


async def test_row_07_the_time_is_what_the_connection_has_and_shorter_where_places_are_scarce() -> None:
    parts, limits = Parts(), TcpLimits(connections=10, idle=10)
    room = Room(limits.connections, limits.buffers)
    async with parts.tcp(limits, room) as server, trio.open_nursery() as nursery:
        times = []
        asked = trio.Event()

        async def hold() -> None:
            async with tcp_client(server) as client:
                await client.send(query("web.shop", 1, options=[ASKS]))
                times.extend(told(await client.receive()))
                asked.set()
                await trio.sleep_forever()

        for _ in range(5):
            asked = trio.Event()
            nursery.start_soon(hold)
            await asked.wait()
        assert times[0] == 100
        assert times[-1] == int(100 * room.patience)
        nursery.cancel_scope.cancel()


async def test_row_07_a_reply_that_tells_more_tells_both() -> None:
    parts = Parts()
    async with parts.tcp() as server, tcp_client(server) as client:
        await client.send(query("www.example.com", 1, options=[ASKS]))
        await parts.outside.wait_asked(1)
        parts.outside.finish(lambda _, now: Outcome(SERVFAIL, EMPTY, False, OVERLOAD, now, now))
        reply = await client.receive()
        assert [option.otype for option in reply.options] == [dns.edns.OptionType.EDE, KEEPALIVE]
        assert told(reply) == [100]


async def test_row_07_what_cannot_be_read_or_is_of_another_version_tells_nothing() -> None:
    parts = Parts()
    packet = query("web.shop", 1, options=[ASKS])
    async with parts.tcp() as server, tcp_client(server) as client:
        for odd in (packet[:-1], packet[:-9] + b"\1" + packet[-8:]):  # cut; EDNS version 1, to which BADVERS is said
            await client.send(odd)
            assert told(await client.receive()) == []
        await client.send(query(LARGE.rstrip("."), 3, "TXT", options=[ASKS]))
        reply = await client.receive()
        assert (len(reply.answer[0]), told(reply)) == (240, [100])


@pytest.mark.parametrize(
    ("size", "room"), [(65_535 - 6, True), (65_535 - 5, False)], ids=["fits", "has no room for it"]
)
def test_a_reply_stays_a_message(size: int, room: bool) -> None:
    head = b"\0\1\x80\0\0\1\0\1\0\0\0\1" + b"\0\0\x10\0\1"
    opt = opt_record(1232)
    record = b"\0\0\x10\0\1\0\0\0\0"
    data = bytes(size - len(head) - len(opt) - len(record) - 2)
    whole = head + record + len(data).to_bytes(2) + data + opt
    made = with_keepalive(whole, 3.0)
    assert (made != whole) is room
    assert len(made) <= 65_535


@pytest.mark.parametrize(("seconds", "tenths"), [(0.0, 0), (0.05, 0), (0.1, 1), (10.0, 100), (9_000.0, 65_535)])
def test_the_timeout_is_in_tenths_of_a_second(seconds: float, tenths: int) -> None:
    reply = b"\0\1\x80\0\0\1\0\0\0\0\0\1" + b"\0\0\x10\0\1" + opt_record(1232)
    assert told(dns.message.from_wire(with_keepalive(reply, seconds))) == [tenths]
    without_opt = reply[:11] + b"\0" + reply[12:17]
    assert with_keepalive(without_opt, seconds) == without_opt
