"""What 0.1.0 does with a snapshot of the zone, kept as it was: its values, and how it reads a file.

Copied from `zone/model.py` and `kube/snapshot.py` of that version, less what is about waiting, threads and the log.
"""

import enum
import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec


class Kind(enum.StrEnum):
    """The API resources that a zone is made of, by their plural name in the URL."""

    NAMESPACES = "namespaces"
    SERVICES = "services"
    ENDPOINTSLICES = "endpointslices"
    PODS = "pods"


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class _Model(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What all API values share: immutable, camelCase in JSON, what is not set left out, no reference cycles."""


class Metadata(_Model, frozen=True, gc=False):
    """ObjectMeta."""

    name: str
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Namespace(_Model, frozen=True, gc=False):
    """A Namespace."""

    metadata: Metadata


class ServicePort(_Model, frozen=True, gc=False):
    """One port of a Service."""

    port: Port
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
    """Only `ready` counts for DNS."""

    ready: bool | None = None


class Endpoint(_Model, frozen=True, gc=False):
    """One endpoint of a slice."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    hostname: str | None = None


class EndpointPort(_Model, frozen=True, gc=False):
    """One port of a slice."""

    name: str | None = None
    port: Port | None = None
    protocol: str | None = None


class EndpointSlice(_Model, frozen=True, gc=False):
    """An EndpointSlice."""

    metadata: Metadata
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class PodIP(_Model, frozen=True, gc=False):
    """One address of a pod."""

    ip: str = ""


class PodStatus(_Model, frozen=True, gc=False):
    """Where a pod can be reached."""

    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[PodIP] | None = msgspec.field(default=None, name="podIPs")


class Pod(_Model, frozen=True, gc=False):
    """A Pod."""

    metadata: Metadata
    status: PodStatus = PodStatus()


class Identity(msgspec.Struct, frozen=True):
    """Whose zone it is."""

    domain: str
    source: str


class Header(msgspec.Struct, frozen=True):
    """What is said of a snapshot."""

    whose: Identity
    saved: float
    versions: dict[Kind, tuple[str, ...]]
    format: int = 1


_MAGIC = b"dnsserver zone copy\n"
_HEAD = struct.Struct(">II")
_KINDS = {Namespace: Kind.NAMESPACES, Service: Kind.SERVICES, EndpointSlice: Kind.ENDPOINTSLICES, Pod: Kind.PODS}
_PART = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])
_OBJECTS = {kind: msgspec.msgpack.Decoder(list[each]) for each, kind in _KINDS.items()}  # type: ignore[valid-type]


def read(data: bytes) -> tuple[Header, dict[str, list[Any]]]:
    """Return what 0.1.0 takes from a snapshot: its header, and of each kind the objects. Raises ValueError.

    msgspec.MsgspecError, which is raised for a value of another type, is a ValueError.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("it is no snapshot of a zone")
    parts = _parts(memoryview(data)[len(_MAGIC) :])
    label, raw = next(parts)
    if label != "header":
        raise ValueError("it begins without a header")
    header = msgspec.msgpack.decode(raw, type=Header)
    if header.format != 1:
        raise ValueError(f"it has format {header.format}, expected 1")
    held: list[tuple[Kind, msgspec.Raw]] = []
    for label, raw in parts:
        if label == "end":
            if msgspec.msgpack.decode(raw, type=int) != len(held) or next(parts, None):
                raise ValueError("parts are missing, or there twice")
            return header, {
                str(kind): [obj for each, part in held if each is kind for obj in _OBJECTS[kind].decode(part)]
                for kind in Kind
                if kind in header.versions
            }
        held.append((Kind(label), raw))
    raise ValueError("it has no end")


def _parts(data: memoryview) -> Iterator[tuple[str, msgspec.Raw]]:
    position = 0
    while position < len(data):
        start = position + _HEAD.size
        size, checksum = _HEAD.unpack(data[position:start])
        position = start + size
        if position > len(data) or zlib.crc32(data[start:position]) != checksum:
            raise ValueError("truncated, or a checksum is wrong")
        yield _PART.decode(data[start:position])
