"""Requests in the form that an API server needs, and the right exception for each of its answers."""

import socket
from contextlib import aclosing

import pytest
import trio

from dnsserver.kube import errors
from dnsserver.kube.api import Client
from dnsserver.kube.credentials import ApiEndpoint, Credentials
from dnsserver.kube.scope import Scope
from dnsserver.zone.model import Kind
from tests.kube.apiserver import ApiServer, Fault
from tests.kube.asking import SERVICES, client_of, lines, pages
from tests.kube.support import thing, wait_for

LOOPBACK = "127.0.0.1"


async def test_what_is_asked(server: ApiServer) -> None:
    for name in "abc":
        server.put(Kind.SERVICES, thing(name, labels={"x": "y"}))
    version = str(server.store.version)
    async with client_of(server) as client:
        found = await pages(client, Scope(Kind.SERVICES, labels="x in (y)", fields="metadata.name!=c"))
        assert [len(page.items) for page in found] == [2]
        assert [len(page.items) for page in await pages(client, version=version)] == [2, 1]
        await lines(client, version)
        await lines(client, "")
        await pages(client, Scope(Kind.PODS))
        await pages(client, Scope(Kind.NAMESPACES))
    queries = [dict(request.query) for request in server.requests]
    assert queries.pop(2).pop("continue")
    assert queries == [
        {"limit": "2", "labelSelector": "x in (y)", "fieldSelector": "metadata.name!=c"},
        {"limit": "2", "resourceVersion": version, "resourceVersionMatch": "Exact"},
        {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "0", "resourceVersion": version},
        {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "0",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
        },
        {"limit": "1"},
        {"limit": "2"},
    ]
    accepts = [request.headers["accept"] for request in server.requests]
    assert accepts[0] == "application/json"
    assert accepts[-1].startswith("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    assert server.connections == 1, "requests one after the other share a connection"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("status", status=400), errors.Refused),
        (Fault("status", status=422), errors.Refused),
        (Fault("status", status=401), errors.Unauthorized),
        (Fault("status", status=403), errors.Forbidden),
        (Fault("status", status=404), errors.NotFound),
        (Fault("status", status=410), errors.Gone),
        (Fault("gone"), errors.Gone),
        (Fault("status", status=429), errors.TooManyRequests),
        (Fault("too-large"), errors.TooLargeVersion),
        (Fault("status", status=504), errors.ServerFailure),
        (Fault("status", status=500, body=b"\xff\xfe"), errors.ServerFailure),
        (Fault("status", status=302), errors.ServerFailure),
        (Fault("garbage"), errors.Malformed),
        (Fault("half"), errors.Disconnected),
        (Fault("half-reset"), errors.Disconnected),
        (Fault("reset"), errors.Disconnected),
        (Fault("close"), errors.Disconnected),
        (Fault("hang"), errors.Disconnected),
    ],
    ids=lambda value: f"{value.action}-{value.status}" if isinstance(value, Fault) else value.__name__,
)
async def test_errors_have_types(server: ApiServer, fault: Fault, error: type[errors.ApiError]) -> None:
    for name in "abc":
        server.put(Kind.SERVICES, thing(name))
    server.faults = [Fault(fault.action, times=2, status=fault.status, body=fault.body)]
    async with client_of(server) as client:
        with pytest.raises(error) as caught:
            await pages(client)
        assert type(caught.value) is error
        if fault.action != "half":  # a list's half a page; a watch's half a line is below
            with pytest.raises(error):
                await lines(client, str(server.store.version))
        server.faults.clear()
        assert len(await pages(client)) == 2, "and the next request is fine"


async def test_retry_after(server: ApiServer) -> None:
    async with client_of(server) as client:
        for header, seconds in {"7": 7.0, "Wed, 21 Oct 2026 07:28:00 GMT": None}.items():
            server.faults = [Fault("status", status=429, headers={"retry-after": header})]
            with pytest.raises(errors.TooManyRequests) as caught:
                await pages(client)
            assert caught.value.retry_after == seconds
        server.faults = [Fault("too-large")]
        with pytest.raises(errors.TooLargeVersion) as ahead:
            await pages(client)
        assert ahead.value.retry_after == 1.0


async def test_an_error_event_in_a_good_stream(server: ApiServer) -> None:
    server.put(Kind.SERVICES, thing("a"))
    server.compact()
    async with client_of(server) as client:
        with pytest.raises(errors.Gone, match="too old resource version"):
            await lines(client, "1")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("half", errors.Disconnected),
        ("cut", errors.Disconnected),
        ("reset", errors.Disconnected),
        ("silence", errors.Disconnected),
        ("garbage", errors.Malformed),
        ("gone", errors.Gone),
        ("fail", errors.WatchFailure),
    ],
)
async def test_ends_of_watches(server: ApiServer, command: str, error: type[errors.ApiError]) -> None:
    server.put(Kind.SERVICES, thing("a"))
    async with (
        client_of(server) as client,
        aclosing(client.watch(SERVICES, "1", seconds=60)) as stream,
    ):
        assert (await anext(stream)).type == "ADDED"
        server.disturb(command)
        with pytest.raises(error):
            await anext(stream)


