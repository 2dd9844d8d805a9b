"""Names that are addresses: of pods (docs/answers.md section 3) and reverse ones (section 4)."""

from collections.abc import Iterable, Sequence

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import RRset
from dnsserver.zone import reverse
from dnsserver.zone.answer_builder import NAME_TOO_LONG, AnswerBuilder, not_ready
from dnsserver.zone.index import Entry, Index
from dnsserver.zone.model import Kind
from dnsserver.zone.record import NO_DATA, Answer, Key, Reason
from dnsserver.zone.services import NAMESPACE_MISSING, endpoint_label

_NOT_AN_ADDRESS = Reason("not-an-address", m.EDE.OTHER, "the first label is not an address")
_POD_MISSING = Reason("pod-missing", m.EDE.OTHER, "no running pod of the namespace has this address")
_ADDRESS_UNKNOWN = Reason("address-unknown", m.EDE.OTHER, "nothing in the cluster has this address")


class PodNames:
    """Answers for addresses written with dashes; `verified` asks for a pod that has it, once `pods_known`."""

    def __init__(self, index: Index, build: AnswerBuilder, *, verified: bool) -> None:
        """Read from `index`."""
        self.pods_known = False
        self._index = index
        self._build = build
        self._verified = verified

    def answer(self, name: bytes, labels: Sequence[bytes], qtype: int) -> Answer:
        """Answer for the labels that stand left of `pod`: [address, namespace]."""
        if not labels:
            return self._build.nodata(())
        namespace = labels[-1]
        if namespace not in self._index.namespaces:
            return self._build.nxdomain(((namespace,),), NAMESPACE_MISSING)
        if len(labels) == 1:
            return self._build.nodata(((namespace,),))
        address = reverse.undashed(labels[-2])
        if len(labels) > 2 or address is None:
            return self._build.nxdomain(((namespace,),), _NOT_AN_ADDRESS)
        depends: tuple[Key, ...] = ((namespace,), address)
        if self._verified:
            if not self.pods_known:
                return not_ready({Kind.PODS})
            if not self._index.has_pod(namespace, address):
                return self._build.nxdomain(depends, _POD_MISSING)
        if qtype in m.ADDRESS_SIZES:
            return self._build.addresses(name, (address,), qtype, depends)
        return self._build.nodata(depends)


class ReverseNames:
    """Answers for addresses of services and endpoints; `networks` are those that the server is the authority for."""

    def __init__(self, index: Index, build: AnswerBuilder, networks: Sequence[str]) -> None:
        """Read from `index`; raises ValueError for what is no CIDR."""
        self._index = index
        self._build = build
        self._networks = reverse.Networks(networks)

    def answer(self, name: bytes, labels: tuple[bytes, ...], qtype: int, waiting: frozenset[Kind]) -> Answer | None:
        """Answer for a name below `arpa`, or return None for one that the cluster does not know.

        While kinds are `waiting`, whose is an address of the cluster is not known: those of the Internet are not ours.
        """
        address = reverse.address(labels)
        zone = self._networks.zone_of(labels)
        if zone is None and (address is None or (waiting and not reverse.is_local(address))):
            return None
        if waiting:
            return not_ready(waiting)
        if address is None:
            return None if zone is None else self._above(name, labels, zone, qtype)
        depends = (address,)
        targets = self._targets(address)
        if targets:
            fitting = [target for target in targets if len(target) <= names.MAX_NAME]
            self._build.left_out += len(targets) - len(fitting)
            if qtype == m.PTR and fitting:
                return Answer(answer=(RRset(name, m.PTR, self._build.ttl, tuple(fitting)),), depends=depends)
            if qtype == m.ANY:
                return Answer(depends=depends)  # the cluster makes of it what ANY gets
            return self._build.nodata(depends, NO_DATA if fitting else NAME_TOO_LONG, zone or name)
        if zone is None:
            return None
        if name == zone:  # a network of one address
            return self._above(name, labels, zone, qtype)
        return self._build.nxdomain(depends, _ADDRESS_UNKNOWN, zone=zone)

    def _targets(self, address: bytes) -> list[bytes]:
        """Return the names that resolve to an address, sorted: those of services, or else those of endpoints."""
        index = self._index
        services = [key for key in index.by_cluster_ip.get(address) if key[0] in index.namespaces]
        if services:
            return [self._build.name_of(min(services))]
        found: list[bytes] = []
        for key in index.by_endpoint.get(address):
            if key[0] in index.namespaces:
                base = self._build.name_of(key)
                found += [bytes((len(label),)) + label + base for label in _labels_of(index.entry(key), address)]
        return sorted(found)

    def _above(self, name: bytes, labels: tuple[bytes, ...], zone: bytes, qtype: int) -> Answer:
        """Answer for a reverse name of the server's own zones that is not the name of a whole address."""
        if name == zone and qtype in {m.SOA, m.NS}:
            rrset = self._build.soa(zone) if qtype == m.SOA else self._build.ns(zone)
            return Answer(answer=(rrset,), depends=None)
        bounds = reverse.bounds(labels)
        tables = (self._index.by_cluster_ip, self._index.by_endpoint)
        if name == zone or (bounds is not None and any(table.has_between(*bounds) for table in tables)):
            return self._build.nodata(None, zone=zone)
        return self._build.nxdomain(None, _ADDRESS_UNKNOWN, zone=zone)


def _labels_of(entry: Entry | None, address: bytes) -> Iterable[bytes]:
    """Return the labels of an address in a service that exists, each once."""
    if entry is None or entry.service is None or entry.service.external is not None:
        return ()
    return dict.fromkeys(
        endpoint_label((address, name)) for part in entry.slices if not part.fqdn for name in part.names_of(address)
    )
