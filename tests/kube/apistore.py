"""What an API server keeps: objects with versions, their history, and lists of any version that is not compacted."""

import bisect
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dnsserver.zone.model import Kind

API_VERSION = {
    Kind.NAMESPACES: ("Namespace", "v1"),
    Kind.SERVICES: ("Service", "v1"),
    Kind.ENDPOINTSLICES: ("EndpointSlice", "discovery.k8s.io/v1"),
    Kind.PODS: ("Pod", "v1"),
}
# What a bookmark's object carries beside kind, apiVersion and metadata, as recorded.
BOOKMARK_REST = {
    Kind.NAMESPACES: b',"spec":{},"status":{}',
    Kind.SERVICES: b',"spec":{},"status":{"loadBalancer":{}}',
    Kind.ENDPOINTSLICES: b',"addressType":"","endpoints":null,"ports":null',
    Kind.PODS: b',"spec":{"containers":null},"status":{}',
}


class Stored(msgspec.Struct, frozen=True, gc=False):
    """An object at one version. Its JSON is `head`, the version in decimal, `tail` (which many generated objects
    share)."""

    kind: Kind
    namespace: str
    name: str
    version: int
    head: bytes
    tail: bytes
    labels: dict[str, str]
    phase: str = ""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}\0" if self.namespace else f"{self.name}\0"

    @property
    def json(self) -> bytes:
        """As an item of a list: without kind and apiVersion."""
        return b"%b%d%b" % (self.head, self.version, self.tail)

    def partial(self) -> bytes:
        """Cut down to its metadata."""
        metadata = msgspec.json.encode(msgspec.json.decode(self.json)["metadata"])
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%b}' % metadata

    def full(self) -> bytes:
        """As a watch sends it."""
        kind, version = API_VERSION[self.kind]
        return b'{"kind":"%b","apiVersion":"%b",%b' % (kind.encode(), version.encode(), self.json[1:])


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One change: `old` is None for a creation, `new` for a deletion."""

    version: int
    old: Stored | None
    new: Stored | None


HISTORY = 20_000  # changes of a kind that are surely kept


class GoneError(Exception):
    """The version asked for has been compacted."""


def split(kind: Kind, thing: dict[str, Any]) -> tuple[bytes, bytes]:
    """Head and tail of an object's JSON around its resourceVersion."""
    mark = "\u2603version\u2603"
    shown = {key: value for key, value in thing.items() if key not in {"kind", "apiVersion"}}
    metadata = {**shown.get("metadata", {}), "resourceVersion": mark}
    head, _, tail = msgspec.json.encode({**shown, "metadata": metadata}).partition(mark.encode())
    return head, tail


class Selector:
    """A label or field selector, compiled."""

    _SET = re.compile(r"^(\S+)\s+(in|notin)\s+\((.*)\)$")

    def __init__(self, labels: str, fields: str) -> None:
        self._tests: list[tuple[str, str, frozenset[str]]] = []
        for part in map(str.strip, re.split(r",(?![^(]*\))", labels)):
            if found := self._SET.match(part):
                values = frozenset(value.strip() for value in found[3].split(","))
                self._tests.append((found[1], found[2], values))
            elif "!=" in part:
                key, value = part.split("!=")
                self._tests.append((key.strip(), "notin", frozenset({value.strip()})))
            elif "=" in part:
                key, value = re.split("==?", part)
                self._tests.append((key.strip(), "in", frozenset({value.strip()})))
            elif part.startswith("!"):
                self._tests.append((part[1:], "absent", frozenset()))
            elif part:
                self._tests.append((part, "present", frozenset()))
        self._fields = [re.split("(!=|==|=)", part) for part in fields.split(",") if part]
        self.trivial = not self._tests and not self._fields

    def matches(self, thing: Stored) -> bool:
        for key, test, values in self._tests:
            value = thing.labels.get(key)
            if test == "in" and value not in values:
                return False
            if test == "notin" and value in values:
                return False
            if (test == "present") != (value is not None) and test in {"present", "absent"}:
                return False
        known = {"metadata.name": thing.name, "metadata.namespace": thing.namespace, "status.phase": thing.phase}
        return all((known[field] == value) == (test != "!=") for field, test, value in self._fields)


