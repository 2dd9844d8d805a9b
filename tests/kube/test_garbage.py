"""After a fault of the API server nothing that was read waits for the garbage collector, which seldom comes.

A page of a list has up to some MiB. An error that a frame holds, and that holds the frame in its traceback, keeps the
page that the frame has read: a server of a few thousand objects grew by 6 MiB in two minutes of expired lists.
"""

import gc
from collections.abc import Iterator
from types import FrameType

import msgspec
import pytest

from dnsserver.zone.model import Kind
from tests.kube.apiserver import ApiServer, Fault
from tests.kube.support import again, each_fault, mirroring, thing, wait_for

LARGE = 2000  # octets of each object
OURS = "/dnsserver/"


@pytest.fixture
def garbage() -> Iterator[None]:
    """Let the collector find what there is to find when the test asks it, and keep it."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def held() -> list[str]:
    """Return what the garbage holds of what was read: a page, or a piece of a response."""
    gc.collect()
    return [
        f"{where(each)}: {type(held).__name__}"
        for each in gc.garbage
        if not isinstance(each, FrameType) or OURS in each.f_code.co_filename
        for held in gc.get_referents(each)
        if is_read(held) and (isinstance(each, FrameType) or isinstance(held, msgspec.Raw))
    ]


def where(thing: object) -> str:
    return f"{thing.f_code.co_qualname}:{thing.f_lineno}" if isinstance(thing, FrameType) else type(thing).__name__


def is_read(thing: object) -> bool:
    return isinstance(thing, msgspec.Raw) or (isinstance(thing, bytes | bytearray) and len(thing) > LARGE)


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "pages"])
@pytest.mark.parametrize("verb", ["list", "page", "watch"])
@each_fault
async def test_a_fault(server: ApiServer, garbage: None, fault: Fault, verb: str, streaming: bool) -> None:
    del garbage
    server.streaming = streaming
    for number in range(10):
        server.put(Kind.SERVICES, thing(f"s{number}", labels={"long": "x" * LARGE}))
    server.faults.append(again(fault, verb))
    async with mirroring(server, read_timeout=0.5) as mirror:
        await mirror.wait_equal()
        await wait_for(lambda: server.streams(Kind.SERVICES) == 1)
        server.compact()
        server.disturb("gone")
        server.put(Kind.SERVICES, thing("new"))
        await mirror.wait_equal()
        await wait_for(lambda: server.streams(Kind.SERVICES) == 1)
    assert held() == []
