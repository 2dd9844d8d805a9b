"""The demo cluster is one that an API server would take, that hangs together, and that shows what its comments say."""

from collections import Counter
from ipaddress import ip_address

from dnsserver.kube.content import Findings
from dnsserver.kube.documents import read
from tests.deployment import ROOT, Manifest, complaint, demo_objects, title

DEMO = list(demo_objects())


def of_kind(kind: str) -> list[Manifest]:
    return [thing for thing in DEMO if thing["kind"] == kind]


def owner(thing: Manifest) -> tuple[str, str]:
    """The (namespace, service) that a slice belongs to."""
    metadata = thing["metadata"]
    return metadata["namespace"], metadata["labels"]["kubernetes.io/service-name"]


def test_the_api_would_take_each_object() -> None:
    assert [text for text in map(complaint, DEMO) if text] == []


def test_the_validator_would_tell() -> None:
    pod = of_kind("Pod")[0]
    unknown = {**pod, "spec": {**pod["spec"], "replicas": 1}}
    mistyped = {**pod, "spec": {**pod["spec"], "hostNetwork": "yes"}}
    assert "replicas" in (complaint(unknown) or "")
    assert "spec.hostNetwork" in (complaint(mistyped) or "")
    assert "no such kind" in (complaint({**pod, "kind": "Pot"}) or "")


def test_the_server_reads_each_file_without_a_word() -> None:
    known = 0
    for path in (ROOT / "zones/demo").glob("*.yaml"):
        content = read(path.read_bytes(), json=False)
        assert content.findings == Findings()
        known += len(content.objects)
    assert known == len(DEMO)


def test_names_are_used_once_and_namespaces_exist() -> None:
    counts = Counter((thing["metadata"].get("namespace"), title(thing)) for thing in DEMO)
    assert [name for name, count in counts.items() if count > 1] == []
    namespaces = {thing["metadata"]["name"] for thing in of_kind("Namespace")}
    assert {thing["metadata"]["namespace"] for thing in DEMO if thing["kind"] != "Namespace"} <= namespaces


def test_each_slice_has_its_service_and_ports_of_the_same_names() -> None:
    services = {(thing["metadata"]["namespace"], thing["metadata"]["name"]): thing for thing in of_kind("Service")}
    for piece in of_kind("EndpointSlice"):
        ports = {(port.get("name"), port["protocol"]) for port in services[owner(piece)]["spec"]["ports"]}
        assert {(port.get("name"), port["protocol"]) for port in piece["ports"]} == ports, title(piece)


def test_each_address_is_of_the_family_that_is_said() -> None:
    for piece in of_kind("EndpointSlice"):
        addresses = [address for endpoint in piece["endpoints"] for address in endpoint["addresses"]]
        assert {f"IPv{ip_address(address).version}" for address in addresses} == {piece["addressType"]}, title(piece)
    for service in of_kind("Service"):
        found = [address for address in service["spec"].get("clusterIPs", []) if address != "None"]
        families = [f"IPv{ip_address(address).version}" for address in found]
        assert not found or families == service["spec"]["ipFamilies"], title(service)
    for pod in of_kind("Pod"):
        assert pod["status"]["podIPs"][0]["ip"] == pod["status"]["podIP"], title(pod)


def test_it_shows_every_shape_of_service() -> None:
    headless = {
        owner(piece) for piece in of_kind("EndpointSlice") if "service.kubernetes.io/headless" in _labels(piece)
    }
    hostnames = {owner(piece) for piece in of_kind("EndpointSlice") if any("hostname" in e for e in piece["endpoints"])}
    ready = {owner(p) for p in of_kind("EndpointSlice") if any(e["conditions"]["ready"] for e in p["endpoints"])}
    specs = [service["spec"] for service in of_kind("Service")]
    targets = [spec["externalName"] for spec in specs if spec["type"] == "ExternalName"]
    assert hostnames
    assert headless - hostnames
    assert headless - ready
    assert any(target.endswith(".svc.cluster.local") for target in targets)
    assert any(not target.endswith(".cluster.local") for target in targets)
    assert any(len(spec.get("clusterIPs", [])) == 2 for spec in specs)
    assert {"ClusterIP", "LoadBalancer", "ExternalName"} <= {spec["type"] for spec in specs}


def _labels(thing: Manifest) -> dict[str, str]:
    labels: dict[str, str] = thing["metadata"]["labels"]
    return labels
