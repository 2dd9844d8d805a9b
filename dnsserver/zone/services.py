"""Names of services: [[endpoint | port, protocol], service, namespace] left of `svc`.

docs/answers.md sections 2 and 5 say what they are answered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.message import EDE, RRset
from dnsserver.zone import reverse
from dnsserver.zone.answer_builder import NAME_TOO_LONG, AnswerBuilder
from dnsserver.zone.index import Endpoint, Entry, Index, Pair, PortView, ServiceView, SliceView, pack
from dnsserver.zone.record import CNAME_LOOP, TOO_MANY_CNAMES, Answer, Key, Reason, joined

NAMESPACE_MISSING = Reason("namespace-missing", EDE.OTHER, "there is no such namespace")
SERVICE_MISSING = Reason("service-missing", EDE.OTHER, "there is no such Service in the namespace")
_TOO_MANY_LABELS = Reason("too-many-labels", EDE.OTHER, "no name of the cluster has so many labels")
_PORT_UNKNOWN = Reason("port-unknown", EDE.OTHER, "the Service has no port of this name and protocol")
_ENDPOINT_MISSING = Reason("endpoint-missing", EDE.OTHER, "the Service has no ready endpoint of this name")
_NO_PORTS = Reason("no-ports")
_ABOVE_PORTS = Reason("above-ports")
_BELOW_EXTERNAL = Reason("below-external-name", EDE.OTHER, "nothing is below a Service of type ExternalName")


class ServiceNames:
    """Answers for services from the index.

    `resolve` answers any name of the zone, as an ExternalName can lead to one; None for what is another's to say.
    """

    def __init__(self, index: Index, build: AnswerBuilder, resolve: Callable[[bytes, int], Answer | None]) -> None:
        """Read from `index`."""
        self._index = index
        self._build = build
        self._resolve = resolve

    def answer(self, name: bytes, labels: Sequence[bytes], qtype: int) -> Answer:
        """Answer for the labels that stand left of `svc`."""
        count = len(labels)
        if count == 0:
            return self._build.nodata(())
        namespace = labels[-1]
        if namespace not in self._index.namespaces:
            return self._build.nxdomain(((namespace,),), NAMESPACE_MISSING)
        if count == 1:
            return self._build.nodata(((namespace,),))
        entries = self._index.entries.get(namespace)
        entry = None if entries is None else entries.get(labels[-2])
        if entry is None or entry.service is None:
            return self._build.nxdomain(((namespace, labels[-2]),), SERVICE_MISSING)
        depends = entry.keys
        service = entry.service
        if count > 4:
            return self._build.nxdomain(depends, _TOO_MANY_LABELS)
        if service.external is not None:
            return self._external(name, service.external, qtype, depends, whole=count == 2)
        if count == 3:
            return self._endpoint(name, entry, labels[0], qtype, depends)
        port = None if count == 2 else (labels[0].removeprefix(b"_"), labels[1].removeprefix(b"_"))
        if service.headless:
            return self._headless(name, entry, entry.slices, port, qtype)
        return self._cluster_ip(name, service, entry.key, port, qtype, depends)

    def _cluster_ip(
        self, name: bytes, service: ServiceView, key: Pair, port: Pair | None, qtype: int, depends: tuple[Key, ...]
    ) -> Answer:
        ports = service.ports
        if port is not None:
            ports = _matching(ports, port)
            if not ports:
                return self._build.nxdomain(depends, _PORT_UNKNOWN)
        if qtype in m.ADDRESS_SIZES:
            return self._build.addresses(name, service.addresses, qtype, depends)
        if qtype != m.SRV:
            return self._build.nodata(depends)
        target = self._build.name_of(key)
        srv = [(number, target) for number in dict.fromkeys(p.number for p in ports)]
        return self._srv(name, srv, {target: service.addresses}, depends)

    def _endpoint(self, name: bytes, entry: Entry, label: bytes, qtype: int, depends: tuple[Key, ...]) -> Answer:
        slices = _only(label, entry.slices) or _only(label, _retained(entry, label))
        if slices:
            return self._headless(name, entry, slices, None, qtype)
        if label.startswith(b"_") and _has_port(entry, (b"", label[1:])):
            return self._build.nodata(depends, _ABOVE_PORTS)  # there are names below it (RFC 8020 section 2)
        return self._build.nxdomain(depends, _ENDPOINT_MISSING)

    def _headless(
        self, name: bytes, entry: Entry, slices: Sequence[SliceView], port: Pair | None, qtype: int
    ) -> Answer:
        """Answer from the ready endpoints of `slices`; if there are none, from the retained endpoints of the entry."""
        depends = entry.keys
        slices = [part for part in slices if part.held] or _retained(entry, None)
        if not slices:
            unready = sum(part.unready for part in entry.slices)
            text = f"none of {unready} endpoints is ready" if unready else "the Service has no endpoints"
            return self._build.nxdomain(depends, Reason("no-ready-endpoints", EDE.OTHER, text))
        if port is not None:
            slices = [part for part in slices if _matching(part.ports, port)]
            if not slices:
                return self._build.nxdomain(depends, _PORT_UNKNOWN)
        with_addresses = [part for part in slices if part.size]
        if not with_addresses:
            # One name has one CNAME (RFC 2181 section 10.1): the least, so that the order of events never shows.
            return self._alias(name, min(target for part in slices for target in part.addresses), qtype, depends)
        slices = with_addresses
        if qtype in m.ADDRESS_SIZES:
            return self._build.endpoints(name, slices, qtype, depends)
        if qtype != m.SRV:
            return self._build.nodata(depends)
        return self._srv_of(name, entry.key, slices, port, depends)

    def _srv_of(
        self, name: bytes, key: Pair, slices: Sequence[SliceView], port: Pair | None, depends: tuple[Key, ...]
    ) -> Answer:
        """Answer with an SRV record for each endpoint and port."""
        base = self._build.name_of(key)
        room = names.MAX_NAME - 1 - len(base)  # for the label of an endpoint
        reason = _NO_PORTS
        records: dict[tuple[int, bytes], None] = {}
        targets: dict[bytes, list[bytes]] = {}
        for part in slices:
            ports = part.ports if port is None else _matching(part.ports, port)
            for endpoint in part.endpoints():
                label = endpoint_label(endpoint)
                if len(label) > room:
                    self._build.left_out += 1
                    reason = NAME_TOO_LONG
                    continue
                target = bytes((len(label),)) + label + base
                for number in {p.number: None for p in ports}:
                    records[number, target] = None
                    targets.setdefault(target, []).append(endpoint[0])
        return self._srv(name, list(records), targets, depends, reason)

    def _srv(
        self,
        name: bytes,
        records: Sequence[tuple[int, bytes]],
        targets: Mapping[bytes, Sequence[bytes]],
        depends: tuple[Key, ...],
        without: Reason = _NO_PORTS,
    ) -> Answer:
        """Answer with SRV records for these (port, target) pairs; if there are none, with the reason `without`."""
        if not records:
            return self._build.nodata(depends, without)
        weight = max(1, 100 // len(records)).to_bytes(2, "big")
        rdatas = tuple(b"\0\0" + weight + number.to_bytes(2, "big") + target for number, target in records)
        additional: list[RRset] = []
        for target in dict.fromkeys(target for _, target in records):
            additional += self._build.both_families(target, targets[target])
        return Answer(
            answer=(RRset(name, m.SRV, self._build.ttl, rdatas),), additional=tuple(additional), depends=depends
        )

    def _external(self, name: bytes, text: str, qtype: int, depends: tuple[Key, ...], *, whole: bool) -> Answer:
        if not whole:
            return self._build.nxdomain(depends, _BELOW_EXTERNAL)
        if pack(text.removesuffix(".")) is not None:
            shown = f"externalName {text} is an IP address, expected a domain name"
            return self._build.nxdomain(depends, Reason("external-name-is-address", EDE.INVALID_DATA, shown))
        try:
            target = names.from_text(text).lower()
        except m.FormatError as error:
            return self._build.nxdomain(
                depends, Reason("external-name-invalid", EDE.INVALID_DATA, f"externalName: {error}")
            )
        if target == names.ROOT:
            return self._build.nxdomain(
                depends, Reason("external-name-invalid", EDE.INVALID_DATA, "externalName is empty")
            )
        return self._alias(name, target, qtype, depends)

    def _alias(self, name: bytes, target: bytes, qtype: int, depends: tuple[Key, ...]) -> Answer:
        """Answer with a CNAME; for a question of addresses, go on at its target (docs/answers.md section 5)."""
        cname = RRset(name, m.CNAME, self._build.ttl, (target,))
        if qtype == m.CNAME:
            return Answer(answer=(cname,), depends=depends)
        if qtype not in m.ADDRESS_SIZES:
            return self._build.nodata(depends)
        chain = [cname]
        seen = {name}
        hangs_on: tuple[Key, ...] | None = depends
        while names.is_below(target, self._build.domain):
            if target in seen:
                return Answer(answer=tuple(chain), authority=(self._build.soa(),), reason=CNAME_LOOP, depends=hangs_on)
            seen.add(target)
            step = self._resolve(target, m.CNAME)
            if step is None:
                break
            hangs_on = joined(hangs_on, step.depends)
            if step.answer and step.answer[0].type == m.CNAME:
                if len(chain) >= m.MAX_CHAIN:
                    return Answer(m.SERVFAIL, tuple(chain), reason=TOO_MANY_CNAMES, depends=hangs_on)
                chain.append(step.answer[0])
                target = step.answer[0].rdatas[0]
                continue
            end = self._resolve(target, qtype)
            assert end is not None  # as it was for the alias
            return Answer(
                end.rcode,
                (*chain, *end.answer),
                end.authority,
                reason=end.reason,
                depends=joined(hangs_on, end.depends),
            )
        return Answer(answer=tuple(chain), depends=hangs_on, follow=target)


def endpoint_label(endpoint: Endpoint) -> bytes:
    """Return the label an endpoint is known by: its hostname, or its address with dashes (docs/answers.md)."""
    return endpoint[1] or reverse.dashed(endpoint[0])


def _has_port(entry: Entry, port: Pair) -> bool:
    """Tell whether the name `_PORT._PROTO` exists for one of the ports."""
    assert entry.service is not None  # or there is no name of it at all
    if not entry.service.headless:
        return bool(_matching(entry.service.ports, port))
    slices = [part for part in entry.slices if part.held] or _retained(entry, None)
    return any(_matching(part.ports, port) for part in slices)


def _matching(ports: Iterable[PortView], port: Pair) -> tuple[PortView, ...]:
    """Return the ports that `_PORT._PROTO` means. If only an underscore stands for a part, any value of it fits."""
    name, protocol = port
    return tuple(
        p for p in ports if (not name or p.name.lower() == name) and (not protocol or p.protocol.lower() == protocol)
    )


def _only(label: bytes, slices: Sequence[SliceView]) -> list[SliceView]:
    """Return the slices with only the endpoints that have this label.

    The label is read once, in place of writing each address as one: of 5,000 endpoints that takes 0.1 ms for 2.
    """
    address = reverse.undashed(label)
    if address is not None and reverse.dashed(address) != label:
        address = None  # another way to write it
    if b"." in label:  # an IPv6 address that ends like an IPv4 one: there is hardly ever one
        plain = [part for part in slices if not part.fqdn]
        address = next((a for part in plain for a in part.addresses if reverse.dashed(a) == label), None)
    found = []
    for part in slices:
        may_be_unnamed = address is not None and not part.fqdn and (None in part.names or not part.names)
        if label not in part.names and not (may_be_unnamed and address in part.addresses):
            continue
        kept = [
            endpoint
            for endpoint in part.endpoints()
            if (endpoint[1] == label if endpoint[1] or part.fqdn else endpoint[0] == address)
        ]
        if kept:
            found.append(SliceView.of([a for a, _ in kept], tuple(h for _, h in kept), part.ports, fqdn=part.fqdn))
    return found


def _retained(entry: Entry, label: bytes | None) -> list[SliceView]:
    """Return the retained endpoints of an entry as slices: the last ones of the service, or those of one label."""
    return [
        SliceView.of((address,), (hostname,), ports)
        for (address, hostname), (_, ports, last) in (entry.retained or {}).items()
        if (last if label is None else endpoint_label((address, hostname)) == label)
    ]
