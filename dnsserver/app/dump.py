"""The records of the zone as lines of a zone file: all of them, or those of a namespace or a name."""

from collections.abc import Iterator

import trio

from dnsserver.app.name_forms import name_in, of_object
from dnsserver.app.zone_at_hand import NoZoneError, zone_of
from dnsserver.config import Config
from dnsserver.wire.message import PTR, FormatError, RRset
from dnsserver.wire.name import ROOT, from_text, is_below, labels_below
from dnsserver.wire.presentation import lines
from dnsserver.zone import rrsets
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.reverse import reverse_address


class DumpError(Exception):
    """The zone cannot be had, or what is wanted makes no sense; the text says why."""


def lines_of(cluster: Cluster, wanted: str = "", *, reverse: bool = False) -> Iterator[str]:
    """Yield the lines of what is wanted: all for nothing, else a namespace, or a name with what is below it.

    A name may be short, as in web.shop, or NAMESPACE/SERVICE, as in shop/web. With `reverse` the reverse names of all
    addresses follow, which are of other zones. A step takes a millisecond at most, but for a service of thousands of
    endpoints. Raises DumpError.
    """
    if cluster.missing:
        raise DumpError(f"the zone is not read yet: {', '.join(sorted(cluster.missing))}")
    found = _of_name(cluster, wanted) if wanted else _all(cluster)
    some = False
    for rrset in found:
        some = True
        yield from lines(rrset)
    if wanted and not some:
        yield f"; there are no records of {wanted}: it is neither a namespace nor a name in one"
    if reverse:
        yield "; reverse names, which belong to other zones"
        for rrset in rrsets.of_addresses(cluster):
            yield from lines(rrset)


def _all(cluster: Cluster) -> Iterator[RRset]:
    yield from rrsets.of_apex(cluster)
    yield from rrsets.of_services(cluster)
    yield from rrsets.of_pods(cluster)


def _of_name(cluster: Cluster, wanted: str) -> Iterator[RRset]:
    """Yield the records of a namespace, or those of a name and all names below it; the name may lack the domain."""
    service = of_object(wanted)
    if not service and (name_alone := name_in(wanted)):
        raise DumpError(f'name: found "{wanted[:60]}", expected a name alone, as in "{name_alone}"')
    try:
        name = from_text(service or wanted).lower()
    except FormatError as error:
        raise DumpError(f'name: found "{wanted[:60]}": {error}') from None
    namespace = name[1:-1]
    if namespace in cluster.index.namespaces and name[0] == len(namespace):
        yield from rrsets.of_services(cluster, namespace)
        yield from rrsets.of_pods(cluster, namespace)
        return
    address = reverse_address(name)
    if address is not None:
        yield from rrsets.asked(cluster, name, PTR)
        return
    domain = cluster.domain
    for whole in (name, name[:-1] + domain, name[:-1] + b"\x03svc" + domain):
        left = labels_below(whole, domain) if name != ROOT and len(whole) <= 255 else None
        # Names of the zone itself have to be whole: ns.dns is the Service ns of the namespace dns.
        if left is None or (whole is not name and left[-1] not in {b"svc", b"pod"}):
            continue
        yield from (rrset for rrset in _about(cluster, left) if is_below(rrset.name, whole))
        return


def _about(cluster: Cluster, left: list[bytes]) -> Iterator[RRset]:
    """Yield records that have among them all at and below a name with these labels in front of the domain."""
    match left:
        case []:
            yield from _all(cluster)
        case [b"svc"]:
            yield from rrsets.of_services(cluster)
        case [b"pod"]:
            yield from rrsets.of_pods(cluster)
        case [namespace, b"svc"]:
            yield from rrsets.of_services(cluster, namespace)
        case [*_, service, namespace, b"svc"]:
            yield from rrsets.of_service(cluster, (namespace, service))
        case [*_, namespace, b"pod"]:
            yield from rrsets.of_pods(cluster, namespace)
        case _:
            yield from rrsets.of_apex(cluster)


def run(config: Config, wanted: str, *, reverse: bool) -> Iterator[str]:
    """Yield the lines by the objects that a configuration names, read in this process. Raises DumpError."""
    try:
        cluster = trio.run(zone_of, config)
    except NoZoneError as error:
        raise DumpError(str(error)) from error
    yield from lines_of(cluster, wanted, reverse=reverse)
