"""A deployment from its first day to its last, on a real cluster: in the order of this file, each with what was before.

A cluster is as it was afterwards. Beside what it has there are the namespace `dnsserver-e2e` and the server itself, and
CoreDNS where no DNS server was there before. A client asks all along, and nothing may be lost. `IMAGE` is what nodes
have, or can pull; `COREDNS_IMAGE` is only used where there is no CoreDNS.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import MANIFESTS
from tests.real import coredns
from tests.real.client import SPACE, ask, asking_all_along, cluster_dns, lost, names, objects, ttl
from tests.real.kubectl import (
    DEADLINE,
    SYSTEM,
    Object,
    apply,
    exists,
    get,
    kubectl,
    metric,
    pods_of,
    wait_rolled_out,
    wait_until,
    why_not,
)

IMAGE = os.environ.get("IMAGE", "dnsserver:latest")
OURS = "app.kubernetes.io/name=dnsserver,app.kubernetes.io/instance=cluster"
ALL_BUT_THE_SERVICE = ("-l", "k8s-app!=kube-dns")
TTL = 17
RULE = '[[answer]]\nname = "e2e.example"\nrecords = ["@ A 192.0.2.99"]\n'

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or ""),
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("real"),  # one after the other
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The IP of the cluster's DNS, which CoreDNS answers at, before and after."""
    kubectl("delete", "namespace", SPACE, "--ignore-not-found")
    apply(*objects(IMAGE))
    kubectl("-n", SPACE, "wait", "--for=condition=Ready", "pod/client", f"--timeout={DEADLINE:.0f}s")
    address = cluster_dns()
    found = coredns.is_there()
    if not found:
        coredns.set_up(address)
    before = get("-n", SYSTEM, "deployment", "coredns")["spec"]["replicas"]
    selector = get("-n", SYSTEM, "service", "kube-dns")["spec"]["selector"]
    try:
        wait_answered(address)
        yield address
    finally:
        if found:
            give_back(before, selector)
        else:
            coredns.remove()
        for base in ("replace", "shadow"):
            kubectl("delete", "-k", str(MANIFESTS / base), *ALL_BUT_THE_SERVICE, "--ignore-not-found")
        kubectl("delete", "namespace", SPACE, "--wait=false")


def wait_answered(address: str) -> None:
    """Wait until the node leads to a Service's endpoints, which takes it a moment longer than to start them."""
    wait_until(lambda: all(said != "no answer" for said in ask(address, names(address)[:1] * 8)), "an answer")


def give_back(replicas: int, selector: dict[str, str]) -> None:
    """Have CoreDNS answer again, wherever a test may have stopped."""
    kubectl("-n", SYSTEM, "scale", "deployment", "coredns", f"--replicas={replicas}")
    wait_rolled_out("coredns")
    kubectl("-n", SYSTEM, "set", "selector", "service", "kube-dns", ",".join(f"{k}={v}" for k, v in selector.items()))


class Overlay:
    """An overlay that a user owns, in a folder of its own: image, IP and configuration."""

    def __init__(self, folder: Path, base: str, server: str) -> None:
        self.folder = folder
        name, _, tag = IMAGE.rpartition(":")
        config = {
            "name": "dnsserver",
            "namespace": SYSTEM,
            "behavior": "replace",
            "files": ["dnsserver.toml", "rules.toml"],
            "options": {"disableNameSuffixHash": True},
        }
        address = json.dumps([{"op": "replace", "path": "/spec/clusterIP", "value": server}])
        patch = {"target": {"kind": "Service", "name": "kube-dns"}, "patch": address}
        own = {
            "resources": [os.path.relpath(MANIFESTS / base, folder.resolve())],
            "images": [{"name": "dnsserver", "newName": name, "newTag": tag}],
            "configMapGenerator": [config],
            "patches": [patch],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(own))
        self.configure(imported(folder))

    def configure(self, text: str, rules: str = "") -> None:
        """Set the configuration, and the rules that it includes."""
        (self.folder / "dnsserver.toml").write_text(f'include = ["rules.toml"]\n{text}')
        (self.folder / "rules.toml").write_text(rules)

    def apply(self, *arguments: str) -> None:
        kubectl("apply", "--server-side", "--force-conflicts", "-k", str(self.folder), *arguments)

    def delete(self, *arguments: str) -> None:
        kubectl("delete", "-k", str(self.folder), *arguments)


