"""Each overlay of manifests/ with each component: the API would take it, and the rest of the overlay stays as it is."""

import json
import re
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from dnsserver.config import Config
from tests.deployment import (
    COMPONENTS,
    MANIFESTS,
    OWNED,
    Manifest,
    asked_for,
    complaint,
    composed,
    container,
    of_kind,
    ours,
    pod_labels,
    rendered,
    rights,
    title,
    workload,
)


@pytest.fixture(params=[*product(OWNED, COMPONENTS), *((overlay, "all") for overlay in OWNED)], ids="-".join)
def composition(request: pytest.FixtureRequest) -> tuple[list[Manifest], list[Manifest]]:
    """An overlay alone, with one component, or with all components that may be combined."""
    overlay, component = request.param
    several = [each for each in COMPONENTS if each != "annotations"]
    return rendered(overlay), composed(overlay, *(several if component == "all" else [component]))


def test_a_component_is_taken_by_the_api_and_leaves_the_rest_as_it_is(
    composition: tuple[list[Manifest], list[Manifest]],
) -> None:
    plain, whole = composition
    assert [text for text in map(complaint, whole) if text] == []
    names = [title(manifest) for manifest in whole]
    assert len(set(names)) == len(names)
    assert {title(manifest) for manifest in plain} <= set(names)
    assert [m for m in whole if m["metadata"].get("namespace") is None and not m["kind"].startswith("Cluster")] == []
    for kind in ("ServiceAccount", "ClusterRoleBinding", "ConfigMap", "PodDisruptionBudget"):
        assert [m for m in of_kind(whole, kind) if ours(m)] == of_kind(plain, kind)
    assert changed(workload(plain), workload(whole)) <= {
        ("spec", "replicas"),
        ("spec", "template", "metadata", "annotations"),
    }


def changed(one: Manifest, other: Manifest, *path: str) -> set[tuple[str, ...]]:
    """The paths at which two objects differ."""
    found: set[tuple[str, ...]] = set()
    for key in one.keys() | other.keys():
        ours, theirs = one.get(key), other.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found |= changed(ours, theirs, *path, key)
        elif ours != theirs:
            found.add((*path, key))
    return found


@pytest.mark.parametrize("overlay", OWNED)
def test_a_selector_of_a_component_finds_the_pods_of_its_overlay_and_no_others(overlay: str) -> None:
    whole = composed(overlay, "network-policy", "pod-monitor")
    (policy,), (monitor,) = of_kind(whole, "NetworkPolicy"), of_kind(whole, "PodMonitor")
    for selector in (policy["spec"]["podSelector"], monitor["spec"]["selector"]):
        found = [each for each in OWNED if selector["matchLabels"].items() <= pod_labels(rendered(each)).items()]
        assert found == (["replace", "same-node"] if overlay in {"replace", "same-node"} else [overlay])
    name = workload(whole)["metadata"]["name"]
    assert {policy["metadata"]["name"], monitor["metadata"]["name"]} == {name}


@pytest.mark.parametrize("overlay", OWNED)
def test_metrics_are_scraped_where_they_are(overlay: str) -> None:
    whole = composed(overlay, "annotations", "pod-monitor")
    (admin,) = [argument for argument in container(whole)["args"] if argument.startswith("--admin=")]
    annotations = workload(whole)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": admin.rpartition(":")[2],
        "prometheus.io/path": "/metrics",
    }
    (monitor,) = of_kind(whole, "PodMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    if overlay != "node-local":
        assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "admin", "path": "/metrics"}]


@pytest.mark.parametrize(("ip", "host"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "[2001:db8::7]")])
def test_pods_that_declare_no_ports_are_scraped_as_well(ip: str, host: str) -> None:
    (monitor,) = of_kind(composed("node-local", "pod-monitor"), "PodMonitor")
    server, guardian = container(rendered("node-local")), container(rendered("node-local"), "guardian")
    (admin,) = [argument for argument in server["args"] if argument.startswith("--admin=")]
    (metrics,) = [argument for argument in guardian["args"] if argument.startswith("--metrics=")]
    # What Prometheus makes of a pod without ports: a target for each container, at the pod's address alone.
    targets = [
        {"__meta_kubernetes_pod_container_name": name, "__meta_kubernetes_pod_ip": ip, "__address__": ip}
        for name in ("dnsserver", "guardian")
    ]
    found = [
        relabelled(target, endpoint["relabelings"])["__address__"]
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for target in targets
        if relabelled(target, endpoint["relabelings"])
    ]
    assert found == [f"{host}:{each.rpartition(':')[2]}" for each in (admin, metrics)]


