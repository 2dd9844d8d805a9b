"""Reads an object that a person wrote: leaves out and reports what cannot be read, and serves the rest.

The API server checks its objects, but nobody checks those in files. A port that is not a number costs only that port,
a wrong address only that address. If the name is missing, or something else is in the place of `spec`, nothing is left
to serve, and the whole object counts as bad.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dnsserver.kube.decode import BadObject, from_parsed
from dnsserver.kube.wording import expected, missing
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import ROOT, from_text
from dnsserver.zone.index import address_reader, pack
from dnsserver.zone.model import Kind, Object

MOST = 50  # parts of one object that may be left out
Path = tuple[str | int, ...]

_NEEDED = {(), ("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("spec",), ("status",), ("endpoints",)}
_SERVICE_TYPES = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}
_PROTOCOLS = {"TCP", "UDP", "SCTP"}
_ADDRESS_TYPES = {"IPv4": "IPv4 address", "IPv6": "IPv6 address", "FQDN": "DNS name"}
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class Flaw(msgspec.Struct, frozen=True):
    """Something in an object that cannot be read; the path is that of the object as it was written."""

    path: Path
    problem: str


class UnusableError(Exception):
    """There is nothing of the object to serve."""

    def __init__(self, bad: BadObject, flaw: Flaw) -> None:
        super().__init__(str(bad))
        self.bad = bad
        self.flaw = flaw


def salvage(kind: Kind, parsed: dict[Any, Any]) -> tuple[Object, list[Flaw]]:
    """Return the object less what cannot be read of it, and what that is. Raises UnusableError."""
    flaws: list[Flaw] = []
    gone: dict[Path, list[int]] = {}
    rest: Any = parsed
    while True:
        try:
            made = from_parsed(kind, rest)
        except BadObject as bad:
            problem, _, field = bad.problem.partition(" - at `$")
            path = steps(field)
            lacks = missing(problem)
            if lacks is None:
                flaw = Flaw(_as_written(path, gone), expected(problem, _at(rest, path)))
            else:
                flaw = Flaw((*_as_written(path, gone), lacks), "is missing")
            if path in _NEEDED or len(flaws) >= MOST:
                raise UnusableError(bad, flaw) from None
            if field.rstrip("`").endswith("[...]"):
                pairs = _at(rest, path)
                flaws += (
                    Flaw((*flaw.path, key), expected(problem, pairs[key] if isinstance(key, str) else key))
                    for key in _not_text(pairs)
                )
                rest = _replaced(rest, path, _only_text)
                continue
            flaws.append(flaw)
            cut = path[:-1] if path[-1] == "port" else path  # without its number there is nothing left of a port
            rest = _without(rest, cut)
            if isinstance(cut[-1], int):
                place = flaw.path[: len(cut)]
                gone.setdefault(place[:-1], []).append(int(place[-1]))
        else:
            return made, flaws + list(_looks[kind](parsed))


def field_of(path: Path) -> str:
    """Return a path as people write it: spec.ports[1].port."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def steps(field: str) -> Path:
    """Return msgspec's `.spec.ports[0].port` as steps; of a dict's values (`[...]`) it does not say which."""
    found: list[str | int] = []
    for name, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", field):
        if index == "...":
            break
        found.append(name or int(index))
    return tuple(found)


def _as_written(path: Path, gone: dict[Path, list[int]]) -> Path:
    """Return the path in the object as it was written, before elements of lists were left out."""
    written: Path = ()
    for step in path:
        at = step
        if isinstance(at, int):
            for index in sorted(gone.get(written, ())):
                at += index <= at
        written = (*written, at)
    return written


def _at(thing: Any, path: Path) -> Any:
    for step in path:
        thing = thing[step]
    return thing


