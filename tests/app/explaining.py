"""Explanations of a server in this process, with objects, rules and an upstream that a test chooses."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from dnsserver.app.explain import explainer_of
from dnsserver.app.explainer import Wanted
from dnsserver.app.server import Server
from dnsserver.config import Override, read
from dnsserver.explain.report import Answered, Explanation
from tests.running import HOST, running, write_objects


class Explaining:
    """A running server that is asked to explain."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def explain(self, name: str, **client: Any) -> Explanation:
        return await explainer_of(self.server, self.server.place, trio.current_time).explain(Wanted(name, **client))

    async def answer(self, name: str, type_: str = "A") -> Answered:
        """Return the answer to a whole name."""
        return (await self.explain(f"{name}.", type=type_)).questions[0]


@asynccontextmanager
async def explaining(
    folder: Path, things: Sequence[dict[str, Any]], text: str = "", port: int | None = None
) -> AsyncIterator[Explaining]:
    """Run a server of these objects, with more of a configuration, and an upstream on a port of loopback."""
    objects = write_objects(folder, things)
    file = folder / "c.toml"
    upstreams = "[]" if port is None else f'["{HOST}:{port}"]'
    head = f'listen = ["{HOST}:0"]\nadmin = "{HOST}:0"\nobjects = "{objects}"\nupstreams = {upstreams}\n'
    file.write_text(head + text)
    loaded = read(file, dict[str, Override]())
    async with running(loaded.config, loaded) as server:
        yield Explaining(server)
