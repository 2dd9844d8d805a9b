"""Files of objects that are followed, and the objects that were read from them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from dnsserver.kube.objects import ObjectFiles
from dnsserver.zone.model import Kind
from tests.kube.support import Sink, thing, wait_for

SHOP = '{"kind": "Namespace", "metadata": {"name": "shop"}}'


def services(*names: str, **rest: Any) -> str:
    """A YAML file (JSON is YAML) of services and their namespace."""
    return "\n---\n".join(json.dumps({"kind": "Service", **thing(name, **rest)}) for name in names)


@asynccontextmanager
async def serving_files(path: Path) -> AsyncIterator[tuple[ObjectFiles, Sink]]:
    sink = Sink()
    files = ObjectFiles(path, sink.apply, poll=0.02)
    async with trio.open_nursery() as nursery:
        await nursery.start(files.run)
        yield files, sink
        nursery.cancel_scope.cancel()


async def shows(sink: Sink, *names: str) -> None:
    await wait_for(lambda: sink.names(Kind.SERVICES) == set(names))


async def polled(files: ObjectFiles, loads: int) -> None:
    """After so many reads of files."""
    await wait_for(lambda: files.statistics().loads >= loads)
