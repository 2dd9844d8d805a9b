"""What a file of Kubernetes objects says: YAML or JSON text in, objects and findings out; no files, no clock.

Reads what `kubectl get -o yaml` or `-o json` prints and what people write: several documents, Lists of any kind,
items that leave out their kind because the list says it. Objects of other kinds and groups are passed over, and said.
An object without a namespace is in `default`, as `kubectl apply` would have it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dnsserver.kube import mistaken
from dnsserver.kube.content import Content, Findings, Key
from dnsserver.kube.plain import Document, NotPlainError, documents
from dnsserver.kube.salvage import Flaw, UnusableError, field_of, salvage
from dnsserver.kube.wording import kind_of
from dnsserver.zone.model import Kind, Object, Service

TOLD = 10  # findings of one sort that are told of a file
_NAMED = 5  # objects named in one finding
_OTHERS = 20  # kinds that are not served and named
_LONGEST_KIND = 60  # letters of its name that are shown
_LONGEST = 1_000  # letters of a sentence

_KINDS = {
    "Namespace": (Kind.NAMESPACES, ""),
    "Service": (Kind.SERVICES, ""),
    "EndpointSlice": (Kind.ENDPOINTSLICES, "discovery.k8s.io"),
    "Pod": (Kind.PODS, ""),
}
_WITH_LABELS = {Kind.NAMESPACES, Kind.SERVICES}  # whose names are labels of DNS
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NO_LABEL = "is not a name that Kubernetes accepts: expected up to 63 of a-z, 0-9 and -; it is served all the same"
_Path = tuple[str | int, ...]


def read(text: bytes, *, json: bool = False, name: str = "") -> Content:
    """Return what one file's text says; `json` picks the faster parser, `name` helps to tell what it is."""
    reading = _Reading()
    try:
        for document in _documents(text, json=json):
            reading.take(document, document.value, "", ())
    except NotPlainError as error:
        what = mistaken.text(name, text)
        problem = what if what is not None else str(error)
        lost = {_KINDS[kind][0]: 1 for kind in mistaken.kinds_in(text)}
        return Content({}, Findings([problem], readable=False, bad_objects=lost))
    content = reading.content()
    if not content.findings.problems or (what := mistaken.text(name, text)) is None:
        return content
    if mistaken.is_kustomization(name):  # it is as it should be, and in the wrong place
        return Content({}, Findings(warnings=[what]))
    return Content({}, Findings([what], readable=False))


