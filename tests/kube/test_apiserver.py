"""The API server of the tests sends what a real one sent: heads and bodies of the same shape as the recordings."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from dnsserver.kube.api import METADATA, METADATA_LIST
from dnsserver.kube.credentials import ApiEndpoint, tls_context
from dnsserver.zone.model import Kind
from tests.kube.apiserver import ApiServer
from tests.kube.apistore import Selector, Stored
from tests.kube.support import thing

RECORDINGS = Path(__file__).with_name("recordings")


class Recording:
    """Status, headers and body of a recorded answer."""

    def __init__(self, name: str) -> None:
        head, _, self.body = (RECORDINGS / f"{name}.http").read_text().partition("\n\n")
        status, *headers = head.splitlines()
        self.status = int(status.split()[1])
        self.headers = dict(line.split(": ", 1) for line in headers)
        # Recorded over HTTP/2; over HTTP/1.1 a body without a length is chunked.
        self.names = set(self.headers) - {"content-length"}

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines() if line]


def shape(value: Any, known: Any) -> Any:
    """Keys and types, as deep as both are filled."""
    if isinstance(value, dict) and isinstance(known, dict):
        return {key: shape(value[key], known.get(key)) for key in sorted(value) if key in known}
    if isinstance(value, list) and isinstance(known, list) and value and known:
        return [shape(value[0], known[0])]
    return type(value).__name__


def assert_same_shape(mine: Any, recorded: Any) -> None:
    assert set(mine) == set(recorded)
    assert shape(mine, recorded) == shape(recorded, mine)


@asynccontextmanager
async def browsing(server: ApiServer) -> AsyncIterator[httpx2.AsyncClient]:
    context = tls_context(ApiEndpoint(server.url, ca=server.ca))
    headers = {"authorization": f"Bearer {server.token}"}
    async with httpx2.AsyncClient(base_url=server.url, verify=context, headers=headers, trust_env=False) as client:
        yield client


async def check(server: ApiServer, name: str, path: str, **headers: str) -> Any:
    """The whole answer to a request compared with a recorded one; gives the body."""
    recorded = Recording(name)
    async with browsing(server) as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == recorded.status
    assert set(answer.headers) - {"content-length", "transfer-encoding"} == recorded.names
    assert answer.headers["content-type"] == recorded.headers["content-type"]
    if "retry-after" in recorded.headers:
        assert answer.headers["retry-after"] == recorded.headers["retry-after"]
    if recorded.body.startswith("{\n"):
        mine, theirs = answer.json(), json.loads(recorded.body)
        assert_same_shape(mine, theirs)
        assert_same_shape(mine["metadata"], theirs["metadata"])
        return mine
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def cluster(server: ApiServer) -> ApiServer:
    """The objects of the recordings, as far as they are there."""
    lists = (
        (Kind.SERVICES, "list-services-page1"),
        (Kind.ENDPOINTSLICES, "list-endpointslices"),
        (Kind.NAMESPACES, "list-namespaces-metadata-only"),
    )
    for kind, name in lists:
        for item in json.loads(Recording(name).body)["items"]:
            server.put(kind, item)
    return server


async def test_pages(cluster: ApiServer) -> None:
    page = await check(cluster, "list-services-page1", "/api/v1/services?limit=2")
    assert page["items"][0] == {
        **json.loads(Recording("list-services-page1").body)["items"][0],
        "metadata": page["items"][0]["metadata"],
    }
    token = page["metadata"]["continue"]
    rest = (
        await check(cluster, "list-services-page2", f"/api/v1/services?limit=1&continue={token}")
        if page["metadata"]["remainingItemCount"] > 1
        else None
    )
    assert rest is None or rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]
    slices = await check(cluster, "list-endpointslices", "/apis/discovery.k8s.io/v1/endpointslices?limit=1")
    assert "kind" not in slices["items"][0]


async def test_metadata_only(cluster: ApiServer) -> None:
    path = "/api/v1/namespaces?limit=2"
    page = await check(cluster, "list-namespaces-metadata-only", path, accept=METADATA_LIST)
    assert_same_shape(page["items"][0], json.loads(Recording("list-namespaces-metadata-only").body)["items"][0])


async def test_errors(cluster: ApiServer) -> None:
    page = await check(cluster, "list-services-page1", "/api/v1/services?limit=1")
    cluster.put(Kind.PODS, thing("other"))
    cluster.compact()
    gone = await check(cluster, "list-continue-gone", f"/api/v1/services?continue={page['metadata']['continue']}")
    # With the fresh token one gets the inconsistent rest.
    async with browsing(cluster) as client:
        rest = await client.get("/api/v1/services", params={"continue": gone["metadata"]["continue"]})
        assert len(rest.json()["items"]) == len(cluster.store.objects[Kind.SERVICES]) - 1
    future = "/api/v1/services?resourceVersion=999999999&resourceVersionMatch=NotOlderThan"
    too_large = await check(cluster, "list-future-version", future)
    assert_same_shape(too_large["details"], json.loads(Recording("list-future-version").body)["details"])
    cluster.forbidden.add(Kind.PODS)
    await check(cluster, "forbidden", "/api/v1/pods")
    cluster.token = "another"
    async with browsing(cluster) as client:
        client.headers["authorization"] = "Bearer wrong"
        answer = await client.get("/api/v1/services")
        assert (answer.status_code, answer.json()) == (401, json.loads(Recording("unauthorized").body))
        assert set(answer.headers) == set(Recording("unauthorized").headers)


async def test_a_watch_from_a_version_that_is_gone(cluster: ApiServer) -> None:
    cluster.compact()
    (mine,) = await check(cluster, "watch-gone", "/api/v1/services?watch=true&resourceVersion=1")
    (theirs,) = Recording("watch-gone").lines
    assert_same_shape(mine, theirs)
    assert_same_shape(mine["object"], theirs["object"])
    assert mine["object"]["code"] == 410


async def test_a_watch_from_a_version_of_the_future(cluster: ApiServer) -> None:
    """It is held open in silence, as every watch until its time is over."""
    path = "/api/v1/services?watch=1&allowWatchBookmarks=true&resourceVersion=999999&timeoutSeconds=1"
    began = trio.current_time()
    assert await check(cluster, "watch-future-version", path) == []
    assert trio.current_time() - began > 0.9


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (Kind.SERVICES, "watch-services", "/api/v1/services"),
        (Kind.ENDPOINTSLICES, "watch-endpointslices", "/apis/discovery.k8s.io/v1/endpointslices"),
    ],
)
async def test_a_watch(cluster: ApiServer, kind: Kind, name: str, path: str) -> None:
    recorded = Recording(name).lines
    version = cluster.store.version
    for line in recorded:
        if line["type"] in {"ADDED", "MODIFIED"}:
            cluster.put(kind, line["object"])
        elif line["type"] == "DELETED":
            cluster.delete(kind, "rec", line["object"]["metadata"]["name"])
    lines = await check(
        cluster, name, f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=0&allowWatchBookmarks=true"
    )
    changes = [line for line in recorded if line["type"] != "BOOKMARK"]
    assert [line["type"] for line in lines] == [line["type"] for line in changes] + ["BOOKMARK"]
    bookmarks = [line for line in recorded if line["type"] == "BOOKMARK"]
    for mine, theirs in zip(lines, changes + bookmarks[:1], strict=True):
        assert_same_shape(mine["object"], theirs["object"])
        assert_same_shape(mine["object"]["metadata"], theirs["object"]["metadata"])
    assert int(lines[-1]["object"]["metadata"]["resourceVersion"]) == cluster.store.version


async def test_a_streaming_list(cluster: ApiServer) -> None:
    query = (
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=0"
    )
    lines = await check(cluster, "watchlist-namespaces", f"/api/v1/namespaces?{query}")
    recorded = Recording("watchlist-namespaces").lines
    end = len(cluster.store.objects[Kind.NAMESPACES])
    assert lines[end] == {
        **recorded[-1],
        "object": {
            **recorded[-1]["object"],
            "metadata": {
                **recorded[-1]["object"]["metadata"],
                "resourceVersion": lines[end]["object"]["metadata"]["resourceVersion"],
            },
        },
    }
    partial = await check(cluster, "watchlist-namespaces", f"/api/v1/namespaces?{query}", accept=METADATA)
    assert {line["object"]["kind"] for line in partial} == {"PartialObjectMetadata"}


async def test_an_older_server_refuses_streaming_lists(cluster: ApiServer) -> None:
    cluster.streaming = False
    async with browsing(cluster) as client:
        query = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        answer = await client.get("/api/v1/services", params=query)
        assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


async def test_exact_lists_of_versions_past(server: ApiServer) -> None:
    server.put(Kind.SERVICES, thing("a"))
    server.put(Kind.SERVICES, thing("b"))
    version = server.store.version
    server.put(Kind.SERVICES, thing("a", labels={"new": "yes"}))
    server.delete(Kind.SERVICES, "shop", "b")
    server.put(Kind.SERVICES, thing("c"))
    path = f"/api/v1/services?resourceVersion={version}&resourceVersionMatch=Exact"
    async with browsing(server) as client:
        items = (await client.get(path)).json()["items"]
    assert [(item["metadata"]["name"], item["metadata"]["labels"]) for item in items] == [("a", {}), ("b", {})]


async def test_objects_written_by_http(server: ApiServer) -> None:
    async with browsing(server) as client:
        await client.put("/api/v1/namespaces/shop/services/web", json=thing("web"))
        assert len(server.store.objects[Kind.SERVICES]) == 1
        await client.delete("/api/v1/namespaces/shop/services/web")
        assert not server.store.objects[Kind.SERVICES]


@pytest.mark.parametrize(
    ("labels", "fields", "matches"),
    [
        ("", "", True),
        ("a=1", "", True),
        ("a==1,b!=3", "", True),
        ("a!=1", "", False),
        ("a in (1, 2),!c", "", True),
        ("a notin (1, 2)", "", False),
        ("c", "", False),
        ("c!=1", "", True),
        ("", "metadata.name=x,metadata.namespace!=other", True),
        ("", "status.phase!=Running", False),
    ],
)
def test_selectors(labels: str, fields: str, matches: bool) -> None:
    stored = Stored(Kind.PODS, "shop", "x", 1, b"", b"", {"a": "1", "b": "2"}, "Running")
    assert Selector(labels, fields).matches(stored) is matches
