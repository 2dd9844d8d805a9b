"""The functions of the server that one question, or one event of the API, passes: how many, and in which order.

A real server, real sockets; what every one of several walks passes counts, so that a timer that comes between does not.
`python -m pytest tests/test_walks.py -s` prints the lists.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Self

import dns.message
import pytest

from dnsserver.zone.model import Kind, Put
from tests.cluster import decoded, endpoints, service
from tests.faulty import Border, Running, running
from tests.kube.support import thing
from tests.running import ask_udp

_ROOT = str(Path(__file__).parents[1] / "dnsserver") + "/"
_TESTS = str(Path(__file__).parent) + "/"
_ROUNDS = 8


class Walk:
    """The functions called, in the order of their first call, and the modules that were entered again from others."""

    def __init__(self) -> None:
        self.functions: dict[str, None] = {}
        self.again: set[str] = set()

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event != "call" or not (module := _module(frame)):
            return
        name = frame.f_code.co_qualname
        if name.endswith(">") and not name.endswith("<lambda>"):  # a comprehension, which is a call up to Python 3.11
            return
        above = frame.f_back
        if above is not None and above.f_code.co_filename.startswith(_TESTS + "faulty"):  # what the test itself asks
            return
        self.functions[f"{module}: {name}"] = None
        left = False
        while above is not None and (found := _module(above)):
            left = left or found != module
            if left and found == module:
                self.again.add(f"{module}: {name}")
            above = above.f_back


def _module(frame: FrameType) -> str:
    path = frame.f_code.co_filename
    return path.removeprefix(_ROOT).removesuffix(".py").replace("/", ".") if path.startswith(_ROOT) else ""


def _packet(name: str) -> bytes:
    return dns.message.make_query(name, "A", use_edns=0, payload=1232).to_wire()


async def _ask(run: Running, name: str) -> None:
    (reply,) = await ask_udp(run.port, [_packet(name)])
    assert len(dns.message.from_wire(reply).answer) == 1


async def hit(run: Running, number: int) -> None:
    del number
    await _ask(run, "web.shop.svc.cluster.local")


async def first(run: Running, number: int) -> None:
    """The first question about a headless service, which is read."""
    await _ask(run, f"head{number}.shop.svc.cluster.local")


async def alike(run: Running, number: int) -> None:
    """The first question about a service, when others like it were asked."""
    await _ask(run, f"web{number}.shop.svc.cluster.local")


async def forwarded(run: Running, number: int) -> None:
    await _ask(run, f"n{number}.example.com")


async def event(run: Running, number: int) -> None:
    assert run.api is not None
    run.api.put(Kind.SERVICES, thing("odd", spec={"clusterIP": f"10.9.1.{number + 1}"}))
    wanted = (bytes((10, 9, 1, number + 1)),)
    index = run.server.dns.cluster.index

    def is_in() -> bool:
        entry = index.entries[b"shop"].get(b"odd")
        return entry is not None and entry.service is not None and entry.service.addresses == wanted

    await run.until(is_in)


Scene = Callable[[Running, int], Awaitable[None]]


async def walked(scene: Scene, folder: Path, *, api: bool) -> tuple[list[str], set[str]]:
    """Return the functions that each walk passes, and those by which it comes into a module again."""
    walks = []
    with pytest.MonkeyPatch.context() as patch:
        border = Border("question", Running, "wait_blown", lambda run: scene(run, 0), api=api)
        async with running(border, folder, patch) as run:
            run.server.dns.responder.sampler.switch(False)  # what is sampled goes a longer way
            if not api:
                for number in range(_ROUNDS):
                    things = [service(f"web{number}", f"10.9.2.{number}"), service(f"head{number}")]
                    for obj in (*things, endpoints(f"head{number}", f"10.1.2.{number}")):
                        run.server.sync.apply(Put(decoded(obj)))
            for number in range(_ROUNDS):
                with Walk() as walk:
                    await scene(run, number)
                walks.append(walk)
    walks = walks[2:]  # the others have shown the way
    common = [name for name in walks[0].functions if all(name in walk.functions for walk in walks)]
    return common, set.intersection(*(walk.again for walk in walks))


class Length(NamedTuple):
    """How many functions a walk passes at most, and how many it should: what stands around a batch counts."""

    most: int
    wanted: int


LENGTHS: dict[Scene, Length] = {
    hit: Length(4, 6),
    first: Length(22, 22),
    alike: Length(10, 22),
    forwarded: Length(40, 40),
    event: Length(18, 18),
}


@pytest.mark.parametrize("scene", LENGTHS)
async def test_the_walk_is_short_and_comes_into_no_module_again(scene: Scene, tmp_path: Path) -> None:
    functions, again = await walked(scene, tmp_path, api=scene is event)
    most, wanted = LENGTHS[scene]
    title = f"{scene.__name__}: {len(functions)} functions, {most} at most, {wanted} wanted"
    print(title, *functions, sep="\n  ")  # noqa: T201 - shown by `-s`, and when the test fails
    assert len(functions) <= most
    if scene is not event:
        assert not again