def imported(folder: Path) -> str:
    """What import-corefile makes of the ConfigMap in the cluster."""
    file = folder / "coredns.json"
    file.write_text(json.dumps(get("-n", SYSTEM, "configmap", "coredns")))
    command = [sys.executable, "-m", "dnsserver", "import-corefile", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def overlay(server: str, tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    return Overlay(tmp_path_factory.mktemp("replace"), "replace", server)


def test_beside_the_present_dns_it_says_the_same(server: str, tmp_path: Path) -> None:
    shadow = Overlay(tmp_path, "shadow", server)
    shadow.apply()
    try:
        wait_rolled_out("dnsserver-shadow")
        address = get("-n", SYSTEM, "service", "dnsserver-shadow")["spec"]["clusterIP"]
        wait_answered(address)
        assert dict(zip(names(server), ask(address, names(server)), strict=True)) == dict(
            zip(names(server), ask(server, names(server)), strict=True)
        )
    finally:
        shadow.delete()


def test_it_takes_the_place_of_coredns_without_a_lost_query(server: str, overlay: Overlay) -> None:
    before = ask(server, names(server))
    with asking_all_along(server) as result:
        overlay.apply(*ALL_BUT_THE_SERVICE)
        wait_rolled_out("dnsserver")
        overlay.apply()
        kubectl("-n", SYSTEM, "scale", "deployment", "coredns", "--replicas=0")
        wait_until(lambda: not pods_of("k8s-app=kube-dns,app.kubernetes.io/name!=dnsserver"), "the end of CoreDNS")
    assert lost(result) == {}
    assert ask(server, names(server)) == before
    assert sum(metric(pod, "coredns_dns_requests_total") for pod in pods_of(OURS)) > 0


def test_a_rollout_loses_nothing(server: str) -> None:
    before = {pod["metadata"]["name"] for pod in pods_of(OURS)}
    with asking_all_along(server) as result:
        kubectl("-n", SYSTEM, "rollout", "restart", "deployment/dnsserver")
        wait_rolled_out("dnsserver")
        wait_until(lambda: not before & all_names(OURS), "the end of the pods before")
    assert lost(result) == {}


def all_names(selector: str) -> set[str]:
    """The names of pods, also of those that are about to end."""
    return {pod["metadata"]["name"] for pod in get("-n", SYSTEM, "pods", "-l", selector)["items"]}


def test_an_edit_of_the_config_map_is_a_reload_and_a_bad_one_is_refused(server: str, overlay: Overlay) -> None:
    good = imported(overlay.folder)
    pods = pods_of(OURS)
    ours = f"ttl = {TTL}\n{without_ttl(good)}"
    with asking_all_along(server) as result:
        overlay.configure(ours)
        apply_and_hurry(overlay)
        wait_until(lambda: {ttl(server) for _ in range(8)} == {TTL}, f"answers with a TTL of {TTL}")
        overlay.configure(ours, RULE)
        apply_and_hurry(overlay)
        wait_until(lambda: all("192.0.2.99" in each for each in ask(server, [("e2e.example", "A")] * 8)), "the rule")
        overlay.configure(f"ttl = 'long'\n{without_ttl(good)}")
        apply_and_hurry(overlay)
        wait_until(
            lambda: all(metric(pod, "coredns_reload_failed_total") > 0 for pod in pods), "a refusal by every pod"
        )
        assert {ttl(server) for _ in range(8)} == {TTL}
        overlay.configure(good)
        apply_and_hurry(overlay)
        wait_until(lambda: TTL not in {ttl(server) for _ in range(8)}, "the answers of before")
    assert lost(result) == {}
    assert [identity(pod) for pod in pods_of(OURS)] == [identity(pod) for pod in pods]


def without_ttl(text: str) -> str:
    """The configuration less the key that is changed here, and what tables there are after all keys."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("ttl ="))


def apply_and_hurry(overlay: Overlay) -> None:
    """Apply, and have the kubelets look at once: otherwise they take up to a minute or two."""
    overlay.apply(*ALL_BUT_THE_SERVICE)
    version = get("-n", SYSTEM, "configmap", "dnsserver")["metadata"]["resourceVersion"]
    kubectl("-n", SYSTEM, "annotate", "pods", "-l", OURS, "--overwrite", f"e2e/config={version}")


def identity(pod: Object) -> tuple[Any, ...]:
    restarts = sum(each["restartCount"] for each in pod["status"]["containerStatuses"])
    return pod["metadata"]["name"], restarts


def test_coredns_takes_its_place_back_without_a_lost_query(server: str, overlay: Overlay) -> None:
    with asking_all_along(server) as result:
        kubectl("-n", SYSTEM, "scale", "deployment", "coredns", "--replicas=2")
        wait_rolled_out("coredns")
        kubectl("-n", SYSTEM, "set", "selector", "service", "kube-dns", "k8s-app=kube-dns")
        overlay.delete(*ALL_BUT_THE_SERVICE)
        wait_until(lambda: not all_names(OURS), "the end of the server's pods")
    assert lost(result) == {}
    assert "no answer" not in ask(server, names(server))
    assert get("-n", SYSTEM, "service", "kube-dns")["spec"]["selector"] == {"k8s-app": "kube-dns"}
    for kind in ("deployment", "configmap", "serviceaccount", "poddisruptionbudget"):
        assert not exists("-n", SYSTEM, kind, "dnsserver")
    assert not exists("clusterrole", "dnsserver")
    assert not exists("clusterrolebinding", "dnsserver")
