"""The nodes: network namespaces with kube-proxy, each with a client, and with room for pods."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.apiclient import ApiClient
from tests.bench.balancer import SERVICE, run, shown
from tests.bench.same_node.place import Place
from tests.bench.spaces import asker, connect, within

ZONES = {"a": "zone-1", "b": "zone-1", "c": "zone-2"}
_PODS = "10.244.0.0/16"


class Node:
    """A node, whose traffic with other nodes and the API server goes by way of the namespace of this process."""

    def __init__(self, letter: str, number: int, place: Place) -> None:
        self.name = f"node-{letter}"
        self._letter, self._number, self._place = letter, number, place
        self._free = self._addresses()
        self._devices = itertools.count(1)
        self._address = f"10.241.{number}.2"
        connect(self.name, self.name, f"10.241.{number}.1", self._address)
        run("ip", "route", "add", f"10.244.{number}.0/24", "via", self._address)
        run(*within(self.name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
        self._client = f"client-{letter}"
        self.add(self._client)

    def _addresses(self) -> Iterator[tuple[str, str]]:
        """Yield the addresses of the two ends of each link to a pod."""
        for first in range(0, 256, 4):
            yield f"10.244.{self._number}.{first + 1}", f"10.244.{self._number}.{first + 2}"

    def add(self, space: str) -> str:
        """Make the namespace of a pod on this node, and return its address."""
        here, there = next(self._free)
        connect(space, f"pod{next(self._devices)}", here, there, self.name)
        return there

    def register(self, client: ApiClient) -> None:
        """Create the Node, as its kubelet does."""
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": ZONES[self._letter],
        }
        capacity = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        status = {
            "addresses": [{"type": "InternalIP", "address": self._address}],
            "allocatable": capacity,
            "capacity": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
        }
        thing = {"metadata": {"name": self.name, "labels": labels}, "status": status}
        client.once("POST", "/api/v1/nodes", thing)

    def label(self, client: ApiClient, **labels: str | None) -> None:
        """Set labels of the group kubernetes.io; None removes a label."""
        changed = {f"kubernetes.io/{key}": value for key, value in labels.items()}
        client.once("PATCH", f"/api/v1/nodes/{self.name}", {"metadata": {"labels": changed}})

    def start_proxy(self, kubeconfig: Path) -> None:
        """Run kube-proxy on this node, with its defaults except for the mode and the limits of the machine."""
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "hostnameOverride": self.name,
            "mode": "nftables",
            "clusterCIDR": _PODS,
            "conntrack": {"maxPerCore": 0},  # a limit of the machine, not of a namespace
        }
        path = self._place.folder / f"proxy-{self._letter}.json"
        path.write_text(json.dumps(config))
        self._place.start(f"proxy-{self._letter}", within(self.name, "kube-proxy", f"--config={path}"))

    def asker(self, rate: float) -> "subprocess.Popen[str]":
        """Start a client on this node that asks the Service until its standard input ends."""
        return asker(self._client, SERVICE, rate, self._place.environment)

    def forget(self) -> None:
        """Delete all entries of connection tracking: an old one would lead a new socket with its port as before."""
        run(*within(self.name, "conntrack", "-F"))

    def tracked(self) -> int:
        """Return how many entries of connection tracking this node has for the Service."""
        return len(shown(*within(self.name, "conntrack", "-L", "--orig-dst", SERVICE)).splitlines())


def node_of(pod: dict[str, Any]) -> str:
    """Return the name of the node for which a DaemonSet has made a pod."""
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    name: str = required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return name
