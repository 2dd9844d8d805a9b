"""A cluster of any size, realistic in octets and in shape, made fast: objects share the long tail of their JSON."""

import itertools
import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from dnsserver.zone.model import Kind
from tests.kube.apistore import Store, split

if TYPE_CHECKING:
    from tests.kube.apiserver import ApiServer

Made = tuple[str, str, bytes, bytes, dict[str, str], str]


class Size(msgspec.Struct, frozen=True):
    """The number of objects of each kind; `endpoints` is the sum of all slices."""

    namespaces: int = 100
    services: int = 1000
    slices: int = 1500
    endpoints: int = 6000
    pods: int = 0


def fill(store: Store, size: Size) -> None:
    """Put a cluster of that size into the store."""
    store.load(Kind.NAMESPACES, _namespaces(size))
    store.load(Kind.SERVICES, _services(size))
    store.load(Kind.ENDPOINTSLICES, _slices(size))
    store.load(Kind.PODS, _pods(size))


async def keep_changing(server: "ApiServer", rate: float) -> None:
    """Make `rate` changes per second, for ever: an endpoint of a random slice turns not ready, or ready again."""
    rng = random.Random(1)
    keys = list(server.store.objects[Kind.ENDPOINTSLICES])
    start = trio.current_time()
    for number in itertools.count():
        await trio.sleep_until(start + number / rate)
        _toggle(server, rng.choice(keys))


async def churn(server: "ApiServer", count: int) -> None:
    """Make `count` changes, as fast as the watches take them.

    In half of the changes, an endpoint turns ready or not ready. In the other half, a slice, a service or a pod is
    removed, and then created again: services under the same name, the others under another one.
    """
    rng = random.Random(count)
    kinds = [kind for kind in (Kind.ENDPOINTSLICES, Kind.SERVICES, Kind.PODS) if server.store.objects[kind]]
    names = {kind: list(server.store.objects[kind]) for kind in kinds}
    done = 0
    while done < count:
        if rng.random() < 2 / 3:
            _toggle(server, rng.choice(names[Kind.ENDPOINTSLICES]))
            done += 1
        else:
            kind = rng.choice(kinds)
            place = rng.randrange(len(names[kind]))
            names[kind][place] = _replaced(server, kind, names[kind][place])
            done += 2
        if done % 200 < 2:
            await server.wait_told()


def _toggle(server: "ApiServer", key: str) -> None:
    """Let the first endpoint of a slice turn not ready, or the first one that is not ready turn ready again."""
    thing = server.store.objects[Kind.ENDPOINTSLICES][key]
    ready, unready = b'"ready":true', b'"ready":false'
    before, found, after = thing.tail.partition(unready)
    tail = before + ready + after if found else thing.tail.replace(ready, unready, 1)
    server.store.put_split(Kind.ENDPOINTSLICES, thing.namespace, thing.name, thing.head, tail, thing.labels)
    server.wake(Kind.ENDPOINTSLICES)


def _replaced(server: "ApiServer", kind: Kind, key: str) -> str:
    """Delete an object, create another one in its place, and return its key.

    The new object has the same addresses and another name; a service keeps its name as well.
    """
    old = server.store.objects[kind][key]
    stem, _, number = old.name.partition(".")
    name = old.name if kind is Kind.SERVICES else f"{stem}.{int(number or 0) + 1}"
    head = old.head.replace(b'"name":"%b"' % old.name.encode(), b'"name":"%b"' % name.encode(), 1)
    server.delete(kind, old.namespace, old.name)
    new = server.store.put_split(kind, old.namespace, name, head, old.tail, old.labels, old.phase)
    server.wake(kind)
    return new.key


def namespace_name(number: int) -> str:
    return f"team-{number:03d}"


