"""The API's own schemas, of every Kubernetes from the oldest that is promised on: what is applied there, what is read.

They are those of the package kubernetes-validate, made of the OpenAPI documents of Kubernetes.
"""

import functools
import json
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from kubernetes_validate import utils

from dnsserver.zone.model import KINDS, Kind
from tests.deployment import COMPONENTS, MANIFESTS, OWNED, Manifest, complaint, composed, rendered

OLDEST = "1.27"
WHOLE = {utils.major_minor(version): version for version in utils.all_versions()}  # 1.27 to 1.27.0
VERSIONS = list(WHOLE)[list(WHOLE).index(OLDEST) :]
# Where a part has a field that the oldest does not know: the first Kubernetes that does, and the first that does what
# the field's value says, for a schema knows no values.
NEWER = {"same-node": ("1.30", "1.34")}
FILES = {
    Kind.NAMESPACES: "namespace-v1",
    Kind.SERVICES: "service-v1",
    Kind.ENDPOINTSLICES: "endpointslice-discovery-v1",
    Kind.PODS: "pod-v1",
}
JSON_TYPES = {str: "string", int: "integer", bool: "boolean"}


@functools.cache
def taken(text: str, version: str) -> bool:
    """Whether a version takes an object, given as JSON; most parts have most objects in common."""
    return complaint(json.loads(text), version) is None


def accepting(manifests: list[Manifest], part: str) -> dict[str, bool]:
    """Which versions know each field and take what is in it: of those where that may change, and of the newest."""
    field, _ = NEWER.get(part, (OLDEST, OLDEST))
    looked = {OLDEST, VERSIONS[max(0, VERSIONS.index(field) - 1)], field, VERSIONS[-1]}
    texts = [json.dumps(manifest, sort_keys=True) for manifest in manifests]
    return {version: all(taken(text, version) for text in texts) for version in VERSIONS if version in looked}


def expected(part: str, found: dict[str, bool]) -> dict[str, bool]:
    field, _ = NEWER.get(part, (OLDEST, OLDEST))
    return {version: VERSIONS.index(version) >= VERSIONS.index(field) for version in found}


@pytest.mark.parametrize("overlay", OWNED)
def test_an_overlay_is_taken_from_its_oldest_kubernetes_to_the_newest(overlay: str) -> None:
    found = accepting(rendered(overlay), overlay)
    assert found == expected(overlay, found)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("overlay", ["replace", "node-local"])
def test_a_component_is_taken_from_its_oldest_kubernetes_to_the_newest(overlay: str, component: str) -> None:
    found = accepting(composed(overlay, component), component)
    inert = overlay == "node-local" and component == "same-node"  # nobody asks those pods by a Service
    assert found == expected("" if inert else component, found)


def test_the_readme_says_what_is_needed() -> None:
    told = (MANIFESTS / "README.md").read_text()
    assert f"need Kubernetes {OLDEST} or later" in told
    for part, (_, version) in NEWER.items():
        rows = [line for line in told.splitlines() if line.startswith(f"| `{part}` |")]
        assert rows
        assert all(f"Kubernetes {version} or later" in row for row in rows)
        assert f"`{part}` Kubernetes {version}" in told


# --- What is read -----------------------------------------------------------------------------------------------------


@functools.cache
def contents(file: str, version: str) -> Any:
    whole = WHOLE[version]
    return utils.schema_contents(f"kubernetes-json-schema/v{whole}-local/{file}.json", whole)


def followed(schema: Any, version: str) -> Any:
    """The schema that a reference leads to, or the schema itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return contents("_definitions", version)["$defs"][name] if name else schema


def differences(type_: Any, schema: Any, version: str, path: str) -> list[str]:
    """Where the API has something else than the type, or nothing; what may be missing there has to have a default."""
    schema = followed(schema, version)
    if get_origin(type_) in {Union, UnionType}:
        (type_,) = [each for each in get_args(type_) if each is not NoneType]
    if hasattr(type_, "__metadata__"):
        type_ = type_.__origin__
    said = schema.get("type", "object")
    said = {said} if isinstance(said, str) else set(said)
    if get_origin(type_) is list:
        wrong = [] if "array" in said else [f"{path}: {said}"]
        return wrong + differences(get_args(type_)[0], schema.get("items", {}), version, f"{path}[]")
    if get_origin(type_) is dict:
        return [] if "object" in said else [f"{path}: {said}"]
    if not (isinstance(type_, type) and issubclass(type_, msgspec.Struct)):
        return [] if JSON_TYPES[type_] in said else [f"{path}: {said}"]
    found = []
    for field in msgspec.structs.fields(type_):
        inner = f"{path}.{field.encode_name}"
        if field.encode_name not in schema.get("properties", {}):
            found.append(f"{inner}: not there")
        else:
            found += differences(field.type, schema["properties"][field.encode_name], version, inner)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", Kind)
def test_each_field_that_is_read_is_there_with_its_type(kind: Kind, version: str) -> None:
    (model,) = [each for each, of in KINDS.items() if of is kind]
    assert differences(model, contents(FILES[kind], version), version, kind) == []


def test_a_field_that_is_not_there_would_be_told() -> None:
    class Wrong(msgspec.Struct):
        kind: int
        spec: dict[str, str]
        nowhere: str = ""

    told = differences(Wrong, contents("service-v1", OLDEST), OLDEST, "it")
    assert [text.partition(":")[0] for text in told] == ["it.kind", "it.nowhere"]
