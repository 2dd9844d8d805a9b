"""Kubernetes objects for tests, short to write: as JSON values, and as the model has them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dnsserver.zone import model
from dnsserver.zone.model import Event, Kind, ListDone, ListStarted, Object, Put

_MODELS: dict[str, type[Object]] = {
    "Namespace": model.Namespace,
    "Service": model.Service,
    "EndpointSlice": model.EndpointSlice,
    "Pod": model.Pod,
}
Thing = dict[str, Any]


def namespace(name: str) -> Thing:
    return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}


def service(
    name: str,
    *addresses: str,
    namespace: str = "shop",
    ports: Sequence[tuple[str, str, int]] = (),
    external: str | None = None,
) -> Thing:
    """A service; without addresses it is headless, with `external` an alias."""
    spec: Thing = {"ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in ports]}
    if external is not None:
        spec |= {"type": "ExternalName", "externalName": external}
    else:
        spec |= {"type": "ClusterIP", "clusterIPs": list(addresses) or ["None"]}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpoint(address: str, hostname: str | None = None, *, ready: bool | None = None) -> Thing:
    found: Thing = {"addresses": [address]}
    if hostname is not None:
        found["hostname"] = hostname
    if ready is not None:
        found["conditions"] = {"ready": ready}
    return found


def endpoints(
    service: str,
    *found: Thing | str,
    name: str | None = None,
    namespace: str = "shop",
    ports: Sequence[tuple[str, str, int]] = (),
    family: str = "IPv4",
) -> Thing:
    """An EndpointSlice of a service; an endpoint is an address or what `endpoint` makes."""
    labels = {"kubernetes.io/service-name": service}
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": name or f"{service}-1", "namespace": namespace, "labels": labels},
        "addressType": family,
        "endpoints": [endpoint(one) if isinstance(one, str) else one for one in found],
        "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in ports],
    }


def pod(name: str, *addresses: str, namespace: str = "shop", phase: str = "Running") -> Thing:
    status = {"phase": phase, "podIPs": [{"ip": address} for address in addresses]}
    metadata = {"name": name, "namespace": namespace}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": status}


def decoded(thing: Thing) -> Object:
    """The value that the zone gets of an object."""
    return msgspec.convert(thing, _MODELS[thing["kind"]])


def kind_of(thing: Thing) -> Kind:
    return model.KINDS[_MODELS[thing["kind"]]]


def listed(things: Iterable[Thing | Object], kinds: Iterable[Kind] = tuple(Kind)) -> list[Event]:
    """The events of a first sync that finds these objects."""
    puts = [Put(decoded(thing) if isinstance(thing, dict) else thing) for thing in things]
    return [*map(ListStarted, kinds), *puts, *map(ListDone, kinds)]
