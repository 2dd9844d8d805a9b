"""What files of objects may look like, and what is said of those that may not."""

import json

import pytest

from dnsserver.kube.documents import read
from dnsserver.zone.model import EndpointSlice, Kind, Namespace, Pod, Service

SEVERAL = b"""\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
# Only a comment, and nothing.
---
apiVersion: v1
kind: List
items:
- kind: Service
  metadata: {name: web, namespace: shop}
  spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
- kind: Deployment
  metadata: {name: web, namespace: shop}
---
kind: EndpointSliceList
items:
- metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
  addressType: IPv4
  endpoints: [{addresses: [10.1.1.1]}]
---
kind: Pod
metadata: {name: alone, creationTimestamp: 2026-11-21T02:55:59Z}
status: {phase: Running, podIP: 10.1.1.1}
---
kind: ConfigMapList
items: [{metadata: {name: ignored}}]
"""


def test_documents_and_lists() -> None:
    content = read(SEVERAL, json=False)
    assert content.problems == []
    assert {key: type(thing) for key, thing in content.objects.items()} == {
        (Kind.NAMESPACES, "", "shop"): Namespace,
        (Kind.SERVICES, "shop", "web"): Service,
        (Kind.ENDPOINTSLICES, "shop", "web-1"): EndpointSlice,
        (Kind.PODS, "default", "alone"): Pod,
    }


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json(indent: int | str | None) -> None:
    items = [
        {"kind": "Service", "metadata": {"name": "web"}},
        {"kind": "Service", "metadata": {"name": "bad"}, "spec": 7},
    ]
    content = read(json.dumps({"kind": "List", "items": items}, indent=indent).encode(), json=True)
    assert list(content.objects) == [(Kind.SERVICES, "default", "web")]
    (problem,) = content.problems
    assert "Service /bad: spec: Expected `object`, got `int`" in problem
    if indent:
        assert problem.startswith("line 15: ")


def test_empty() -> None:
    assert read(b"", json=False).objects == {}
    assert read(b"---\n", json=False).problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Service\nmetadata:\n  name: [web\n", "line 4: not YAML: "),
        ("kind: Service\n\tmetadata: x\n", "line 2: not YAML: "),
        ("- just\n- a list\n", "line 1: expected an object with kind and metadata, got list"),
        ("metadata: {name: x}\n", "line 1: an object without kind"),
        (
            "kind: List\nitems:\n- kind: Service\n  metadata: {}\n",
            "line 4: Service /: metadata: Object missing required",
        ),
        ("kind: List\nitems: 7\n", "line 2: List: expected `array`, got `int`"),
        (
            "kind: Service\nmetadata: {name: web, namespace: shop}\nspec:\n  ports:\n  - port: 80\n  - port: many\n",
            "line 6: Service shop/web: spec.ports[1].port: Expected `int`, got `str`",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - {port: 99999}\n",
            "line 5: Service /web: spec.ports[0].port: Expected `int` <= 65535",
        ),
        ("kind: Service\nmetadata:\n  name: 7\n", "line 3: Service /: metadata.name: Expected `str`, got `int`"),
        ("kind: Service\nmetadata:\n  name: ''\n", "line 3: Service /: metadata.name: has no name"),
        ("kind: Namespace\nmetadata:\n  name: x\n  labels:\n    a: 1\n", "line 5: Namespace /x: metadata.labels"),
    ],
)
def test_problems_name_line_and_field(text: str, problem: str) -> None:
    (said,) = read(text.encode(), json=False).problems
    assert said.startswith(problem)


def test_json_problems_have_lines() -> None:
    content = read(b'{\n "kind": "List",\n "items": [\n  {,}\n ]\n}', json=True)
    assert not content.readable
    assert content.problems[0].startswith("line 4: ")
    assert read(b'{"kind": "List", "items": [', json=True).problems[0].startswith("line 1: ")
    assert not read(b'{"kind": "\xff"}', json=True).readable


def test_the_last_of_duplicates_counts() -> None:
    one = "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.%d}\n"
    content = read(f"{one % 1}---\n{one % 2}".encode(), json=False)
    assert content.duplicates == [(Kind.SERVICES, "default", "web")]
    (service,) = content.objects.values()
    assert isinstance(service, Service)
    assert service.spec.cluster_ip == "10.0.0.2"