def _replaced(thing: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """Return a copy with one part changed. The other parts are shared, as YAML aliases share them, too."""
    if not path:
        return change(thing)
    copy = thing.copy()
    copy[path[0]] = _replaced(copy[path[0]], path[1:], change)
    return copy


def _without(thing: Any, path: Path) -> Any:
    def drop(holder: Any) -> Any:
        copy = holder.copy()
        del copy[path[-1]]
        return copy

    return _replaced(thing, path[:-1], drop)


def _not_text(pairs: dict[Any, Any]) -> list[Any]:
    return [key for key, value in pairs.items() if not (isinstance(key, str) and isinstance(value, str))]


def _only_text(pairs: dict[Any, Any]) -> dict[str, str]:
    return {key: value for key, value in pairs.items() if isinstance(key, str) and isinstance(value, str)}


# What decodes, and still says nothing to a reader of addresses and names ---------------------------------------------


def _look_at_service(parsed: dict[Any, Any]) -> Iterator[Flaw]:
    yield from _look_at_name(parsed)
    spec = _dict(parsed.get("spec"))
    kind = spec.get("type")
    if isinstance(kind, str) and kind not in _SERVICE_TYPES:
        yield Flaw(("spec", "type"), f"expected ClusterIP, NodePort, LoadBalancer or ExternalName, got {_shown(kind)}")
    if kind == "ExternalName":
        target = spec.get("externalName")
        if not target:
            yield Flaw(("spec", "externalName"), "is missing: an ExternalName Service needs it")
        elif isinstance(target, str) and pack(target.removesuffix(".")) is not None:
            yield Flaw(("spec", "externalName"), f"{_shown(target)} is an address: expected a DNS name")
        elif isinstance(target, str) and not _is_name(target):
            yield Flaw(("spec", "externalName"), f"{_shown(target)} is not a DNS name")
    else:
        addresses: list[tuple[Path, Any]] = [
            (("spec", "clusterIPs", at), text) for at, text in enumerate(_list(spec.get("clusterIPs")))
        ]
        for path, text in addresses or [(("spec", "clusterIP"), spec.get("clusterIP"))]:
            if isinstance(text, str) and text not in {"", "None"} and pack(text) is None:
                yield Flaw(path, f"{_shown(text)} is not an IP address")
    yield from _look_at_ports(("spec", "ports"), spec.get("ports"))


def _look_at_slice(parsed: dict[Any, Any]) -> Iterator[Flaw]:
    kind = parsed.get("addressType")
    if kind is None or (isinstance(kind, str) and kind not in _ADDRESS_TYPES):
        got = "nothing" if kind is None else _shown(kind)
        yield Flaw(("addressType",), f"expected IPv4, IPv6 or FQDN, got {got}; addresses of both IP families are read")
    read = address_reader(kind if isinstance(kind, str) else "")
    for number, endpoint in enumerate(_list(parsed.get("endpoints"))):
        for at, text in enumerate(_list(_dict(endpoint).get("addresses"))):
            if isinstance(text, str) and read(text) is None:
                what = _ADDRESS_TYPES.get(str(kind), "IP address")
                yield Flaw(("endpoints", number, "addresses", at), f"{_shown(text)} is not a valid {what}")
    labels = _dict(_dict(parsed.get("metadata")).get("labels"))
    path: Path = ("metadata", "labels")
    service = labels.get("kubernetes.io/service-name")
    if not service:
        yield Flaw(path, "kubernetes.io/service-name is missing: the slice belongs to no Service")
    elif isinstance(service, str) and not _LABEL.fullmatch(service):
        yield Flaw((*path, "kubernetes.io/service-name"), f"{_shown(service)} is not the name of a Service")
    yield from _look_at_ports(("ports",), parsed.get("ports"))


def _look_at_pod(parsed: dict[Any, Any]) -> Iterator[Flaw]:
    status = _dict(parsed.get("status"))
    listed = [
        (("status", "podIPs", at, "ip"), _dict(entry).get("ip")) for at, entry in enumerate(_list(status.get("podIPs")))
    ]
    for path, text in [*listed, (("status", "podIP"), status.get("podIP"))]:
        if isinstance(text, str) and text and pack(text) is None:
            yield Flaw(path, f"{_shown(text)} is not an IP address")


def _look_at_name(parsed: dict[Any, Any]) -> Iterator[Flaw]:
    """Of Services and Namespaces, whose names are labels of names (RFC 1035 section 2.3.4)."""
    metadata = _dict(parsed.get("metadata"))
    for field in ("name", "namespace"):
        text = metadata.get(field)
        if isinstance(text, str) and text and not _LABEL.fullmatch(text):
            yield Flaw(("metadata", field), f"{_shown(text)} is not a label of a DNS name: nobody can ask for it")


def _look_at_ports(path: Path, ports: Any) -> Iterator[Flaw]:
    for number, port in enumerate(_list(ports)):
        if _dict(port).get("port") == 0:
            yield Flaw((*path, number, "port"), "expected a number from 1 to 65535, got 0")
        protocol = _dict(port).get("protocol")
        if isinstance(protocol, str) and protocol and protocol not in _PROTOCOLS:
            yield Flaw((*path, number, "protocol"), f"expected TCP, UDP or SCTP, got {_shown(protocol)}")


_looks: dict[Kind, Callable[[dict[Any, Any]], Iterator[Flaw]]] = {
    Kind.NAMESPACES: _look_at_name,
    Kind.SERVICES: _look_at_service,
    Kind.ENDPOINTSLICES: _look_at_slice,
    Kind.PODS: _look_at_pod,
}


def _is_name(text: str) -> bool:
    """Tell whether a text can be the target of a CNAME, and is likely to be meant as one."""
    try:
        return from_text(text) != ROOT and not any(character.isspace() for character in text)
    except FormatError:
        return False


def _dict(thing: Any) -> dict[Any, Any]:
    return thing if isinstance(thing, dict) else {}


def _list(thing: Any) -> list[Any]:
    return thing if isinstance(thing, list) else []


def _shown(text: str) -> str:
    return f"`{text[:60]}`"
