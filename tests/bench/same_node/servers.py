"""What is deployed: `manifests/same-node` as it is, or CoreDNS in its DaemonSet with the settings of kubeadm."""

from tests.bench.processes import found
from tests.deployment import MANIFESTS, Manifest, built, container, of_kind, pod, workload
from tests.real.coredns import COREFILE

OURS, COREDNS = "dnsserver", "CoreDNS"
# That of kubeadm, less `loop`, which needs an upstream, and with one that is not there.
_COREFILE = COREFILE.replace("    loop\n", "").replace("/etc/resolv.conf", "192.0.2.1")
_PORTS = [
    {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
    {"name": "admin", "containerPort": 9153, "protocol": "TCP"},
]


def servers() -> list[str]:
    """Return the servers that this machine has."""
    return [OURS, *([COREDNS] if found("coredns") else [])]


def manifests(server: str) -> list[Manifest]:
    """Return the manifests that are applied for a server."""
    overlay = built(MANIFESTS / "same-node")
    if server == COREDNS:
        _turn_to_coredns(overlay)
    else:
        # The resolv.conf of this machine names upstreams that cannot be reached from here.
        container(overlay)["args"] += ["--upstream=192.0.2.1"]
    return overlay


def _turn_to_coredns(overlay: list[Manifest]) -> None:
    """Let the DaemonSet run CoreDNS, with the readiness probe and the grace period that kubeadm gives it."""
    (config,) = of_kind(overlay, "ConfigMap")
    config["data"] = {"Corefile": _COREFILE}
    spec, only = pod(overlay), container(overlay)
    spec["terminationGracePeriodSeconds"] = 30
    spec["volumes"] = [volume for volume in spec["volumes"] if "configMap" in volume]
    mounts = [{"name": volume["name"], "mountPath": "/etc/coredns", "readOnly": True} for volume in spec["volumes"]]
    workload(overlay)["spec"]["template"]["spec"]["containers"] = [
        {
            "name": only["name"],
            "image": "coredns",
            "command": [found("coredns") or "coredns"],
            "args": ["-conf", "/etc/coredns/Corefile"],
            "ports": _PORTS,
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}},
            "volumeMounts": mounts,
        }
    ]
