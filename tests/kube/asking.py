"""A client of the test's API server, and what it gets: all pages of a list, all lines of a watch."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec

from dnsserver.kube import answers
from dnsserver.kube.api import Client
from dnsserver.kube.credentials import ApiEndpoint, Credentials
from dnsserver.kube.decode import Change
from dnsserver.kube.scope import Scope
from dnsserver.zone.model import Kind, Object
from tests.kube.apiserver import ApiServer
from tests.kube.support import FAST

SERVICES = Scope(Kind.SERVICES)


@asynccontextmanager
async def client_of(server: ApiServer, ca: str = "") -> AsyncIterator[Client]:
    async def load() -> ApiEndpoint:
        return ApiEndpoint(server.url, f"Bearer {server.token}", ca or server.ca)

    client = Client(
        Credentials(load), page_size=2, read_timeout=0.3, connect_timeout=0.3, answer_timeout=0.3, timing=FAST
    )
    yield client
    await client.aclose()


async def pages(client: Client, scope: Scope = SERVICES, version: str = "") -> list[answers.Page[Object | msgspec.Raw]]:
    async with aclosing(client.pages(scope, version=version)) as found:
        return [page async for page in found]


async def lines(client: Client, version: str, scope: Scope = SERVICES) -> list[Change]:
    async with aclosing(client.watch(scope, version, seconds=0)) as found:
        return [line async for line in found]