def service(number: int, size: Size) -> dict[str, Any]:
    """Return a Service: of 50 of them, 4 are headless, and one is an ExternalName."""
    name, namespace = f"service-{number}", namespace_name(number % size.namespaces)
    ip = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    ports = [
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080},
        {"name": "metrics", "protocol": "TCP", "port": 9090, "targetPort": 9090},
    ]
    spec: dict[str, Any] = {
        "ports": ports,
        "selector": {"app": name},
        "clusterIP": ip,
        "clusterIPs": [ip],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    if number % 50 == 49:
        spec = {"type": "ExternalName", "externalName": f"host-{number}.example.com", "sessionAffinity": "None"}
    elif number % 10 == 9:
        spec |= {"clusterIP": "None", "clusterIPs": ["None"]}
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": _uid(1, number),
        "creationTimestamp": "2026-11-21T02:55:59Z",
        "labels": {"app": name, "tier": "web"},
        "managedFields": _managed(["labels", "ports", "selector", "type", "clusterIP"], 4),
    }
    return {"metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}


def endpoint_slice(number: int, size: Size) -> dict[str, Any]:
    owner = number % max(1, size.services)
    name = f"service-{owner}"
    each = math.ceil(size.endpoints / max(1, size.slices))
    endpoints = [
        {
            "addresses": [f"10.{128 + (ip >> 16 & 63)}.{ip >> 8 & 255}.{ip & 255}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{ip % 5000}",
            "targetRef": {"kind": "Pod", "namespace": "x", "name": f"pod-{ip}", "uid": _uid(3, ip)},
            "zone": "zone-a",
        }
        for ip in range(number * each, (number + 1) * each)
    ]
    metadata = {
        "name": f"{name}-{number:05x}",
        "generateName": f"{name}-",
        "namespace": namespace_name(owner % size.namespaces),
        "uid": _uid(2, number),
        "generation": 2,
        "creationTimestamp": "2026-11-21T02:57:27Z",
        "labels": {
            "app": name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": name,
        },
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-21T02:57:27Z"},
        "managedFields": _managed(["addressType", "endpoints", "metadata", "ports"], 2),
    }
    ports = [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "metrics", "protocol": "TCP", "port": 9090}]
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def _namespaces(size: Size) -> Iterator[Made]:
    for number in range(size.namespaces):
        name = namespace_name(number)
        labels = {"kubernetes.io/metadata.name": name}
        thing = {
            "metadata": {
                "name": name,
                "uid": _uid(0, number),
                "labels": labels,
                "managedFields": _managed(["labels"], 1),
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        yield "", name, *split(Kind.NAMESPACES, thing), labels, ""


def _services(size: Size) -> Iterator[Made]:
    for number in range(size.services):
        thing = service(number, size)
        yield _made(Kind.SERVICES, thing)


def _slices(size: Size) -> Iterator[Made]:
    for number in range(size.slices):
        yield _made(Kind.ENDPOINTSLICES, endpoint_slice(number, size))


def _pods(size: Size) -> Iterator[Made]:
    env = [{"name": f"SETTING_{number}", "value": f"the value of setting {number}"} for number in range(40)]
    container = {"name": "main", "image": "registry.example.com/team/app:1.2.3", "env": env, "resources": {}}
    spec = {"containers": [container], "nodeName": "node-1", "serviceAccountName": "default"}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-11-21T02:57:27Z"}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers")
    ]
    metadata = {"managedFields": _managed([f"k:setting-{number}" for number in range(30)], 3)}
    tail = msgspec.json.encode(
        {**metadata, "rest": {"spec": spec, "status": {"phase": "Running", "conditions": conditions}}}
    )
    managed, _, rest = tail[1:].partition(b',"rest":{')
    for number in range(size.pods):
        namespace, name = namespace_name(number % size.namespaces), f"app-{number % 5000}-6d4cf56db6-{number:05x}"
        ip = f"10.{128 + (number >> 16 & 63)}.{number >> 8 & 255}.{number & 255}"
        # Only the head differs from pod to pod; JSON allows its members in any order.
        head = (
            f'{{"status":{{"phase":"Running","podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"hostIP":"192.0.2.1"}},'
            f'"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{_uid(4, number)}","labels":{{"app":"x"}},'
            f'"resourceVersion":"'
        ).encode()
        yield namespace, name, head, b'",%b},%b' % (managed, _spec_only(rest)), {"app": "x"}, "Running"


def _spec_only(rest: bytes) -> bytes:
    spec, _, status = rest.partition(b',"status":')
    return spec + b',"more":' + status[:-1]


def _made(kind: Kind, thing: dict[str, Any]) -> Made:
    metadata = thing["metadata"]
    return metadata["namespace"], metadata["name"], *split(kind, thing), metadata["labels"], ""


def _uid(sort: int, number: int) -> str:
    return f"{sort:08x}-9a3c-4b0f-a5ff-{number:012x}"


def _managed(fields: list[str], managers: int) -> list[dict[str, Any]]:
    return [
        {
            "manager": f"manager-{number}",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-11-21T02:57:27Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {f"f:{field}": {".": {}} for field in fields},
        }
        for number in range(managers)
    ]
