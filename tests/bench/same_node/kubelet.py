"""The kubelets of all nodes in one, and the scheduler: what the API has of pods becomes so."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import trio

from tests.bench.apiclient import ApiClient
from tests.bench.same_node.nodes import Node, node_of
from tests.bench.same_node.place import Place
from tests.bench.same_node.plane import SYSTEM
from tests.bench.same_node.pod import Pod
from tests.bench.spaces import wait_for

_PODS = f"{SYSTEM}/pods"
_POLL = 0.1
_READY_WITHIN = 180.0


class Kubelet:
    """Follows the pods of kube-system, which are all of a DaemonSet."""

    def __init__(self, client: ApiClient, nodes: Iterable[Node], place: Place) -> None:
        self._client, self._place = client, place
        self._nodes = {node.name: node for node in nodes}
        self._pods: dict[str, Pod] = {}
        self._known: set[str] = set()
        self._asked = Counter[str]()

    async def run(self) -> None:
        """Follow the pods for ever."""
        connection = self._client.connect()
        async with trio.open_nursery() as nursery:
            while True:
                listed = await trio.to_thread.run_sync(self._client.ask, connection, "GET", _PODS)
                for thing in json.loads(listed)["items"]:
                    await self._follow(thing, nursery)
                await trio.sleep(_POLL)

    async def _follow(self, thing: dict[str, Any], nursery: trio.Nursery) -> None:
        metadata = thing["metadata"]
        if "nodeName" not in thing["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": node_of(thing)}
            binding = {"metadata": {"name": metadata["name"]}, "target": target}
            await trio.to_thread.run_sync(self._client.once, "POST", f"{_PODS}/{metadata['name']}/binding", binding)
        elif metadata["uid"] not in self._known:
            self._known.add(metadata["uid"])
            node = self._nodes[thing["spec"]["nodeName"]]
            pod = await trio.to_thread.run_sync(Pod, thing, node, self._client, self._place)
            nursery.start_soon(self._run, pod)
        elif "deletionTimestamp" in metadata and metadata["uid"] in self._pods:
            self._pods[metadata["uid"]].delete()

    async def _run(self, pod: Pod) -> None:
        self._pods[pod.uid] = pod
        await pod.run()
        self._asked[pod.node.name] += pod.asked()
        del self._pods[pod.uid]
        await trio.to_thread.run_sync(pod.remove)
        ended = {"gracePeriodSeconds": 0}
        await trio.to_thread.run_sync(self._client.once, "DELETE", f"{_PODS}/{pod.name}", ended)

    def pods(self, node: Node) -> list[Pod]:
        """Return the pods that a node has now."""
        return [pod for pod in self._pods.values() if pod.node is node]

    def asked(self) -> dict[str, int]:
        """Return how many questions have come to the pods of each node since the start, answered or not."""
        return {
            name: self._asked[name] + sum(pod.asked() for pod in self.pods(node)) for name, node in self._nodes.items()
        }

    async def wait_settled(self) -> None:
        """Wait until each node has one pod, which serves. Raises trio.TooSlowError."""
        nodes = self._nodes.values()
        await wait_for(lambda: all([pod.serves for pod in self.pods(node)] == [True] for node in nodes), _READY_WITHIN)
