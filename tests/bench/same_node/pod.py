"""A pod as a kubelet sees it: a container that is started, probed, restarted and ended, and a status that follows.

What the pod's own manifest says holds: arguments, probes, the grace period. Of volumes a container has those for its
configuration and its state. Its limits and its rights on the node are not applied.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import trio

from tests.bench.apiclient import ApiClient
from tests.bench.balancer import run, shown
from tests.bench.cpu import Clock
from tests.bench.same_node.nodes import Node
from tests.bench.same_node.place import Place
from tests.bench.same_node.plane import KUBERNETES, SYSTEM
from tests.bench.spaces import passes, wait_for, within

RESTART = 1.0  # seconds from when an end is noticed until the container is started again
_RELIST = 1.0  # seconds between two looks of a kubelet at its containers
_CONDITIONS = ("Ready", "ContainersReady", "Initialized", "PodScheduled")
_COUNTER = """
add table inet asked
add counter inet asked questions
add chain inet asked input { type filter hook input priority 0; }
add rule inet asked input udp dport 53 counter name questions
add rule inet asked input tcp dport 53 tcp flags & (syn | ack) == syn counter name questions
"""


class Probe(NamedTuple):
    """A probe by HTTP; times are in seconds."""

    port: int
    path: str
    period: float
    timeout: float
    failures: int


def probe(container: dict[str, Any], kind: str) -> Probe | None:
    """Return the probe of that kind, None if there is none; the API server has filled in its defaults."""
    found = container.get(kind)
    if found is None:
        return None
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    port = found["httpGet"]["port"]
    return Probe(
        ports.get(port, port),
        found["httpGet"]["path"],
        found["periodSeconds"],
        found["timeoutSeconds"],
        found["failureThreshold"],
    )


class Pod:
    """One pod, from when it is bound to a node until it is gone."""

    def __init__(self, thing: dict[str, Any], node: Node, client: ApiClient, place: Place) -> None:
        metadata, self._spec = thing["metadata"], thing["spec"]
        self.name, self.uid, self.node = metadata["name"], metadata["uid"], node
        self.restarts = True  # whether its container starts again when it has ended
        self.probes_fail = False
        self._client, self._place = client, place
        self._folder: Path = place.folder / self.name
        (self._container,) = self._spec["containers"]
        self._deleted = trio.Event()
        self._address = node.add(self.name)
        run(*within(self.name, "nft", "-f", "-"), stdin=_COUNTER)
        self._process: subprocess.Popen[bytes] | None = None
        self._reported: bool | None = None

    async def run(self) -> None:
        """Run the container until the pod is deleted."""
        command = await trio.to_thread.run_sync(self._command)
        await self._report(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_once_deleted)
            while not self._deleted.is_set():
                self._process = self._place.start(
                    self.name, command, KUBERNETES_SERVICE_HOST=KUBERNETES, KUBERNETES_SERVICE_PORT="443"
                )
                await self._probe_until_ended(self._process)
                await self._report(False)
                with trio.move_on_after(RESTART):
                    await self._deleted.wait()
                await wait_for(lambda: self.restarts or self._deleted.is_set())
            nursery.cancel_scope.cancel()

    def remove(self) -> None:
        """Remove the namespace of a pod that has ended."""
        run("ip", "netns", "delete", self.name)

    def delete(self) -> None:
        """End the pod: the API has a time of deletion for it."""
        self._deleted.set()

    @property
    def serves(self) -> bool:
        """Whether the pod is ready and is not about to end."""
        return bool(self._reported) and not self._deleted.is_set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of its container."""
        if self._process is not None and self._process.poll() is None:
            for pid in Clock(self._process.pid).pids:
                os.kill(pid, number)

    def asked(self) -> int:
        """Return how many UDP queries and TCP connections have come to the pod, answered or not."""
        text = shown(*within(self.name, "nft", "-j", "list", "counter", "inet", "asked", "questions"))
        (packets,) = (each["counter"]["packets"] for each in json.loads(text)["nftables"] if "counter" in each)
        return int(packets)

    async def _end_once_deleted(self) -> None:
        await self._deleted.wait()
        if self._process is not None:
            self._process.terminate()
        await trio.sleep(self._spec["terminationGracePeriodSeconds"])
        self.signal(signal.SIGKILL)

    async def _probe_until_ended(self, process: "subprocess.Popen[bytes]") -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe)
            await wait_for(lambda: process.poll() is not None, every=_RELIST)
            nursery.cancel_scope.cancel()

    async def _probe(self) -> None:
        """Report what the readiness probe says, once the startup probe has passed."""
        if starting := probe(self._container, "startupProbe"):
            while not await self._passes(starting):  # noqa: ASYNC110 - a probe asks again
                await trio.sleep(starting.period)
        readiness = probe(self._container, "readinessProbe")
        assert readiness is not None
        failures = 0
        while True:
            began = trio.current_time()
            if await self._passes(readiness):
                failures = 0
                await self._report(True)
            elif (failures := failures + 1) >= readiness.failures:
                await self._report(False)
            await trio.sleep_until(began + readiness.period)

    async def _passes(self, probe: Probe) -> bool:
        return not self.probes_fail and await passes(self._address, probe.port, probe.path, probe.timeout)

    async def _report(self, ready: bool) -> None:
        """Write the status, unless it is the same as before."""
        if ready is self._reported:
            return
        self._reported = ready
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        said = "True" if ready else "False"
        status = {
            "phase": "Running",
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": [{"type": kind, "status": said, "lastTransitionTime": now} for kind in _CONDITIONS],
        }
        await trio.to_thread.run_sync(
            self._client.once, "PATCH", f"{SYSTEM}/pods/{self.name}/status", {"status": status}
        )

    def _command(self) -> list[str]:
        """Return the command of the container, with the paths of this machine in place of those in the container."""
        paths = {mount["name"]: mount["mountPath"] for mount in self._container["volumeMounts"]}
        entry = self._container.get("command", [sys.executable, "-m", "dnsserver"])
        arguments = list(self._container["args"])
        for volume in self._spec["volumes"]:
            if volume.keys() & {"configMap", "emptyDir"}:
                path = self._volume(volume)
                arguments = [argument.replace(paths[volume["name"]], str(path)) for argument in arguments]
        return within(self.name, *entry, *arguments)

    def _volume(self, volume: dict[str, Any]) -> Path:
        path = self._folder / str(volume["name"])
        path.mkdir(parents=True)
        if "configMap" in volume:
            held = self._client.once("GET", f"{SYSTEM}/configmaps/{volume['configMap']['name']}")
            for name, text in held["data"].items():
                (path / name).write_text(text)
        return path
