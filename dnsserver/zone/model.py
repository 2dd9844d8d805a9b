"""What the API says, cut down to the fields that answers need, and the five events that change a zone.

Decoded straight from API JSON by msgspec: unknown fields are skipped unread, a missing optional field is its default,
and a field of the wrong type is a `msgspec.ValidationError` that names its path. Nothing here holds on to the JSON.
Fields as in the Kubernetes API reference v1 (core, discovery.k8s.io/v1).
"""

import enum
from typing import Annotated

import msgspec


class Kind(enum.StrEnum):
    """The API resources that a zone is made of, by their plural name in the URL."""

    NAMESPACES = "namespaces"
    SERVICES = "services"
    ENDPOINTSLICES = "endpointslices"
    PODS = "pods"


PortNumber = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class _Model(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The base of all API values: immutable, camelCase in JSON, without fields that are not set, without cycles."""


class Metadata(_Model, frozen=True, gc=False):
    """ObjectMeta: who an object is. `namespace` is empty for Namespaces."""

    name: str
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Namespace(_Model, frozen=True, gc=False):
    """A Namespace; its existence is all that counts, so PartialObjectMetadata decodes as well."""

    metadata: Metadata


class ServicePort(_Model, frozen=True, gc=False):
    """One port of a Service; a single port may be unnamed."""

    port: PortNumber
    name: str | None = None
    protocol: str | None = None


class ServiceSpec(_Model, frozen=True, gc=False):
    """The part of ServiceSpec that DNS shows."""

    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    external_name: str | None = None
    ports: list[ServicePort] | None = None


class Service(_Model, frozen=True, gc=False):
    """A Service of any type."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(_Model, frozen=True, gc=False):
    """Only `ready` counts for DNS; absent means ready."""

    ready: bool | None = None


class Endpoint(_Model, frozen=True, gc=False):
    """One endpoint of a slice; the API allows up to 100 addresses and uses the first, DNS shows all."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    hostname: str | None = None


class EndpointPort(_Model, frozen=True, gc=False):
    """One port of a slice; without a number it names nothing (RFC 2782 has no SRV without a port)."""

    name: str | None = None
    port: PortNumber | None = None
    protocol: str | None = None


class EndpointSlice(_Model, frozen=True, gc=False):
    """An EndpointSlice; `addressType` is IPv4, IPv6 or FQDN."""

    metadata: Metadata
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class PodIP(_Model, frozen=True, gc=False):
    """One address of a pod."""

    ip: str = ""


class PodStatus(_Model, frozen=True, gc=False):
    """Where a pod can be reached, and whether it still can."""

    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[PodIP] | None = msgspec.field(default=None, name="podIPs")


class Pod(_Model, frozen=True, gc=False):
    """A Pod."""

    metadata: Metadata
    status: PodStatus = PodStatus()


Object = Namespace | Service | EndpointSlice | Pod

KINDS: dict[type[Object], Kind] = {
    Namespace: Kind.NAMESPACES,
    Service: Kind.SERVICES,
    EndpointSlice: Kind.ENDPOINTSLICES,
    Pod: Kind.PODS,
}


class Put(msgspec.Struct, frozen=True, gc=False):
    """An object was added or changed; carries its whole new state, so it may come twice."""

    object: Object


class Remove(msgspec.Struct, frozen=True, gc=False):
    """An object is gone, known or not."""

    kind: Kind
    namespace: str
    name: str


class ListStarted(msgspec.Struct, frozen=True, gc=False):
    """A full list of a kind begins: what of that kind is not Put before its ListDone is gone."""

    kind: Kind


class ListDone(msgspec.Struct, frozen=True, gc=False):
    """The list is complete: objects not seen in it are dropped, and the kind counts as synced.

    What is in the namespaces `kept`, and these themselves, could not be listed this time: it stays as it was.
    """

    kind: Kind
    kept: tuple[str, ...] = ()


class ListDropped(msgspec.Struct, frozen=True, gc=False):
    """The list is given up before its end: what it has not shown stays."""

    kind: Kind


class Denied(msgspec.Struct, frozen=True, gc=False):
    """A kind cannot be had (403, or the API lacks it): names of pods fail without it, and no others wait for pods.

    What was known of pods is not given out any more: nobody will say what has become of them. The next list shows which
    of them there are.
    """

    kind: Kind


Event = Put | Remove | ListStarted | ListDone | ListDropped | Denied