def relabelled(target: dict[str, str], rules: list[dict[str, Any]]) -> dict[str, str]:
    """Return a target as Prometheus' relabel_config makes it, empty if it is not kept."""
    for rule in rules:
        source = ";".join(target.get(label, "") for label in rule["sourceLabels"])
        match = re.fullmatch(rule["regex"], source)
        if rule.get("action") == "keep":
            if match is None:
                return {}
        elif match is not None:
            target = {**target, rule["targetLabel"]: rule["replacement"].replace("${1}", match[1])}
    return target


@pytest.mark.parametrize("overlay", ["shadow", "replace", "same-node"])
def test_the_policy_lets_through_what_the_server_is_asked_and_asks(overlay: str) -> None:
    whole = composed(overlay, "network-policy")
    (policy,) = of_kind(whole, "NetworkPolicy")
    ingress, egress = policy["spec"]["ingress"], policy["spec"]["egress"]
    everybody = ports_of(rule for rule in ingress if "from" not in rule)
    assert everybody == {(53, "UDP"), (53, "TCP")}
    assert everybody | ports_of(ingress) == {
        (port["containerPort"], port["protocol"]) for port in container(whole)["ports"]
    }
    assert ports_of(egress) == {(53, "UDP"), (53, "TCP"), (853, "TCP"), (443, "TCP"), (6443, "TCP")}


def ports_of(rules: Iterable[Manifest]) -> set[tuple[int, str]]:
    return {(port["port"], port["protocol"]) for rule in rules for port in rule["ports"]}


@pytest.mark.parametrize("overlay", ["shadow", "replace"])
def test_the_autoscaler_scales_this_deployment_and_may_do_nothing_else(overlay: str) -> None:
    whole = composed(overlay, "autoscaler")
    (scaler,) = [each for each in of_kind(whole, "Deployment") if not ours(each)]
    flags = dict(flag[2:].split("=") for flag in scaler["spec"]["template"]["spec"]["containers"][0]["args"])
    assert flags["target"] == f"deployment/{workload(whole)['metadata']['name']}"
    assert "replicas" not in workload(whole)["spec"]
    (parameters,) = [each for each in of_kind(whole, "ConfigMap") if each["metadata"]["name"] == flags["configmap"]]
    assert json.loads(parameters["data"]["linear"])["min"] >= 2
    (role,) = [each for each in of_kind(whole, "ClusterRole") if not ours(each)]
    (local,) = of_kind(whole, "Role")
    assert rights(role) == {("", "nodes", "list"), ("", "nodes", "watch")}
    assert rights(local) == {
        ("apps", "deployments/scale", "get"),
        ("apps", "deployments/scale", "update"),
        ("", "configmaps", "get"),
    }


@pytest.mark.parametrize("overlay", ["shadow", "replace"])
def test_the_same_node_is_preferred(overlay: str) -> None:
    (service,) = of_kind(composed(overlay, "same-node"), "Service")
    assert service["spec"]["trafficDistribution"] == "PreferSameNode"
    assert "trafficDistribution" not in of_kind(rendered(overlay), "Service")[0]["spec"]


@pytest.mark.parametrize("overlay", OWNED)
def test_with_verified_it_may_see_pods_too(overlay: str) -> None:
    (role,) = of_kind(composed(overlay, "verified"), "ClusterRole")
    assert rights(role) == asked_for(Config(pods="verified"))


def test_every_component_is_told_of() -> None:
    readme = (MANIFESTS / "README.md").read_text()
    assert [each for each in COMPONENTS if f"`{each}`" not in readme] == []
