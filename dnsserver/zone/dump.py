"""From the index back to the objects that made it, for a snapshot of the zone and for a new process."""

import socket
from collections.abc import Iterator

from dnsserver.wire import name as names
from dnsserver.zone import model
from dnsserver.zone.index import Index, ServiceView, SliceView


def objects(index: Index, kind: model.Kind) -> Iterator[model.Object]:
    """Give the objects of a kind, less what no answer needs; the index may change while they are taken.

    Put into an empty zone, they make one that answers the same. An object that goes meanwhile is left out.
    """
    for namespace in index.namespaces_of(kind):
        for name in index.names_in(kind, namespace):
            obj = _object(index, kind, namespace, name)
            if obj is not None:
                yield obj


def _object(index: Index, kind: model.Kind, namespace: bytes, name: bytes) -> model.Object | None:
    metadata = model.Metadata(name.decode(), namespace.decode())
    match kind:
        case model.Kind.NAMESPACES:
            return model.Namespace(metadata) if name in index.namespaces else None
        case model.Kind.SERVICES:
            entry = index.entry((namespace, name))
            return None if entry is None or entry.service is None else model.Service(metadata, _spec(entry.service))
        case model.Kind.ENDPOINTSLICES:
            found = index.slice_of((namespace, name))
            return None if found is None else _slice(metadata, found[0].key[1].decode(), found[1])
        case model.Kind.PODS:
            addresses = index.pod_addresses((namespace, name))
            return None if addresses is None else model.Pod(metadata, _status(addresses))


def _spec(view: ServiceView) -> model.ServiceSpec:
    ports = [model.ServicePort(port.number, port.name.decode(), port.protocol.decode()) for port in view.ports]
    if view.external is not None:
        return model.ServiceSpec(type="ExternalName", external_name=view.external, ports=ports)
    addresses = ["None"] if view.headless else [_text(address) for address in view.addresses]
    return model.ServiceSpec(cluster_ips=addresses, ports=ports)


def _slice(metadata: model.Metadata, service: str, view: SliceView) -> model.EndpointSlice:
    text = names.to_text if view.fqdn else _text
    endpoints = [
        model.Endpoint([text(address)], hostname=hostname.decode() if hostname else None)
        for address, hostname in view.endpoints()
    ]
    endpoints += [model.Endpoint(conditions=model.EndpointConditions(ready=False))] * view.unready
    return model.EndpointSlice(
        model.Metadata(metadata.name, metadata.namespace, labels={"kubernetes.io/service-name": service}),
        "FQDN" if view.fqdn else "",
        endpoints,
        [model.EndpointPort(port.name.decode(), port.number, port.protocol.decode()) for port in view.ports],
    )


def _status(addresses: tuple[bytes, ...]) -> model.PodStatus:
    if len(addresses) == 1:
        return model.PodStatus(pod_ip=_text(addresses[0]))
    return model.PodStatus(pod_ips=[model.PodIP(_text(address)) for address in addresses])


def _text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
