"""What happens to a node's own pod, and what becomes of the questions of its node meanwhile."""

import json
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import trio

from tests.bench.same_node.kubelet import Kubelet
from tests.bench.same_node.nodes import Node
from tests.bench.same_node.plane import Plane
from tests.bench.same_node.pod import Pod
from tests.bench.spaces import wait_for

DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/dnsserver"
_QUIET = 5.0  # seconds that kube-proxy has before and after an event
_LONG = 10.0
_HANG = 12.0
_UPDATED_WITHIN, _ENDED_WITHIN = 600.0, 60.0


class Cluster(NamedTuple):
    """All that an event may change. Things happen on the first node."""

    plane: Plane
    nodes: Sequence[Node]
    kubelet: Kubelet

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def pod(self) -> Pod:
        """The one pod of the node."""
        (only,) = self.kubelet.pods(self.node)
        return only


async def nothing(_: Cluster) -> None:
    await trio.sleep(_LONG)


async def update(cluster: Cluster) -> None:
    """As by `kubectl rollout restart`: the DaemonSet controller replaces all pods, as the manifest says."""
    old = _pods(cluster)
    annotations = {"kubectl.kubernetes.io/restartedAt": str(trio.current_time())}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    await trio.to_thread.run_sync(cluster.plane.client.once, "PATCH", DAEMON_SET, patch)
    await wait_for(lambda: not old & _pods(cluster), _UPDATED_WITHIN)


def _pods(cluster: Cluster) -> set[Pod]:
    return {pod for node in cluster.nodes for pod in cluster.kubelet.pods(node)}


async def pod_deleted(cluster: Cluster) -> None:
    """As by `kubectl delete pod`: the DaemonSet makes another one when the old one has ended."""
    old = cluster.pod
    path = f"/api/v1/namespaces/kube-system/pods/{old.name}"
    await trio.to_thread.run_sync(cluster.plane.client.once, "DELETE", path)
    await _gone(cluster, old)
    await cluster.kubelet.wait_settled()


async def pod_deleted_for_good(cluster: Cluster) -> None:
    """Change the node so that the DaemonSet no longer selects it; its pod ends."""
    old = cluster.pod
    await _label(cluster, None)
    await _gone(cluster, old)


async def label_back(cluster: Cluster) -> None:
    await _label(cluster, "linux")


async def _label(cluster: Cluster, system: str | None) -> None:
    await trio.to_thread.run_sync(lambda: cluster.node.label(cluster.plane.client, os=system))


async def _gone(cluster: Cluster, pod: Pod) -> None:
    await wait_for(lambda: pod not in _pods(cluster), _ENDED_WITHIN)


async def not_ready(cluster: Cluster) -> None:
    cluster.pod.probes_fail = True
    await trio.sleep(_LONG)
    cluster.pod.probes_fail = False
    await cluster.kubelet.wait_settled()


async def killed(cluster: Cluster) -> None:
    cluster.pod.signal(signal.SIGKILL)
    await trio.sleep(_QUIET)
    await cluster.kubelet.wait_settled()


async def killed_for_good(cluster: Cluster) -> None:
    cluster.pod.restarts = False
    cluster.pod.signal(signal.SIGKILL)
    await trio.sleep(_QUIET)


async def restart(cluster: Cluster) -> None:
    cluster.pod.restarts = True


async def hangs(cluster: Cluster) -> None:
    pod = cluster.pod
    pod.signal(signal.SIGSTOP)
    await trio.sleep(_HANG)
    pod.signal(signal.SIGCONT)
    await cluster.kubelet.wait_settled()


async def leave(_: Cluster) -> None:
    pass


class Scene(NamedTuple):
    """An event, what puts it right afterwards, and how many nodes ask meanwhile, with which share of the rate each."""

    happens: Callable[[Cluster], Awaitable[None]]
    after: Callable[[Cluster], Awaitable[None]] = leave
    askers: int = 1
    share: float = 1.0


SCENES = {
    "nothing (a fifth of the rate, on each node)": Scene(nothing, askers=3, share=0.2),
    "update of all three nodes": Scene(update),
    "deleted, and the next one starts": Scene(pod_deleted),
    "deleted, and none follows": Scene(pod_deleted_for_good, label_back),
    "not ready for 10 s": Scene(not_ready),
    "killed (-9), and started again": Scene(killed),
    "killed (-9), and not started again": Scene(killed_for_good, restart),
    "hangs for 12 s (SIGSTOP)": Scene(hangs),
}


async def played(scene: Scene, cluster: Cluster, rate: float) -> dict[str, Any]:
    """Play a scene; return the results of the questions, which pods they reached, and what the first node tracks."""
    await cluster.kubelet.wait_settled()
    await trio.sleep(_QUIET)
    for node in cluster.nodes:
        node.forget()
    before = await trio.to_thread.run_sync(cluster.kubelet.asked)
    askers = [node.asker(rate * scene.share) for node in cluster.nodes[: scene.askers]]
    await trio.sleep(_QUIET)
    await scene.happens(cluster)
    await trio.sleep(_QUIET)
    tracked = await trio.to_thread.run_sync(cluster.node.tracked)
    printed = [(await trio.to_thread.run_sync(asker.communicate))[0] for asker in askers]
    after = await trio.to_thread.run_sync(cluster.kubelet.asked)
    led = [after[node.name] - before[node.name] for node in cluster.nodes]
    await scene.after(cluster)
    return {"ways": _together([json.loads(text) for text in printed]), "led": led, "tracked": tracked}


def _together(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sum of the results of all askers, for each way."""
    keys = ("asked", "lost", "wrong")
    return {way: {key: sum(result[way][key] for result in results) for key in keys} for way in results[0]}
