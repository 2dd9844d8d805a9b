"""`/explain` on admin HTTP: JSON or text, and mistakes told."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from dnsserver.app.explain_pages import explain_routes
from dnsserver.explain.report import Explanation
from dnsserver.server.admin import Admin, Request, Response
from tests.app.explaining import Explaining, explaining
from tests.cluster import namespace, service


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Explaining]:
    async with explaining(tmp_path, [namespace("shop"), service("web", "10.9.0.1")]) as made:
        yield made


async def asked(shop: Explaining, accept: str = "", **query: str) -> Response:
    admin = Admin("", 0, explain_routes(shop.server, shop.server.place))
    headers = {"host": "localhost", "accept": accept}
    answer = admin.respond(Request("GET", "/explain", query, headers, "127.0.0.1"))
    return answer if isinstance(answer, Response) else await answer


def text(response: Response) -> str:
    assert isinstance(response.body, bytes | str)
    return response.body if isinstance(response.body, str) else response.body.decode()


async def test_json(shop: Explaining) -> None:
    response = await asked(shop, name="web", namespace="shop")
    assert (response.status, response.type) == (200, "application/json")
    found = msgspec.json.decode(text(response), type=Explanation)
    assert (found.name, found.resolves, len(found.questions)) == ("web", True, 2)
    assert found == await shop.explain("web", namespace="shop")


async def test_text(shop: Explaining) -> None:
    response = await asked(shop, "text/plain", name="web", namespace="shop")
    assert text(response).splitlines()[-1] == "web resolves as web.shop.svc.cluster.local. to 10.9.0.1"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "name: is missing\n"),
        ({"name": "web", "x": "y"}, "?x: expected name, type, pod, namespace, resolv_conf\n"),
        ({"name": "a..b"}, 'name: found "a..b": the label in front of a dot has 0 octets, expected 1 to 63\n'),
        ({"name": "web", "pod": "x"}, 'pod: found "x", expected NAMESPACE/NAME\n'),
    ],
)
async def test_mistakes(shop: Explaining, query: dict[str, str], said: str) -> None:
    response = await asked(shop, **query)
    assert (response.status, text(response)) == (400, said)


async def test_many_at_once_are_all_answered(shop: Explaining) -> None:
    route = explain_routes(shop.server, shop.server.place)["/explain"]
    statuses: list[int] = []

    async def ask() -> None:
        answer = route.handle(Request("GET", "/explain", {"name": "web", "namespace": "shop"}, {}, "127.0.0.1"))
        assert not isinstance(answer, Response)
        statuses.append((await answer).status)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert statuses == [200] * 20