class Store:
    """All objects of one API server under one counter of versions."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: dict[Kind, dict[str, Stored]] = {kind: {} for kind in Kind}
        self.history: dict[Kind, list[Entry]] = {kind: [] for kind in Kind}
        self.compacted = dict.fromkeys(Kind, 0)  # the newest version that is gone
        self._lists: OrderedDict[tuple[Kind, int], list[Stored]] = OrderedDict()
        self._chosen: OrderedDict[tuple[Kind, int, str, str, str], list[Stored]] = OrderedDict()

    def put(self, kind: Kind, thing: dict[str, Any]) -> Stored:
        """Create or change an object given as the API's JSON in Python values."""
        metadata = thing["metadata"]
        head, tail = split(kind, thing)
        phase = thing.get("status", {}).get("phase", "") if kind is Kind.PODS else ""
        return self.put_split(
            kind, metadata.get("namespace", ""), metadata["name"], head, tail, metadata.get("labels") or {}, phase
        )

    def put_split(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        head: bytes,
        tail: bytes,
        labels: dict[str, str] | None = None,
        phase: str = "",
    ) -> Stored:
        """Create or change an object of any bytes, sensible JSON or not."""
        self.version += 1
        new = Stored(kind, namespace, name, self.version, head, tail, labels or {}, phase)
        old = self.objects[kind].get(new.key)
        self.objects[kind][new.key] = new
        self._remember(kind, Entry(self.version, old, new))
        return new

    def load(self, kind: Kind, things: Iterable[tuple[str, str, bytes, bytes, dict[str, str], str]]) -> None:
        """Many objects at the start, without history."""
        for namespace, name, head, tail, labels, phase in things:
            self.version += 1
            new = Stored(kind, namespace, name, self.version, head, tail, labels, phase)
            self.objects[kind][new.key] = new
        self.compacted[kind] = self.version

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        key = f"{namespace}/{name}\0" if namespace else f"{name}\0"
        self.version += 1
        old = self.objects[kind].pop(key)
        self._remember(kind, Entry(self.version, old, None))

    def _remember(self, kind: Kind, entry: Entry) -> None:
        history = self.history[kind]
        history.append(entry)
        if len(history) > 2 * HISTORY:
            self.compacted[kind] = max(self.compacted[kind], history[HISTORY - 1].version)
            del history[:HISTORY]

    def compact(self) -> None:
        """From now on nobody may list, page or watch from an older version; watches that are open go on."""
        for kind in Kind:
            self.compacted[kind] = self.version
        self._lists.clear()
        self.version += 1  # in a real one the compaction itself is no write, but the next write of anything is

    def chosen(self, kind: Kind, version: int, namespace: str, labels: str, fields: str) -> list[Stored]:
        """What a list with these selectors has at a version, by key. Raises GoneError."""
        things = self.lists(kind, version)
        if not (namespace or labels or fields):
            return things
        key = (kind, version, namespace, labels, fields)
        found = self._chosen.get(key)
        if found is None:
            selector = Selector(labels, fields)
            found = [
                thing for thing in things if (not namespace or thing.namespace == namespace) and selector.matches(thing)
            ]
            self._chosen[key] = found
            while len(self._chosen) > 8:
                self._chosen.popitem(last=False)
        return found

    def lists(self, kind: Kind, version: int) -> list[Stored]:
        """The objects of a kind as they were at a version, by key. Raises GoneError."""
        if version < self.compacted[kind]:
            raise GoneError
        found = self._lists.get((kind, version))
        if found is None:
            objects = dict(self.objects[kind])
            for entry in reversed(self.history[kind]):
                if entry.version <= version:
                    break
                if entry.old is not None:
                    objects[entry.old.key] = entry.old
                elif entry.new is not None:
                    objects.pop(entry.new.key)
            found = [objects[key] for key in sorted(objects)]
            self._lists[kind, version] = found
            while len(self._lists) > 8:
                self._lists.popitem(last=False)
        return found

    def since(self, kind: Kind, version: int) -> Iterator[Entry]:
        """The changes after a version, for a watch that was open before it was compacted or began after."""
        history = self.history[kind]
        start = bisect.bisect_right(history, version, key=lambda entry: entry.version)
        # A list may grow while it is read; indexing sees what came later.
        while start < len(history):
            yield history[start]
            start += 1
