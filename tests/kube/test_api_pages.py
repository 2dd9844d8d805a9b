"""Pages of a list: how they come, and what becomes of those that fail."""

import resource
from contextlib import aclosing

import msgspec
import pytest
import trio

from dnsserver.kube import errors
from dnsserver.kube.api import LARGEST_PAGE
from dnsserver.kube.decode import from_json
from dnsserver.kube.progress import Received
from dnsserver.kube.scope import Scope
from dnsserver.zone.model import Kind, Object, Service
from tests.kube.apiserver import ApiServer, Fault
from tests.kube.asking import SERVICES, client_of, lines, pages
from tests.kube.compressed import BOMB, FROM
from tests.kube.support import thing, wait_for


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers={"retry-after": "0"}),
        Fault("status", status=503),
        Fault("status", status=500),
        Fault("close"),
        Fault("half-reset"),
        Fault("hang"),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status}",
)
async def test_a_page_that_fails_is_asked_for_again_and_not_the_whole_list(server: ApiServer, fault: Fault) -> None:
    for name in "abcde":
        server.put(Kind.SERVICES, thing(name))
    server.faults = [Fault(fault.action, verb="page", times=3, status=fault.status, headers=fault.headers)]
    async with client_of(server) as client:
        assert [len(page.items) for page in await pages(client)] == [2, 2, 1]
    assert [request.verb for request in server.requests] == ["list"] + ["page"] * 5
    assert len({request.query.get("continue") for request in server.requests}) == 3


async def test_a_page_that_fails_for_long_ends_the_list(server: ApiServer) -> None:
    """Meanwhile it counts as waited for, so that it is told."""
    for name in "abc":
        server.put(Kind.SERVICES, thing(name))
    server.faults = [Fault("status", status=503, verb="page", times=100)]
    async with client_of(server) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(errors.ServerFailure):
                await pages(client)

        nursery.start_soon(ask)
        await wait_for(lambda: len(server.requests) > 5 and (client.waiting() or (0, ""))[1] == "more of a list")
    assert [request.verb for request in server.requests] == ["list"] + ["page"] * 11


async def test_bytes_are_counted(server: ApiServer) -> None:
    server.put(Kind.SERVICES, thing("a", annotations={"note": "x" * 100_000}))
    received = Received()
    async with client_of(server) as client, aclosing(client.pages(SERVICES, received=received)) as found:
        (page,) = [page async for page in found]
    assert 100_000 < received.octets < 101_000
    assert note_of(page.items[0]) == "x" * 100_000


def note_of(item: Object | msgspec.Raw) -> str:
    assert isinstance(item, Service)
    return (item.metadata.annotations or {})["note"]


def fill_large(server: ApiServer) -> None:
    """A list that is long enough to be worth compressing."""
    for name in "ab":
        server.put(Kind.SERVICES, thing(name, annotations={"note": "x" * FROM}))


async def test_lists_come_compressed(server: ApiServer) -> None:
    """Watches and short lists are not compressed: a real API server does not compress them even if it is asked to."""
    fill_large(server)
    received = Received()
    async with client_of(server) as client, aclosing(client.pages(SERVICES, received=received)) as found:
        (page,) = [page async for page in found]
        await lines(client, "1")
    assert [note_of(item) for item in page.items] == ["x" * FROM] * 2
    assert received.octets < FROM / 50, "what is counted is what came by the connection"
    assert [each.headers["accept-encoding"] for each in server.requests] == ["gzip", "identity"]


async def test_each_page_is_what_came_with_it(server: ApiServer) -> None:
    """All pages are read into the same memory: nothing of a longer one before is in a page, or stays in its objects."""
    lengths = [FROM, 7, 0, 1, 3 * FROM, 2]
    for number, length in enumerate(lengths):
        server.put(Kind.SERVICES, thing(f"s{number}", annotations={"note": str(number) * length}))
        server.put(Kind.ENDPOINTSLICES, thing(f"e{number}", annotations={"note": str(number) * length}))
    async with client_of(server) as client:
        services = [item for page in await pages(client) for item in page.items]
        slices = [item for page in await pages(client, Scope(Kind.ENDPOINTSLICES)) for item in page.items]
    assert [note_of(item) for item in services] == [str(number) * length for number, length in enumerate(lengths)]
    decoded = [from_json(Kind.ENDPOINTSLICES, item) for item in slices if isinstance(item, msgspec.Raw)]
    assert [len((each.metadata.annotations or {})["note"]) for each in decoded] == lengths


@pytest.mark.parametrize("bad", [{"spec": {"ports": 1}}, {"metadata": {"name": ""}}])
async def test_a_page_with_an_object_that_cannot_be_used_stays_raw(server: ApiServer, bad: dict[str, object]) -> None:
    """So that each of its objects can be judged by itself."""
    server.put(Kind.SERVICES, thing("a"))
    server.put(Kind.SERVICES, {**thing("b"), **bad})
    server.put(Kind.SERVICES, thing("c"))
    async with client_of(server) as client:
        found = await pages(client)
    assert [[isinstance(item, msgspec.Raw) for item in page.items] for page in found] == [[True, True], [False]]


@pytest.mark.parametrize("spoil", ["gzip-not-asked-for", "gzip-members"])
@pytest.mark.parametrize("large", [False, True])
async def test_lists_compressed_another_way(server: ApiServer, spoil: str, large: bool) -> None:
    if large:
        fill_large(server)
    server.faults.append(Fault(spoil))
    async with client_of(server) as client:
        (page,) = await pages(client)
    assert len(page.items) == 2 * large


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("gzip-that-is-plain", "not gzip"),
        ("gzip-half", "ended before its gzip data"),
        ("gzip-without-an-octet", "ended before its gzip data"),
        ("gzip-with-a-wrong-sum", "not gzip"),
        ("gzip-and-more", "not gzip"),
        ("brotli", "encoding 'br', which was not requested"),
    ],
)
async def test_lists_whose_encoding_is_spoilt_are_asked_for_plain(server: ApiServer, spoil: str, told: str) -> None:
    """A proxy on the way may spoil each of them."""
    fill_large(server)
    server.faults.append(Fault(spoil))
    async with client_of(server) as client:
        with pytest.raises(errors.Undecodable, match=told):
            await pages(client)
        assert [len(page.items) for page in await pages(client)] == [2]
        await pages(client)
    assert [each.headers["accept-encoding"] for each in server.requests] == ["gzip", "identity", "identity"]


async def test_a_compressed_list_that_says_nothing_of_it(server: ApiServer) -> None:
    server.faults.append(Fault("gzip-that-nobody-tells"))
    async with client_of(server) as client:
        with pytest.raises(errors.Malformed, match="is not a list"):
            await pages(client)


async def test_a_bomb_goes_off_in_no_more_than_a_page(server: ApiServer) -> None:
    """Other tasks run in the meantime."""
    server.faults.append(Fault("gzip-bomb", times=9))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with client_of(server) as client, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(errors.TooLarge):
            await pages(client)
        nursery.cancel_scope.cancel()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (LARGEST_PAGE + BOMB) / 2 / 1024
    assert turns > LARGEST_PAGE / (256 * 1024)