def _documents(text: bytes, *, json: bool) -> Iterator[Document]:
    """Give the documents. JSON with mistakes is read again as YAML, as only that reader knows the lines."""
    if not json:
        yield from documents(text)
        return
    plain = text.removeprefix(b"\xef\xbb\xbf")
    try:
        value = msgspec.json.decode(plain)
    except RecursionError:
        raise NotPlainError(1, "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotPlainError(mistaken.line_in(str(error), plain), f"not JSON: {error}") from None
    if _is_clean(value):
        yield Document(value, 1, [], {})
        return
    try:
        yield from documents(plain.replace(b"\t", b" "))
    except NotPlainError:  # JSON that is no YAML: without lines then
        yield Document(value, 1, [], {})


def _is_clean(value: Any) -> bool:
    """Tell whether a document has no mistakes."""
    trial = _Reading()
    trial.take(Document(value, 1, [], {}), value, "", ())
    findings = trial.content().findings
    return not (findings.problems or findings.warnings)


class _Reading:
    """Reads one text: it collects the objects and the findings."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._problems = _Told("things that are not served")
        self._warnings = _Told("warnings")
        self._others: Counter[str] = Counter()
        self._without_address: list[str] = []
        self._bad_objects: Counter[Kind] = Counter()
        self._bad_values: Counter[Kind] = Counter()

    def content(self) -> Content:
        """Return all of it."""
        if self._without_address:
            self._warnings.say(
                f"{_names(self._without_address, 'Service')} no clusterIP, and so no address: only the API server "
                "assigns one; write the clusterIP, or `clusterIP: None` and EndpointSlices"
            )
        kinds = sorted(self._others.items())
        others = ", ".join(f"{count} {name[:_LONGEST_KIND]}" for name, count in kinds[:_OTHERS])
        others += f" and {len(kinds) - _OTHERS} more kinds" if len(kinds) > _OTHERS else ""
        notes = [f"not served, as they have no names in a cluster's DNS: {others}"] if others else []
        findings = Findings(
            self._problems.all(),
            self._warnings.all(),
            notes,
            bad_objects=dict(self._bad_objects),
            bad_values=dict(self._bad_values),
        )
        return Content(self._objects, findings)

    def take(self, document: Document, thing: object, kind: str, path: _Path) -> None:
        """Read one document, or one item of a List, which may say the `kind` of its items."""
        if not path:
            for line, key in document.twice:
                self._warnings.say(f"line {line}: the key {key} is written twice; the last one counts")
        if thing is None:
            return
        where = f"line {document.line_of(path)}"
        if not isinstance(thing, dict):
            self._problems.say(f"{where}: expected an object with kind and metadata, got {kind_of(thing)}")
            return
        kind = thing.get("kind") or kind
        if not isinstance(kind, str) or not kind:
            self._problems.say(f"{where}: {mistaken.kindless(thing)}")
        elif kind.endswith("List"):
            items = thing.get("items") or []
            if not isinstance(items, list):
                at = document.line_of((*path, "items"))
                self._problems.say(f"line {at}: {kind}: items: expected a list, got {kind_of(items)}")
                return
            for number, item in enumerate(items):
                self.take(document, item, kind.removesuffix("List"), (*path, "items", number))
        elif kind in _KINDS and _group(thing) in {None, _KINDS[kind][1]}:
            self._take_object(document, thing, kind, path)
        elif (problem := mistaken.kind(kind, thing)) is not None:
            self._warnings.say(f"{where}: {problem}")
            meant = mistaken.meant(kind, thing.get("apiVersion"))
            if meant in _KINDS:
                self._bad_objects[_KINDS[meant][0]] += 1
        else:
            group = _group(thing)
            self._others[f"{kind} of {group}" if kind in _KINDS and group is not None else kind] += 1

    def _take_object(self, document: Document, thing: dict[Any, Any], kind: str, path: _Path) -> None:
        each = _KINDS[kind][0]
        try:
            made, flaws = salvage(each, thing)
        except UnusableError as error:
            self._bad_objects[each] += 1
            who = f"{kind} {error.bad.namespace}/{error.bad.name}"
            self._problems.say(_sentence(document, path, who, error.flaw))
            return
        made = _with_namespace(each, made)
        metadata = made.metadata
        who = f"{kind} {metadata.namespace}/{metadata.name}" if metadata.namespace else f"{kind} {metadata.name}"
        told = {flaw.path[:2] for flaw in flaws}
        for field, name in (("name", metadata.name), ("namespace", metadata.namespace)):
            if (
                name
                and ("metadata", field) not in told
                and (field == "namespace" or each in _WITH_LABELS)
                and not _LABEL.fullmatch(name)
            ):
                at = document.line_of((*path, "metadata", field))
                self._warnings.say(f"line {at}: {who}: metadata.{field}: `{name[:60]}` {_NO_LABEL}")
        for flaw in sorted(flaws, key=lambda flaw: document.line_of((*path, *flaw.path))):
            self._warnings.say(_sentence(document, path, who, flaw))
            self._bad_values[each] += 1
        key = (each, metadata.namespace, metadata.name)
        if key in self._objects:
            self._warnings.say(f"line {document.line_of(path)}: {who} is written twice; the last one counts")
        if isinstance(made, Service) and _lacks_address(made):
            self._without_address.append(f"{metadata.namespace}/{metadata.name}")
        self._objects[key] = made


class _Told:
    """Collects sentences: it keeps the first few, and counts the others."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said: list[str] = []
        self._more = 0

    def say(self, sentence: str) -> None:
        """Note one."""
        if len(self._said) < TOLD:
            self._said.append(sentence[:_LONGEST])
        else:
            self._more += 1

    def all(self) -> list[str]:
        """Return them."""
        return [*self._said, f"and {self._more} more {self._what}"] if self._more else self._said


def _sentence(document: Document, path: _Path, who: str, flaw: Flaw) -> str:
    field = f"{field_of(flaw.path)}: " if flaw.path else ""
    return f"line {document.line_of((*path, *flaw.path))}: {who}: {field}{flaw.problem}"


def _with_namespace(kind: Kind, thing: Object) -> Object:
    metadata = thing.metadata
    namespace = "" if kind is Kind.NAMESPACES else metadata.namespace or "default"
    if namespace == metadata.namespace:
        return thing
    return msgspec.structs.replace(thing, metadata=msgspec.structs.replace(metadata, namespace=namespace))


def _group(thing: dict[Any, Any]) -> str | None:
    """Return the API group in an object's `apiVersion`, "" for the core group, None without `apiVersion`."""
    version = thing.get("apiVersion")
    if not isinstance(version, str):
        return None
    group, slash, _ = version.rpartition("/")
    return group if slash else ""


def _lacks_address(service: Service) -> bool:
    spec = service.spec
    return spec.type != "ExternalName" and not spec.cluster_ip and not spec.cluster_ips


def _names(names: Iterable[str], what: str) -> str:
    """Return `Service shop/web has` or `7 Services (shop/web, shop/db, ...) have`."""
    all_ = list(names)
    if len(all_) == 1:
        return f"{what} {all_[0]} has"
    shown = ", ".join(all_[:_NAMED]) + (", ..." if len(all_) > _NAMED else "")
    return f"{len(all_)} {what}s ({shown}) have"