async def test_a_watch_that_ends_in_time_is_no_error(server: ApiServer) -> None:
    server.put(Kind.SERVICES, thing("a"))
    async with client_of(server) as client:
        assert [line.type for line in await lines(client, "1")] == ["ADDED", "BOOKMARK"]


async def test_an_unknown_authority(server: ApiServer) -> None:
    other = ApiServer()
    async with client_of(server, ca=other.ca) as client:
        with pytest.raises(errors.Disconnected, match=r"(?i)certificate"):
            await pages(client)


async def test_credentials_that_cannot_be_used(server: ApiServer) -> None:
    async with client_of(server, ca="no certificate") as client:
        with pytest.raises(errors.Unauthorized, match="no usable credentials"):
            await pages(client)


async def test_credentials_that_cannot_be_used_are_loaded_again(server: ApiServer) -> None:
    authorities = iter(("no certificate", server.ca))

    async def load() -> ApiEndpoint:
        return ApiEndpoint(server.url, f"Bearer {server.token}", next(authorities))

    client = Client(Credentials(load, reload_pause=0.0))
    with pytest.raises(errors.Unauthorized, match="no usable credentials"):
        await pages(client)
    await pages(client)
    await client.aclose()


async def test_a_cancelled_watch_leaves_nothing_open(server: ApiServer) -> None:
    async with client_of(server) as client:
        with trio.move_on_after(0.05):
            async with aclosing(client.watch(SERVICES, "1", seconds=60)) as stream:
                await anext(stream)
        await wait_for(lambda: not server.watches)


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_answer_that_stops_after_its_head_is_waited_for(server: ApiServer, streaming: bool) -> None:
    server.faults.append(Fault("silent", times=10))
    async with client_of(server) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(errors.Disconnected):
                await (lines(client, "") if streaming else pages(client))

        assert client.waiting() is None
        nursery.start_soon(ask)
        await wait_for(lambda: (client.waiting() or (0, ""))[1] == "more of a list")
        await wait_for(lambda: client.waiting() is None)


async def test_a_watch_in_a_quiet_cluster_is_not_waited_for(server: ApiServer) -> None:
    server.put(Kind.SERVICES, thing("web"))
    async with client_of(server) as client, aclosing(client.watch(SERVICES, "", seconds=300)) as changes:
        async for change in changes:
            assert (client.waiting() is None) == (change.type == "BOOKMARK")
            if change.type == "BOOKMARK":
                break


@pytest.mark.parametrize("token", ["t\u00f6ken", "a\nb"])
async def test_a_token_that_no_header_may_have_is_not_sent(server: ApiServer, token: str) -> None:
    server.token = token
    async with client_of(server) as client:
        with pytest.raises(errors.Unauthorized, match="characters that a token cannot have"):
            await pages(client)
    assert not server.requests


@pytest.mark.parametrize("may_get", [True, False])
async def test_a_pod_is_got_or_found_in_a_list(server: ApiServer, may_get: bool) -> None:
    server.may_get = may_get
    for name in ("web-1", "web-2"):
        server.put(Kind.PODS, thing(name, spec={"dnsPolicy": "None", "hostNetwork": name == "web-2"}))
    async with client_of(server) as client:
        pod = await client.pod("shop", "web-2")
        assert (pod.namespace, pod.name, pod.policy, pod.host_network) == ("shop", "web-2", "None", True)
        for namespace, name in (("shop", "web-3"), ("other", "web-1"), ("shop/x", "web-1")):
            with pytest.raises(errors.NotFound):
                await client.pod(namespace, name)
    fields = [request.query.get("fieldSelector") for request in server.requests if not request.name]
    assert fields == ([] if may_get else [f"metadata.name={name}" for name in ("web-2", "web-3", "web-1", "web-1")])


async def test_a_pod_that_may_not_be_read(server: ApiServer) -> None:
    server.forbidden.add(Kind.PODS)
    async with client_of(server) as client:
        with pytest.raises(errors.Forbidden):
            await client.pod("shop", "web-1")


async def test_a_pod_that_cannot_be_read(server: ApiServer) -> None:
    server.put(Kind.PODS, thing("web-1", spec={"hostNetwork": "perhaps"}))
    async with client_of(server) as client:
        with pytest.raises(errors.Malformed, match="the pod shop/web-1 cannot be read"):
            await client.pod("shop", "web-1")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (LOOPBACK, "connection refused"),
        ("localhost", "connection refused"),  # each address is tried, and a reason is said once
    ],
)
async def test_why_no_connection_can_be_made_is_said(host: str, said: str) -> None:
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        port = held.getsockname()[1]

        async def load() -> ApiEndpoint:
            return ApiEndpoint(f"https://{host}:{port}", "", "")

        client = Client(Credentials(load), connect_timeout=5)
        with pytest.raises(errors.Disconnected) as caught:
            await pages(client)
        await client.aclose()
    assert str(caught.value) == f"cannot connect to {host}:{port}: {said}"
