"""kubectl as a function, and what waits for a cluster."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

SYSTEM = "kube-system"
DEADLINE = 180.0  # seconds for a cluster to do what it was told

Object = dict[str, Any]


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """What kubectl prints; raises AssertionError with what it says on standard error."""
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=DEADLINE + 60
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def get(*arguments: str) -> Object:
    """An object, or a list of them."""
    found: Object = json.loads(kubectl("get", *arguments, "-o", "json"))
    return found


def exists(*arguments: str) -> bool:
    return bool(kubectl("get", *arguments, "--ignore-not-found", "-o", "name").strip())


def apply(*manifests: Object) -> None:
    kubectl(
        "apply", "--server-side", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    )


def wait_rolled_out(deployment: str) -> None:
    kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{deployment}", f"--timeout={DEADLINE:.0f}s")


def pods_of(selector: str) -> list[Object]:
    """The pods that are not about to end."""
    found = get("-n", SYSTEM, "pods", "-l", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait; raises TimeoutError."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"expected within {seconds:.0f} s: {what}")
        time.sleep(0.5)


def metric(pod: Object, name: str) -> float:
    """The sum of a metric's samples at one pod, read through the API server; 0 where there is none."""
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}:9153/proxy/metrics"
    lines = kubectl("get", "--raw", path).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def why_not() -> str | None:
    """Why there is no cluster to do this on."""
    if not os.environ.get("DNSSERVER_E2E"):
        return "it changes the cluster that KUBECONFIG names: make e2e"
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    if shutil.which("kubectl") is None:
        return "kubectl is not installed"
    return None
