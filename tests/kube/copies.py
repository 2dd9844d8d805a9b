"""The objects of the tests of snapshots: a namespace, and enough services for several parts."""

from collections.abc import Iterator
from typing import Any

import msgspec

from dnsserver.kube.snapshot import YIELD_EVERY, Header, Identity
from dnsserver.zone.model import (
    Kind,
    Metadata,
    Namespace,
    Object,
    Service,
    ServiceSpec,
)

OURS = Identity("cluster.local.", "the cluster; pods insecure")
NOW = 1_800_000_000.0
SERVICES = 3 * YIELD_EVERY + 1


def held(kind: Kind, services: int = SERVICES) -> Iterator[Object]:
    if kind is Kind.NAMESPACES:
        yield Namespace(Metadata("shop"))
    elif kind is Kind.SERVICES:
        for number in range(services):
            yield Service(
                Metadata(f"s{number}", "shop"), ServiceSpec(cluster_ips=[f"10.0.{number >> 8}.{number & 255}"])
            )


def header(**changes: Any) -> Header:
    kinds: dict[Kind, tuple[str, ...]] = {
        Kind.NAMESPACES: ("17",),
        Kind.SERVICES: ("18",),
        Kind.ENDPOINTSLICES: ("18",),
    }
    return msgspec.structs.replace(Header(OURS, NOW, kinds), **changes)
