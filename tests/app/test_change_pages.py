"""`/changes` on admin HTTP: what changed, of a server whose objects change."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dnsserver.app.change_pages import change_routes
from dnsserver.app.server import Server
from dnsserver.page.changes import ChangeList
from dnsserver.server.admin import Admin, Request, Response
from dnsserver.zone.model import Kind, Put
from tests.app.explaining import explaining
from tests.cluster import decoded, endpoints, namespace, service
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing, wait_for
from tests.running import config, kubeconfig, running

THINGS = [namespace("shop"), service("web", "10.9.0.1"), endpoints("web", "10.0.0.1")]


def asked(server: Server, **query: str) -> Response:
    admin = Admin("", 0, change_routes(server))
    found = admin.respond(Request("GET", "/changes", query, {"host": "localhost"}, "127.0.0.1"))
    assert isinstance(found, Response)
    return found


def found(server: Server, **query: str) -> ChangeList:
    body = asked(server, **query).body
    assert isinstance(body, bytes)
    return msgspec.json.decode(body, type=ChangeList)


def rows(server: Server, **query: str) -> list[tuple[str, ...]]:
    return [row.what for row in found(server, **query).rows]


async def test_changes_of_the_source_are_shown_and_what_it_began_with_is_not(tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        before = rows(shop.server)
        shop.server.sync.apply(Put(decoded(endpoints("web"))))
        shop.server.sync.apply(Put(decoded(service("api", "10.9.0.2"))))
        after, own = rows(shop.server), rows(shop.server, namespace="shop", service="web", limit="5", since="12.5")
    assert (before, own) == ([], [("ready addresses 1 → 0",)])
    assert after == [("created: ClusterIP 10.9.0.2, 0 ready addresses",), *own]


async def test_while_the_api_server_does_not_answer_it_is_said_that_changes_may_be_missing(tmp_path: Path) -> None:
    async with serving(ApiServer()) as api:
        api.put(Kind.SERVICES, thing("web", spec={"clusterIP": "10.9.0.1"}))
        began = time.time()
        async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
            before = found(server, namespace="shop", service="web")
            api.stop()
            await wait_for(lambda: bool(server.sync.unheard()))
            during = found(server, namespace="shop", service="nobody")
    assert (before.unheard, before.absent, before.rows) == ("", False, ())
    assert began - 1 < before.since < time.time() + 1
    assert re.match(r"the API server was followed .* ago at the latest: \w+: [^\[]+$", during.unheard)
    assert (during.absent, during.since) == (True, before.since)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(lambda file: file.write_text('{"kind":'), r"line \d+.*"), (Path.unlink, "no such file or folder")],
    ids=["broken", "gone"],
)
async def test_while_a_file_of_objects_cannot_be_read_it_is_said_that_changes_may_be_missing(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    file = tmp_path / "objects.json"
    good = json.dumps({"kind": "List", "items": THINGS})
    file.write_text(good)
    async with running(config(objects=str(file))) as server:
        assert found(server).unheard == ""
        spoil(file)
        await wait_for(lambda: bool(server.sync.unheard()))
        assert re.match(rf"{file}: {told}; its last good content stays in use$", found(server).unheard)
        file.write_text(good)
        await wait_for(lambda: not server.sync.unheard())


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"x": "y"}, "?x: expected namespace, service, since, limit"),
        ({"service": "web"}, "service: needs the namespace of the Service, as namespace"),
        ({"since": "today"}, 'since: found "today", expected a unix time in seconds'),
        ({"since": "nan"}, 'since: found "nan", expected a unix time in seconds'),
        ({"limit": "0"}, 'limit: found "0", expected a number from 1 to 1000'),
        ({"limit": "1001"}, 'limit: found "1001", expected a number from 1 to 1000'),
        ({"limit": "²"}, 'limit: found "²", expected a number from 1 to 1000'),
    ],
)
async def test_what_cannot_be_understood_is_told(query: dict[str, str], told: str, tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS) as shop:
        found = asked(shop.server, **query)
    assert (found.status, found.body) == (400, f"{told}\n")
