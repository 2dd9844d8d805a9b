"""What a rollout loses: `python -m tests.bench.rollout` (root, `ip`, `nft`, `conntrack`; CoreDNS where it is on PATH).

Replicas are real processes, each in a network namespace of its own, behind a node (`balancer`) whose rules change 0.3,
1, 6 and 12 seconds after the EndpointSlice does. Two of them are replaced one by one as a Deployment does (the next one
is ready before the last one is told to end), or told to end at once. A client asks all along (`tests.asking`). Probes
are those of the manifests: every second and two failures for dnsserver, every 10 and three for CoreDNS.

The table has what was lost over UDP with new sockets, over UDP with kept ones, and over TCP, of all that was asked.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import trio

from dnsserver.zone.model import Kind
from tests.bench.balancer import SERVICE, Balancer, Endpoint, Endpoints, run
from tests.bench.processes import found
from tests.bench.spaces import NAME, asker, connect, forward, passes, within
from tests.bench.table import lost
from tests.kube.apiserver import ApiServer
from tests.running import kubeconfig

LATE = (0.3, 1.0, 6.0, 12.0)
SCENARIOS = ("rolling", "at once")
RATE = 200.0
_NODE, _CLIENT, _API = "10.250.0.1", "10.250.0.2", "10.250.1.1"
_PORTS = [{"name": "dns", "port": 53, "protocol": "UDP"}]
_BEFORE, _AFTER = 3.0, 3.0
_READY_WITHIN = 120.0
_PROBE_WITHIN = 2.0
_COREFILE = """.:53 {{
    errors
    health :8080 {{
        lameduck {lameduck}s
    }}
    ready :8181
    hosts {{
        10.96.0.1 {name}
        fallthrough
    }}
}}
"""
_CONFIG = """
listen = ["0.0.0.0:53"]
admin = "0.0.0.0:8053"
kubeconfig = "{kubeconfig}"
upstreams = []
"""


class Software(NamedTuple):
    """A server: its command in a folder, where it says that it is ready, and its probes in seconds and failures."""

    name: str
    command: Callable[[Path], list[str]]
    ready: tuple[int, str]
    period: float
    threshold: int
    grace: float


def dnsserver(folder: Path) -> list[str]:
    (folder / "dnsserver.toml").write_text(_CONFIG.format(kubeconfig=folder / "kubeconfig"))
    return [sys.executable, "-m", "dnsserver", "serve", "--config", str(folder / "dnsserver.toml")]


def coredns(lameduck: int, folder: Path) -> list[str]:
    path = folder / "Corefile"
    path.write_text(_COREFILE.format(lameduck=lameduck, name=NAME))
    return [found("coredns") or "coredns", "-conf", str(path)]


SOFTWARE = {
    each.name: each
    for each in (
        Software("dnsserver", dnsserver, (8053, "/readyz"), 1.0, 2, 40.0),
        Software("CoreDNS, lameduck 5 s", partial(coredns, 5), (8181, "/ready"), 10.0, 3, 30.0),
        Software("CoreDNS, lameduck 15 s", partial(coredns, 15), (8181, "/ready"), 10.0, 3, 30.0),
    )
}


class Pod:
    """One replica: a process in a network namespace, what its probes say, and whether it is about to end."""

    def __init__(self, number: int, software: Software, folder: Path) -> None:
        self.software = software
        self.space = f"rollout-{os.getpid()}-{number}"
        self.address = f"10.244.{number}.2"
        self.serving = False
        self.terminating = False
        connect(self.space, f"p{number}", f"10.244.{number}.1", self.address)
        log = (folder / f"{number}.log").open("wb")
        command = within(self.space, *software.command(folder))
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        self.ended = trio.Event()

    def told_to_end(self) -> None:
        self.terminating = True
        self._process.send_signal(signal.SIGTERM)

    async def probe(self, changed: Callable[[], None]) -> None:
        """Probe until the pod has ended, every 0.5 s until it is ready; call `changed` when its readiness changes."""
        failures = 0
        while self._process.poll() is None:
            if await passes(self.address, *self.software.ready, _PROBE_WITHIN):
                failures = 0
                ready = True
            else:
                failures += 1
                ready = self.serving and failures < self.software.threshold
            if ready != self.serving:
                self.serving = ready
                changed()
            await self._wait_exit(self.software.period if self.serving or self.terminating else 0.5)
        self.serving = False
        self.ended.set()
        changed()

    async def _wait_exit(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while self._process.poll() is None:  # noqa: ASYNC110 - `ip` became the server: trio did not start it
                await trio.sleep(0.05)

    async def wait_end(self) -> None:
        """Wait until the process has ended; kill it after the grace period, as the kubelet does."""
        with trio.move_on_after(self.software.grace):
            await self.ended.wait()
        self.kill()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class Deployment:
    """Replicas, the Service that leads to them, and those who follow its changes."""

    def __init__(self, software: Software, late: float, folder: Path, api: ApiServer, nursery: trio.Nursery) -> None:
        self._software = software
        self._folder = folder
        self._api = api
        self._nursery = nursery
        self._numbers = itertools.count(1)
        self._balancer = Balancer(late)
        self._changes: trio.MemorySendChannel[tuple[float, Endpoints]] | None = None
        self.pods: list[Pod] = []
        self._tell()

    async def start(self) -> Pod:
        """Add a replica, and return it when it is ready."""
        pod = self.add()
        with trio.fail_after(_READY_WITHIN):
            while not pod.serving:  # noqa: ASYNC110 - it may stop serving again
                await trio.sleep(0.05)
        return pod

    def add(self) -> Pod:
        pod = Pod(next(self._numbers), self._software, self._folder)
        self.pods.append(pod)
        self._nursery.start_soon(pod.probe, self._tell)
        return pod

    def end(self, *pods: Pod) -> None:
        for pod in pods:
            pod.told_to_end()
        self._tell()

    def settle(self) -> None:
        """Let the rules lead to the present replicas at once, before anybody asks; from then on they follow late."""
        self._balancer.apply(self._endpoints())
        self._changes, following = trio.open_memory_channel[tuple[float, Endpoints]](1000)
        self._nursery.start_soon(self._balancer.follow, following)

    def _endpoints(self) -> dict[str, Endpoint]:
        return {pod.address: Endpoint(pod.serving, pod.terminating) for pod in self.pods if not pod.ended.is_set()}

    def _tell(self) -> None:
        """Write the EndpointSlice, which replicas follow at once and the node follows late."""
        endpoints = self._endpoints()
        self._api.put(Kind.ENDPOINTSLICES, _slice(endpoints))
        if self._changes is not None:
            self._changes.send_nowait((trio.current_time(), endpoints))


def _services() -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield the other objects: for the name that is asked, and for the Service that leads to the replicas."""
    for name, space, address in (("kubernetes", "default", "10.96.0.1"), ("kube-dns", "kube-system", SERVICE)):
        yield Kind.NAMESPACES, {"metadata": {"name": space}}
        spec = {"clusterIP": address, "clusterIPs": [address], "ports": _PORTS}
        yield Kind.SERVICES, {"metadata": {"name": name, "namespace": space}, "spec": spec}


