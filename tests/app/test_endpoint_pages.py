"""`/endpoints` on admin HTTP: all endpoints of a Service, ready or not, and why they cannot be had."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnsserver.app.endpoint_pages import EndpointStates, endpoint_routes
from dnsserver.app.server import Server
from dnsserver.server.admin import Request, Response
from tests.app.explaining import explaining
from tests.cluster import endpoints, namespace, service

SICK = {"addresses": ["10.0.0.2"], "conditions": {"ready": False}, "nodeName": "a",
        "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"}}  # fmt: skip
THINGS: list[dict[str, Any]] = [
    namespace("shop"), service("web", "10.9.0.1"), endpoints("web", "10.0.0.1", SICK), endpoints("db", "10.0.0.9")
]  # fmt: skip


async def asked(server: Server, **query: str) -> Response:
    route = endpoint_routes(server)["/endpoints"]
    assert (route.method, route.open) == ("GET", False)
    answer = route.handle(Request("GET", "/endpoints", query, {}, "127.0.0.1"))
    return answer if isinstance(answer, Response) else await answer


async def states(server: Server, service: str = "web") -> EndpointStates:
    found = await asked(server, namespace="shop", service=service)
    assert isinstance(found.body, bytes)
    return msgspec.json.decode(found.body, type=EndpointStates)


async def test_files_have_the_endpoints_that_are_not_ready_as_well(tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        found, none = await states(shop.server), await states(shop.server, "other")
    assert [(each.addresses, each.state, each.pod, each.node) for each in found.endpoints] == [
        (("10.0.0.2",), "not ready", "shop/web-1", "a"), (("10.0.0.1",), "ready", "", "")
    ]  # fmt: skip
    assert (found.total, found.problem, none) == (2, "", EndpointStates(0, ()))


async def test_files_that_are_gone_are_told(tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        assert shop.server.config.objects is not None
        place = shop.server.config.objects
        for file in place.iterdir() if place.is_dir() else (place,):
            file.write_text("{")
        found = await states(shop.server)
    assert (found.total, found.endpoints) == (0, ())
    assert found.problem.startswith("which endpoints are not ready cannot be read now: ")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, "say ?namespace=NAMESPACE and &service=NAME\n"),
        ({"namespace": "shop"}, "say ?namespace=NAMESPACE and &service=NAME\n"),
        ({"namespace": "shop", "service": "web", "x": "y"}, "say ?namespace=NAMESPACE and &service=NAME\n"),
    ],
)
async def test_what_cannot_be_understood_is_told(query: dict[str, str], told: str, tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        found = await asked(shop.server, **query)
    assert (found.status, found.body) == (400, told)
