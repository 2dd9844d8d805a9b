import io
from pathlib import Path

import pytest

from loadtest.inventory import InventoryError, Pattern, from_names, from_objects, from_pattern

YAML = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1, "fd00::1"]
  ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}, {port: 9}]
---
apiVersion: v1
kind: List
items:
- {kind: Service, metadata: {name: db, namespace: data}, spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}}
- {kind: Service, metadata: {name: out, namespace: data}, spec: {type: ExternalName, externalName: example.com}}
- {kind: Pod, metadata: {name: p, namespace: shop}, status: {podIPs: [{ip: 10.1.2.3}, {ip: "fd00::2"}]}}
- {kind: ConfigMap, metadata: {name: c, namespace: shop}}
"""
JSON = '{"kind": "ServiceList", "items": [{"metadata": {"name": "j"}, "spec": {"clusterIP": "10.0.0.9"}}]}'


def test_objects_give_the_names_that_they_make(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    (tmp_path / "b.json").write_text(JSON)
    (tmp_path / "README").write_text("no object")
    found = from_objects([tmp_path], "z")
    assert found.namespaces == ("shop", "data", "default")
    assert found.services == ("web.shop.svc.z", "j.default.svc.z")
    assert found.headless == ("db.data.svc.z",)
    assert found.ports == ("_http._tcp.web.shop.svc.z", "_dns._udp.web.shop.svc.z", "_pg._tcp.db.data.svc.z")
    assert found.pods == ("10-1-2-3.shop.pod.z", "fd00--2.shop.pod.z")
    assert found.addresses == ("10.0.0.1", "fd00::1", "10.0.0.9")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", "{", "expected Kubernetes objects in YAML or JSON"),
        ("x.yaml", "a: [", "expected Kubernetes objects in YAML or JSON"),
        ("x.yaml", "a: 1", "expected a Kubernetes object, not found: 'kind'"),
        ("x.yaml", "kind: Service\nmetadata: {}", "expected a Kubernetes object, not found: 'name'"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InventoryError) as caught:
        from_objects([tmp_path / name], "z")
    assert str(caught.value).startswith(f"{tmp_path / name}: {said}")


def test_a_pattern_numbers_the_names() -> None:
    found = from_pattern(Pattern(services=3, namespaces=2, headless=1), "z")
    assert found.services == ("svc-0.ns-0.svc.z", "svc-1.ns-1.svc.z", "svc-2.ns-0.svc.z")
    assert found.headless == ("headless-0.ns-0.svc.z",)
    assert found.ports[0] == "_http._tcp.svc-0.ns-0.svc.z"
    assert found.namespaces == ("ns-0", "ns-1")


def test_a_pattern_with_another_number_is_refused() -> None:
    with pytest.raises(InventoryError):
        from_pattern(Pattern(services=3, namespaces=2, service="{x}"), "z")


def test_names_are_completed() -> None:
    found = from_names(io.StringIO("web\n; no\nweb.shop\n\nweb.data.svc.z.\n"), "z")
    assert found.services == ("web.default.svc.z", "web.shop.svc.z", "web.data.svc.z")
    assert found.namespaces == ("default", "shop", "data")


def test_no_names_are_refused() -> None:
    with pytest.raises(InventoryError):
        from_names(["# none"], "z")
