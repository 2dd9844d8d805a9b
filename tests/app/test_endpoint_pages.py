"""`/endpoints` on admin HTTP: all endpoints of a Service, ready or not, and why they cannot be had."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dnsserver.app.endpoint_pages import EndpointStates, endpoint_routes
from dnsserver.app.server import Server
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.zone.model import Kind
from tests.app.explaining import explaining
from tests.cluster import endpoints, kind_of, namespace, service
from tests.kube.apiserver import ApiServer, Fault, serving
from tests.running import config, kubeconfig, running

SICK = {"addresses": ["10.0.0.2"], "conditions": {"ready": False}, "nodeName": "a",
        "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"}}  # fmt: skip
THINGS: list[dict[str, Any]] = [
    namespace("shop"), service("web", "10.9.0.1"), endpoints("web", "10.0.0.1", SICK), endpoints("db", "10.0.0.9")
]  # fmt: skip


async def asked(server: Server, **query: str) -> Response:
    admin = Admin("", 0, endpoint_routes(server))
    answer = admin.respond(Request("GET", "/endpoints", query, {"host": "localhost"}, "127.0.0.1"))
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
        ({}, "namespace: is missing\n"),
        ({"namespace": "shop"}, "service: is missing\n"),
        ({"namespace": "shop", "service": "web", "x": "y"}, "?x: expected namespace, service\n"),
    ],
)
async def test_what_cannot_be_understood_is_told(query: dict[str, str], told: str, tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        found = await asked(shop.server, **query)
    assert (found.status, found.body) == (400, told)


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as server:
        for thing in THINGS:
            server.put(kind_of(thing), thing)
        yield server


async def test_an_api_server_is_asked_anew_each_time(tmp_path: Path, api: ApiServer) -> None:
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        before, none = await states(server), await states(server, "other")
        api.put(Kind.ENDPOINTSLICES, endpoints("web", SICK, name="web-2"))
        after = await states(server)
    assert [(each.addresses, each.state, each.pod, each.node) for each in before.endpoints] == [
        (("10.0.0.2",), "not ready", "shop/web-1", "a"), (("10.0.0.1",), "ready", "", "")
    ]  # fmt: skip
    assert (before.total, before.problem, none) == (2, "", EndpointStates(0, ()))
    assert [(each.state, each.slice) for each in after.endpoints] == [
        ("not ready", "web-1"), ("not ready", "web-2"), ("ready", "web-1")
    ]  # fmt: skip
    chosen = [(request.namespace, request.query.get("labelSelector")) for request in api.requests if request.namespace]
    assert chosen == [("shop", f"kubernetes.io/service-name={name}") for name in ("web", "other", "web")]


@pytest.mark.parametrize("name", ["a,b", "a=b", "x in (y)", "UPPER", "", "a/../../secrets", "é"])
async def test_a_name_that_no_object_can_have_is_not_asked_for(tmp_path: Path, api: ApiServer, name: str) -> None:
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        before = len(api.requests)
        for query in ({"namespace": "shop", "service": name}, {"namespace": name, "service": "web"}):
            found = await asked(server, **query)
            assert isinstance(found.body, bytes)
            assert msgspec.json.decode(found.body, type=EndpointStates) == EndpointStates(
                0, (), "no object of an API server can have this name"
            )
        assert len(api.requests) == before


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("status", status=403), ": 403 "),
        (Fault("status", status=503), ": 503 "),
        (Fault("close", times=9), "disconnected without"),
        (Fault("garbage"), "expected JSON, got text/html"),
    ],
    ids=lambda value: value.action if isinstance(value, Fault) else "",
)
async def test_an_api_server_that_does_not_say_it_is_told(
    tmp_path: Path, api: ApiServer, fault: Fault, why: str
) -> None:
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        api.faults.append(msgspec.structs.replace(fault, kind=Kind.ENDPOINTSLICES, verb="list"))
        found = await states(server)
    assert (found.total, found.endpoints) == (0, ())
    assert found.problem.startswith("which endpoints are not ready cannot be read now: ")
    assert why in found.problem


async def test_five_hundred_are_shown_those_that_are_not_ready_first(tmp_path: Path, api: ApiServer) -> None:
    many = [f"10.1.{number // 250}.{number % 250}" for number in range(600)]
    api.put(Kind.ENDPOINTSLICES, endpoints("web", *many, SICK))
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        found = await states(server)
    assert (found.total, len(found.endpoints), found.endpoints[0].state) == (601, 500, "not ready")
