"""Decodes one API object from JSON or a parsed file, or says why it cannot. A bad object gets no further than this."""

from typing import Any, Generic, TypeVar

import msgspec

from dnsserver.kube import shallow
from dnsserver.zone.model import EndpointSlice, Kind, Metadata, Namespace, Object, Pod, Service

TYPES: dict[Kind, type[Object]] = {
    Kind.NAMESPACES: Namespace,
    Kind.SERVICES: Service,
    Kind.ENDPOINTSLICES: EndpointSlice,
    Kind.PODS: Pod,
}


_T_co = TypeVar("_T_co", covariant=True)


class BadObject(Exception):  # noqa: N818  (it is a finding about an object, reported, never a failure of the program)
    """An object that cannot be used; `name` is empty where not even that could be read."""

    def __init__(self, kind: Kind, namespace: str, name: str, problem: str) -> None:
        super().__init__(f"{kind} {namespace}/{name}: {problem}")
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.problem = problem


class Identity(msgspec.Struct, rename="camel"):
    """Name and version of an object and nothing else: all that a deletion or a bookmark needs."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class Line(msgspec.Struct, Generic[_T_co]):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and its object."""

    type: str
    object: _T_co


Change = Line[Object | msgspec.Raw]


class _Identified(msgspec.Struct):
    metadata: Identity = msgspec.field(default_factory=Identity)


class _LooseIdentity(msgspec.Struct):
    name: Any = None
    namespace: Any = None


class _LooselyIdentified(msgspec.Struct):
    metadata: _LooseIdentity | None = None


# Invalid UTF-8 surfaces as UnicodeDecodeError in a field that is read, and elsewhere not at all. RecursionError is what
# is nested too deeply, even where it is only skipped; `shallow` gets at what stands around it.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_decoders = {kind: msgspec.json.Decoder(type_) for kind, type_ in TYPES.items()}
_lines = {kind: msgspec.json.Decoder(Line[type_]) for kind, type_ in TYPES.items()}  # type: ignore[valid-type]
_raw_line = msgspec.json.Decoder(Line[msgspec.Raw])
_identified = msgspec.json.Decoder(_Identified)
_loosely_identified = msgspec.json.Decoder(_LooselyIdentified)


def from_json(kind: Kind, raw: msgspec.Raw | bytes) -> Object:
    """Return the object in API JSON. Raises BadObject, with the path of a field that answers need and cannot use."""
    try:
        return _named(kind, _decoders[kind].decode(raw))
    except UNREADABLE as error:
        raise _bad(kind, _loosely(raw), error) from None


def _loosely(raw: msgspec.Raw | bytes) -> _LooseIdentity | None:
    try:
        return _loosely_identified.decode(raw).metadata
    except RecursionError:
        return _loose_metadata(raw)
    except UNREADABLE:
        return None


def _loose_metadata(raw: msgspec.Raw | bytes) -> _LooseIdentity | None:
    try:
        return msgspec.json.decode(shallow.fields(raw).get("metadata", b"null"), type=_LooseIdentity | None)
    except UNREADABLE:
        return None


def line(kind: Kind, text: bytes) -> Change:
    """Return a line of a watch; its object is raw JSON where it cannot be used. Raises one of UNREADABLE.

    Where all is well one pass over the JSON gives everything: its end, what it is, and the object.
    """
    try:
        found: Change = _lines[kind].decode(text)
    except UNREADABLE:  # a bookmark, an error, a bad object
        return _raw(text)
    if isinstance(found.object, msgspec.Raw) or found.object.metadata.name:
        return found
    return _raw(text)


def _raw(text: bytes) -> Change:
    try:
        return _raw_line.decode(text)
    except RecursionError:
        parts = shallow.fields(text)
        kind = msgspec.json.decode(parts.get("type", b'""'), type=str)
        return Line(kind, msgspec.Raw(parts.get("object", b"{}")))


def from_parsed(kind: Kind, parsed: object) -> Object:
    """Return the object in what a YAML or JSON parser gave. Raises BadObject as `from_json` does."""
    try:
        return _named(kind, msgspec.convert(parsed, TYPES[kind]))
    except UNREADABLE as error:
        try:
            loose = msgspec.convert(parsed, _LooselyIdentified).metadata
        except UNREADABLE:
            loose = None
        raise _bad(kind, loose, error) from None


def identity(thing: Object | msgspec.Raw) -> Identity | Metadata:
    """Return the object's identity alone. Raises one of UNREADABLE."""
    if not isinstance(thing, msgspec.Raw):
        return thing.metadata
    try:
        return _identified.decode(thing).metadata
    except RecursionError:
        return msgspec.json.decode(shallow.fields(thing).get("metadata", b"{}"), type=Identity)


def _named(kind: Kind, thing: Object) -> Object:
    if not thing.metadata.name:
        raise BadObject(kind, thing.metadata.namespace, "", "has no name - at `$.metadata.name`")
    return thing


def _bad(kind: Kind, loose: _LooseIdentity | None, error: Exception) -> BadObject:
    name = loose.name if loose and isinstance(loose.name, str) else ""
    namespace = loose.namespace if loose and isinstance(loose.namespace, str) else ""
    return BadObject(kind, namespace, name, str(error))
