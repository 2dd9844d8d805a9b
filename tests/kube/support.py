"""What the tests of this package share: a sink that is a dict, objects to put, and a wait for a condition."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from dnsserver.kube.api import Client
from dnsserver.kube.credentials import ApiEndpoint, Credentials
from dnsserver.kube.progress import Timing
from dnsserver.kube.reflector import Reflector
from dnsserver.kube.scope import scopes_of
from dnsserver.zone.model import KINDS, Event, Kind, ListDone, ListDropped, ListStarted, Object, Put, Remove
from tests.kube.apiserver import ApiServer, Fault
from tests.kube.apistore import Store

each_fault = pytest.mark.parametrize(
    "fault",
    [
        Fault("reset"),
        Fault("close"),
        Fault("hang"),
        Fault("silent"),
        Fault("half"),
        Fault("half-reset"),
        Fault("garbage"),
        Fault("slow"),
        Fault("goaway"),
        Fault("gone"),
        Fault("too-large"),
        Fault("status", status=500, times=3),
        Fault("status", status=503, body=b"<html>no healthy upstream</html>", headers={"content-type": "text/html"}),
        Fault("status", status=429, headers={"retry-after": "1"}),
        Fault("status", status=401),
        Fault("status", status=403),
        Fault("status", status=404),
    ],
    ids=lambda fault: f"{fault.action}{fault.status if fault.action == 'status' else ''}",
)


def again(fault: Fault, verb: str = "") -> Fault:
    """Return the same fault for a server of another test: a server counts down what it does."""
    return Fault(fault.action, None, verb, fault.times, fault.status, fault.headers, fault.body)


Key = tuple[Kind, str, str]

# Everything a thousand times as fast as in production; the API server is a task beside.
FAST = Timing(
    backoff_first=0.01, backoff_max=0.05, denied_retry=0.1, check_interval=0, check_retry=0.05, check_page_pause=0
)


class Sink:
    """The simplest zone: applies events to a dict, and notices what no zone should see."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.events: list[Event] = []
        self.synced: set[Kind] = set()
        self.guarded: set[Key] = set()  # these must never be missing
        self.lost: list[Key] = []
        self.changes = 0
        self._unseen: dict[Kind, set[Key]] = {}

    def apply(self, event: Event) -> bool:
        self.events.append(event)
        before = self.changes
        if isinstance(event, Put):
            key = key_of(event.object)
            self._unseen.get(key[0], set()).discard(key)
            if self.objects.get(key) != event.object:
                self.objects[key] = event.object
                self.changes += 1
        elif isinstance(event, Remove):
            self._drop((event.kind, event.namespace, event.name))
        elif isinstance(event, ListStarted):
            self._unseen[event.kind] = {key for key in self.objects if key[0] is event.kind}
        elif isinstance(event, ListDropped):
            self._unseen.pop(event.kind, None)
        else:
            kept = event.kept if isinstance(event, ListDone) else ()
            for key in self._unseen.pop(event.kind):
                if key[2 if event.kind is Kind.NAMESPACES else 1] not in kept:
                    self._drop(key)
            self.synced.add(event.kind)
        return self.changes > before

    def _drop(self, key: Key) -> None:
        if self.objects.pop(key, None) is not None:
            self.changes += 1
            if key in self.guarded:
                self.lost.append(key)

    def count(self, kind: type[Event]) -> int:
        return sum(type(event) is kind for event in self.events)

    def names(self, kind: Kind) -> set[str]:
        return {name for each, _, name in self.objects if each is kind}


def key_of(thing: Object) -> Key:
    return KINDS[type(thing)], thing.metadata.namespace, thing.metadata.name


def versions(things: dict[Key, Object], kind: Kind) -> dict[tuple[str, str], str]:
    """What a sink holds of a kind, as names and versions."""
    return {key[1:]: thing.metadata.resource_version for key, thing in things.items() if key[0] is kind}


def stored_versions(store: Store, kind: Kind) -> dict[tuple[str, str], str]:
    """What a store holds of a kind, in the same form."""
    return {(each.namespace, each.name): str(each.version) for each in store.objects[kind].values()}


def thing(name: str, namespace: str = "shop", **rest: Any) -> dict[str, Any]:
    """A service, or with other fields whatever else."""
    labels, annotations = rest.pop("labels", {}), rest.pop("annotations", {})
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **(rest or {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}})}


async def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds; it depends on sockets, which no virtual clock drives."""
    try:
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110  (the conditions are all sorts of state, without events)
                await trio.sleep(0.002)
    except trio.TooSlowError:
        raise AssertionError(f"never true: {condition}") from None


class Mirror:
    """A reflector of one kind at work, and everything around it."""

    def __init__(self, server: ApiServer, kind: Kind, **settings: Any) -> None:
        self.server = server
        self.kind = kind
        self.sink = Sink()
        self.loads = 0
        read_timeout, page_size = settings.pop("read_timeout", 5.0), settings.pop("page_size", 3)
        selectors = {
            name: settings.pop(name) for name in ("namespaces", "labels", "namespace_labels") if name in settings
        }
        self.credentials = Credentials(self._load, reload_pause=0.0)
        self.client = Client(
            self.credentials,
            page_size=page_size,
            read_timeout=read_timeout,
            connect_timeout=0.5,
            answer_timeout=0.5,
            timing=FAST,
        )
        settings = {"timing": FAST, **settings}
        self.reflector = Reflector(self.client, scopes_of(kind, **selectors), self.sink.apply, **settings)

    async def _load(self) -> ApiEndpoint:
        self.loads += 1
        return ApiEndpoint(self.server.url, f"Bearer {self.server.token}", self.server.ca)

    def is_equal(self) -> bool:
        return versions(self.sink.objects, self.kind) == stored_versions(self.server.store, self.kind)

    async def wait_equal(self) -> None:
        await wait_for(lambda: self.kind in self.sink.synced and self.is_equal())


@asynccontextmanager
async def mirroring(server: ApiServer, kind: Kind = Kind.SERVICES, **settings: Any) -> AsyncIterator[Mirror]:
    """A reflector of the server, running."""
    mirror = Mirror(server, kind, **settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mirror.reflector.run)
        yield mirror
        nursery.cancel_scope.cancel()
    await mirror.client.aclose()
