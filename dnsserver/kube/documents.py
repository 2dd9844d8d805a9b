"""What a file of Kubernetes objects says: YAML or JSON text in, objects and problems out; no files, no clock.

Reads what `kubectl get -o yaml` or `-o json` prints and what people write: several documents, Lists of any kind,
items that leave out their kind because the list says it. Objects of other kinds are passed over. An object without a
namespace is in `default`, as `kubectl apply` would have it.
"""

import re
from typing import Any

import msgspec
import yaml

from dnsserver.kube.decode import BadObject, from_parsed
from dnsserver.zone.model import Kind, Object

Key = tuple[Kind, str, str]

_KINDS = {
    "Namespace": Kind.NAMESPACES,
    "Service": Kind.SERVICES,
    "EndpointSlice": Kind.ENDPOINTSLICES,
    "Pod": Kind.PODS,
}
# libyaml is about ten times as fast, where PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Path = tuple[str | int, ...]


class Content(msgspec.Struct):
    """The good objects of a text, and a sentence for each thing that is wrong, which begins with its line.

    `readable` is False when the text as a whole is not YAML or JSON.
    """

    objects: dict[Key, Object]
    problems: list[str]
    duplicates: list[Key]
    readable: bool = True


def read(text: bytes, *, json: bool) -> Content:
    """The objects of one file's text; `json` picks the faster parser."""
    content = Content({}, [], [])
    try:
        documents = [msgspec.json.decode(text)] if json else list(yaml.load_all(text, _Loader))
    except (yaml.YAMLError, msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        content.readable = False
        content.problems.append(_syntax(text, error))
        return content
    bad: list[tuple[_Path, str]] = []
    for number, document in enumerate(documents):
        if document is not None:
            _take(content, bad, document, "", (number,))
    if bad:
        content.problems.extend(_located(text, bad))
    return content


def _take(content: Content, bad: list[tuple[_Path, str]], thing: object, kind: str, path: _Path) -> None:
    """One document, or one item of a List, whose `kind` the list may have said."""
    if not isinstance(thing, dict):
        bad.append((path, f"expected an object with kind and metadata, got {type(thing).__name__}"))
        return
    kind = thing.get("kind") or kind
    if not isinstance(kind, str) or not kind:
        bad.append((path, "an object without kind"))
    elif kind.endswith("List"):
        items = thing.get("items") or []
        if not isinstance(items, list):
            bad.append(((*path, "items"), f"{kind}: expected `array`, got `{type(items).__name__}` - at `items`"))
            return
        for number, item in enumerate(items):
            _take(content, bad, item, kind.removesuffix("List"), (*path, "items", number))
    elif kind in _KINDS:
        try:
            made = _with_namespace(_KINDS[kind], from_parsed(_KINDS[kind], thing))
        except BadObject as error:
            problem, _, field = error.problem.partition(" - at `$")
            inner = _steps(field)
            where = f"{field.strip('.`')}: " if field else ""
            bad.append(((*path, *inner), f"{kind} {error.namespace}/{error.name}: {where}{problem}"))
            return
        key = (_KINDS[kind], made.metadata.namespace, made.metadata.name)
        if key in content.objects:
            content.duplicates.append(key)
        content.objects[key] = made


def _with_namespace(kind: Kind, thing: Object) -> Object:
    if kind is Kind.NAMESPACES or thing.metadata.namespace:
        return thing
    return msgspec.structs.replace(thing, metadata=msgspec.structs.replace(thing.metadata, namespace="default"))


def _steps(field: str) -> _Path:
    """`.spec.ports[0].port` as steps; a dict's values (`[...]`) are as far as msgspec says."""
    steps: list[str | int] = []
    for name, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]", field):
        if index == "...":
            break
        steps.append(name or int(index))
    return tuple(steps)


def _syntax(text: bytes, error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: not YAML: {error.problem or error.context}"
    if found := re.search(r"\(byte (\d+)\)|in position (\d+)", str(error)):
        line = text.count(b"\n", 0, int(found[1] or found[2])) + 1
        return f"line {line}: not JSON or YAML: {error}"
    lines = text.count(b"\n") + 1
    return f"line {lines}: not JSON or YAML: {error}"


def _located(text: bytes, bad: list[tuple[_Path, str]]) -> list[str]:
    """The problems with their lines. Only a broken file pays for this second parse; JSON is YAML here."""
    try:
        nodes = list(yaml.compose_all(text.replace(b"\t", b" "), _Loader))
    except yaml.YAMLError:
        return [problem for _, problem in bad]
    return [f"line {_line(nodes[int(path[0])], path[1:])}: {problem}" for path, problem in bad]


def _line(node: Any, path: _Path) -> int:
    """The line of the deepest node on the path that is there."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), None) or node
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
    return int(node.start_mark.line) + 1 if node is not None else 1
