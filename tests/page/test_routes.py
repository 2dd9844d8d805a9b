"""The JSON of the page, asked without a socket."""

import inspect
import json
from typing import Any

import pytest
import trio

from dnsserver.config import Config, order, render
from dnsserver.metrics import Readings
from dnsserver.page.history import History
from dnsserver.page.overview import Overview
from dnsserver.page.routes import Settings, page_routes
from dnsserver.page.status import Limits
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.zone.cluster import Cluster
from tests.cluster import listed, namespace, service


async def read() -> Readings:
    await trio.lowlevel.checkpoint()
    return Readings(now=trio.current_time(), ready=True)


def admin() -> Admin:
    cluster = Cluster()
    for event in listed([namespace("shop"), service("web", "10.0.0.1")]):
        cluster.apply(event, 0.0, 0.0)
    settings = Settings(render(Config()), order(Config()))
    return Admin("::", 1, page_routes(Overview(History(), read, lambda: Limits(1, 1)), cluster, lambda: settings))


async def ask(path: str, **query: str) -> tuple[int, Any]:
    answer = admin().respond(Request("GET", path, query, {"host": "localhost"}, "127.0.0.1"))
    response = await answer if inspect.iscoroutine(answer) else answer
    assert isinstance(response, Response)
    assert isinstance(response.body, bytes | str)
    if response.status != 200:
        return response.status, response.body
    assert response.type == "application/json"
    return response.status, json.loads(response.body)


async def test_the_overview() -> None:
    status, found = await ask("/status")
    assert (status, found["ready"], found["verdict"]) == (200, True, "ready")


async def test_the_zone_is_walked_down() -> None:
    _, found = await ask("/zone")
    assert [row["name"] for row in found["rows"]] == ["shop"]
    _, found = await ask("/zone", filter="we")
    assert [row["name"] for row in found["services"]] == ["web"]
    _, found = await ask("/zone", namespace="shop")
    assert [row["name"] for row in found["rows"]] == ["web"]
    _, found = await ask("/zone", namespace="shop", service="web")
    assert found["records"][0]["data"] == ["10.0.0.1"]
    assert (await ask("/zone", namespace="shop", service="nothing"))[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        {"offset": "-1"},
        {"offset": "x"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "1e3"},
        {"offset": "9" * 5000},
        {"offset": "9" * 7},
        {"namspace": "shop"},
    ],
)
async def test_a_page_that_makes_no_sense(query: dict[str, str]) -> None:
    status, said = await ask("/zone", **query)
    assert status == 400
    assert "expected" in said


async def test_the_configuration_as_check_prints_it() -> None:
    _, found = await ask("/config")
    assert found == {"toml": render(Config()), "order": order(Config())}