def _slice(endpoints: Endpoints) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "kube-dns"}
    listed = [
        {
            "addresses": [address],
            "conditions": {"ready": each.ready, "serving": each.serving, "terminating": each.terminating},
        }
        for address, each in endpoints.items()
    ]
    metadata = {"name": "kube-dns-1", "namespace": "kube-system", "labels": labels}
    return {"metadata": metadata, "addressType": "IPv4", "ports": _PORTS, "endpoints": listed}


@asynccontextmanager
async def asked_all_along(rate: float) -> AsyncIterator[dict[str, Any]]:
    """Ask from a namespace of the client's own, from 3 s before the block to 3 s after it; results are added then."""
    result: dict[str, Any] = {}
    space = f"rollout-{os.getpid()}-client"
    connect(space, "client", _NODE, _CLIENT)
    with asker(space, SERVICE, rate) as process:
        await trio.sleep(_BEFORE)
        yield result
        await trio.sleep(_AFTER)
        printed, _ = process.communicate()
    result.update(json.loads(printed))


async def measure(software: Software, late: float, scenario: str, rate: float, folder: Path) -> dict[str, Any]:
    """Play one rollout in this namespace; return the results of the questions each way."""
    async with trio.open_nursery() as nursery:
        api = ApiServer(host=_API)
        await nursery.start(api.run)
        kubeconfig(folder, api)
        for kind, thing in _services():
            api.put(kind, thing)
        deployment = Deployment(software, late, folder, api, nursery)
        try:
            old = [await deployment.start() for _ in range(2)]
            deployment.settle()
            async with asked_all_along(rate) as result:
                if scenario == "rolling":
                    for pod in old:
                        await deployment.start()
                        deployment.end(pod)
                else:
                    deployment.end(*old)
                    for _ in old:
                        deployment.add()
                for pod in old:
                    await pod.wait_end()
                await trio.sleep(late)
        finally:
            for pod in deployment.pods:
                pod.kill()
            nursery.cancel_scope.cancel()
    return result


def _inside(name: str, late: float, scenario: str, rate: float) -> None:
    """Measure in the namespace that this process was started in, and print what was found as JSON."""
    forward()
    run("ip", "address", "add", f"{_API}/32", "dev", "lo")
    with TemporaryDirectory(prefix="rollout-") as folder:
        print(json.dumps(trio.run(measure, SOFTWARE[name], late, scenario, rate, Path(folder))))


async def _measure_apart(
    name: str, late: float, scenario: str, rate: float, results: dict[str, dict[str, Any]]
) -> None:
    """Measure in a process and a namespace of its own; that process also deletes the namespaces of its pods."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.bench.rollout", "--inside", name, str(late), scenario]
    done = await trio.run_process([*command, "--rate", str(rate)], capture_stdout=True, check=False)
    if done.returncode:
        sys.exit(f"{name}, {late} s, {scenario}: ended with {done.returncode}")
    results[name] = json.loads(done.stdout)


async def _measure_all(names: Sequence[str], late: Iterable[float], rate: float) -> None:
    """Measure all servers at the same time, one scenario after the other; print a row for each scenario."""
    for scenario, each in itertools.product(SCENARIOS, late):
        results: dict[str, dict[str, Any]] = {}
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(_measure_apart, name, each, scenario, rate, results)
        print(f"| {scenario} | {each:g} s | {' | '.join(lost(results[name]) for name in names)} |", flush=True)


def _clean(pid: int) -> None:
    """Delete the namespaces of this process, and of those that ended without deleting theirs."""
    for path in Path("/run/netns").glob("rollout-*-*"):
        owner = path.name.split("-")[1]
        if owner == str(pid) or not Path("/proc", owner).exists():
            run("ip", "netns", "delete", path.name, check=False)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--late", type=float, action="append", help=f"seconds; default {LATE}")
    parser.add_argument("--only", action="append", help="a server of the table; default all that are there")
    parser.add_argument("--rate", type=float, default=RATE, help="questions a second over UDP")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    missing = [program for program in ("ip", "nft", "conntrack", "unshare") if not found(program)]
    if os.geteuid() or missing:
        sys.exit(f"network namespaces need root and Debian's iproute2, nftables, conntrack; missing: {missing}")
    if options.inside:
        name, late, scenario = options.inside
        try:
            _inside(name, float(late), scenario, options.rate)
        finally:
            _clean(os.getpid())
        return
    names = [
        name for name in SOFTWARE if name in (options.only or SOFTWARE) and (found("coredns") or name == "dnsserver")
    ]
    print(f"| replicas end | rules follow after | {' | '.join(names)} |")
    print(f"|:---|---:|{'---:|' * len(names)}")
    trio.run(_measure_all, names, options.late or LATE, options.rate)


if __name__ == "__main__":
    main()
