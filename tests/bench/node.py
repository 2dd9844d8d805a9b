"""A node whose DNS is on its own addresses, and what becomes of its pods' questions: `python -m tests.bench.node`.

Needs root, `ip`, `nft`, `conntrack`, `unshare`. A network namespace is the node: it has rules for the Service as
kube-proxy writes them (`balancer`), which lead to a central server in another namespace; a server of its own, with its
guardian; and a pod, in a third namespace, that asks the Service's address and the node's own one all along
(`tests.asking`): over UDP with new sockets, over UDP with kept ones, and over TCP. Then something happens to the node.

The table has what was lost or wrong of all that was asked, and how many entries of connection tracking these addresses
have at the end. With `--node-cache PATH`, the program of NodeLocal DNSCache (kubernetes/dns, cmd/node-cache; it needs
`iptables`), a second table has what becomes of the same with it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from dnsserver.node.addresses import Addresses
from dnsserver.zone.model import Kind
from tests import asking
from tests.bench import nodelocal
from tests.bench.balancer import SERVICE, Balancer, Endpoint, run
from tests.bench.memory import can_run_out, run_out
from tests.bench.nodelocal import KUBELET, LIVENESS, NodeLocal
from tests.bench.pod import OWN, Pod
from tests.bench.processes import found, wait_until
from tests.bench.spaces import NAME, asker, connect, forward, within
from tests.bench.table import lost
from tests.kube.apiserver import ApiServer
from tests.running import kubeconfig

RATE = 400.0
_CENTRAL, _API = "10.244.1.2", "10.250.1.1"
_BEFORE, _AFTER = 3.0, 6.0
_READY_WITHIN = 60.0
_CONFIG = """
kubeconfig = "{folder}/kubeconfig"
upstreams = []
state = "{folder}/state"
[kubernetes]
snapshot_interval = 1.0
"""


class Node:
    """A node with one pod, or two while it updates."""

    def __init__(self, folder: Path, api: trio.CancelScope, node_cache: str) -> None:
        self._folder = folder
        self.api = api
        self.nodelocal = NodeLocal(folder, (OWN, SERVICE), _CENTRAL, node_cache)
        self.pods: list[Pod] = []

    async def start(self) -> Pod:
        """Add a pod, and return it when it is ready."""
        pod = Pod(self._folder, len(self.pods))
        self.pods.append(pod)
        with trio.fail_after(_READY_WITHIN):
            while not pod.is_ready:  # noqa: ASYNC110 - a file
                await trio.sleep(0.05)
        return pod

    def kill(self) -> None:
        """Kill everything that runs on the node."""
        for pod in self.pods:
            pod.kill()
        self.nodelocal.kill()

    @property
    def pod(self) -> Pod:
        return self.pods[-1]


async def nothing(_: Node) -> None:
    await trio.sleep(_AFTER)


async def update(node: Node) -> None:
    last = node.pod
    await node.start()
    last.signal(signal.SIGTERM)
    await trio.to_thread.run_sync(last.server.wait)
    await trio.to_thread.run_sync(last.guardian.wait)


async def bad_update(node: Node) -> None:
    pod = await node.start()
    await trio.sleep(1)
    pod.kill()
    node.pods.remove(pod)


async def server_killed(node: Node) -> None:
    await _killed(node, node.pod.server.kill)


async def server_out_of_memory(node: Node) -> None:
    await _killed(node, partial(run_out, node.pod.server))


async def _killed(node: Node, how: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(how)
    await trio.sleep(KUBELET)
    node.pod.restart_server()


async def server_stopped(node: Node) -> None:
    node.pod.server.send_signal(signal.SIGSTOP)
    await trio.sleep(LIVENESS)
    node.pod.restart_server()


async def both_killed(node: Node) -> None:
    node.pod.signal(signal.SIGKILL)
    await trio.sleep(KUBELET)
    node.pod.restart_guardian()
    node.pod.restart_server()


async def guardian_killed(node: Node) -> None:
    node.pod.guardian.kill()
    await trio.sleep(LIVENESS)
    node.pod.restart_guardian()


async def guardian_stopped(node: Node) -> None:
    node.pod.guardian.send_signal(signal.SIGSTOP)
    await trio.sleep(LIVENESS)
    node.pod.guardian.send_signal(signal.SIGCONT)


async def addresses_removed(_: Node) -> None:
    kernel = Addresses()
    for given in kernel.all():
        if str(given.address) in {OWN, SERVICE}:
            kernel.take(given.address, given.device)
    kernel.close()


async def rules_flushed(_: Node) -> None:
    run("nft", "delete", "table", "ip", "dnsserver")


async def api_away(node: Node) -> None:
    node.api.cancel()
    await trio.sleep(2)
    await server_killed(node)


async def from_nodelocal(node: Node) -> None:
    await node.start()
    await trio.sleep(2)
    node.nodelocal.end()


async def to_nodelocal(node: Node) -> None:
    node.nodelocal.start()
    await node.nodelocal.wait_settled()
    await trio.sleep(2)
    node.pod.signal(signal.SIGTERM)
    await trio.to_thread.run_sync(node.pod.server.wait)
    await trio.to_thread.run_sync(node.pod.guardian.wait)


SCENARIOS: dict[str, Callable[[Node], Awaitable[None]]] = {
    "nothing": nothing,
    "update": update,
    "update to one that dies": bad_update,
    "server killed (-9)": server_killed,
    "server out of memory": server_out_of_memory,
    "server hangs (SIGSTOP)": server_stopped,
    "server and guardian killed": both_killed,
    "guardian killed": guardian_killed,
    "guardian hangs": guardian_stopped,
    "both addresses removed": addresses_removed,
    "rules removed": rules_flushed,
    "API away, server killed": api_away,
    "from NodeLocal DNSCache": from_nodelocal,
    "to NodeLocal DNSCache": to_nodelocal,
}


@asynccontextmanager
async def asked_all_along(rates: dict[str, float]) -> AsyncIterator[dict[str, Any]]:
    """Ask from the pod's namespace, from 3 s before the block to 6 s after it; the results are added then."""
    result: dict[str, Any] = {}
    space = f"rollout-{os.getpid()}-pod"
    connect(space, "pod", "10.250.0.1", "10.250.0.2")
    processes = {address: asker(space, address, rate) for address, rate in rates.items()}
    await trio.sleep(_BEFORE)
    yield result
    await trio.sleep(_AFTER)
    for address, process in processes.items():
        printed, _ = await trio.to_thread.run_sync(process.communicate)
        result[address] = json.loads(printed)


def tracked() -> int:
    """Return how many entries of connection tracking are about the node's own address, or the Service's on the node."""
    lines = subprocess.run(["conntrack", "-L"], capture_output=True, text=True, check=False).stdout.splitlines()
    # An entry of the Service whose replies come from elsewhere is one that kube-proxy's rules made.
    return sum(f"dst={OWN} " in line or f"src={SERVICE} " in line for line in lines)


async def measure(scenario: str, rate: float, folder: Path, node_cache: str = "") -> dict[str, Any]:
    """Play one scenario in this namespace; return the results of the questions each way, and how many were tracked."""
    (folder / "state").mkdir()
    (folder / "dnsserver.toml").write_text(_CONFIG.format(folder=folder))
    space = f"rollout-{os.getpid()}-central"
    connect(space, "central", "10.244.1.1", _CENTRAL)
    async with trio.open_nursery() as nursery:
        api, api_scope = ApiServer(host=_API), trio.CancelScope()
        await nursery.start(partial(_serve_api, api, api_scope))
        kubeconfig(folder, api)
        for kind, thing in _objects():
            api.put(kind, thing)
        central = _central(space)
        Balancer(0.0).apply({_CENTRAL: Endpoint(True, False)})
        await trio.to_thread.run_sync(wait_until, partial(_answers, _CENTRAL), "an answer of the central server")
        node = Node(folder, api_scope, node_cache)
        try:
            other = nodelocal.SCENARIOS.get(scenario) if node_cache else None
            if other or SCENARIOS[scenario] is from_nodelocal:
                node.nodelocal.start()
                await node.nodelocal.wait_settled()
            else:
                await node.start()
            await trio.sleep(2)
            async with asked_all_along({SERVICE: rate, OWN: rate / 4}) as result:
                await (other(node.nodelocal, api_scope) if other else SCENARIOS[scenario](node))
            result["tracked"] = tracked()
        finally:
            node.kill()
            central.kill()
            central.wait()
            nursery.cancel_scope.cancel()
    return result


async def _serve_api(
    api: ApiServer, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with scope:
        await api.run(task_status=task_status)


def _central(space: str) -> "subprocess.Popen[bytes]":
    command = within(space, sys.executable, "-m", "dnsserver", "serve", "--objects=zones/demo")
    command += [f"--listen={_CENTRAL}:53", "--admin=127.0.0.1:9153", "--config=zones/dnsserver.toml"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _answers(address: str) -> bool:
    try:
        with asking.Server(address, 53).connected() as client:
            client.settimeout(0.2)
            client.send(asking.question(1, NAME))
            return asking.is_right(client.recv(4096))
    except OSError:
        return False


def _objects() -> list[tuple[Kind, dict[str, Any]]]:
    spec = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 443, "protocol": "TCP"}]}
    metadata = {"name": "kubernetes", "namespace": "default"}
    return [
        (Kind.NAMESPACES, {"metadata": {"name": "default"}}),
        (Kind.SERVICES, {"metadata": metadata, "spec": spec}),
    ]


def _inside(scenario: str, rate: float, node_cache: str) -> None:
    """Measure in the namespace that this process was started in, and print what was found as JSON."""
    forward()
    run("ip", "address", "add", f"{_API}/32", "dev", "lo")
    with TemporaryDirectory(prefix="node-") as folder:
        result = trio.run(measure, scenario, rate, Path(folder), node_cache)
        if os.environ.get("NODE_LOGS"):
            for path in sorted(Path(folder).glob("*.log")):
                sys.stderr.write(f"--- {path.name}\n{path.read_text()}")
    print(json.dumps(result))


def measured(scenario: str, rate: float = RATE, node_cache: str = "") -> dict[str, Any]:
    """Return the results of one scenario, which runs in a process and namespaces of its own. Raises RuntimeError."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.bench.node", "--inside", scenario, "--rate", str(rate)]
    command += ["--node-cache", node_cache] if node_cache else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{scenario}: ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _clean(pid: int) -> None:
    for path in Path("/run/netns").glob(f"rollout-{pid}-*"):
        run("ip", "netns", "delete", path.name, check=False)


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="a scenario; default all")
    parser.add_argument("--rate", type=float, default=RATE, help="questions a second over UDP with new sockets")
    parser.add_argument("--node-cache", default="", help="the program of NodeLocal DNSCache, to measure it as well")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    needed = ["ip", "nft", "conntrack", "unshare", *(["iptables"] if options.node_cache else [])]
    if os.geteuid() or (missing := [program for program in needed if not found(program)]):
        sys.exit(f"network namespaces need root and Debian's iproute2, nftables, conntrack; missing: {missing}")
    if options.inside:
        try:
            _inside(options.inside, options.rate, options.node_cache)
        finally:
            _clean(os.getpid())
        return
    _print_table(options.only or SCENARIOS, options.rate, "")
    if options.node_cache:
        print("\nNodeLocal DNSCache:\n")
        _print_table(
            [each for each in options.only or SCENARIOS if each in nodelocal.SCENARIOS],
            options.rate,
            options.node_cache,
        )


def _print_table(scenarios: Iterable[str], rate: float, node_cache: str) -> None:
    print(f"| what happens | lost at {SERVICE} | lost at {OWN} | tracked |")
    print("|:---|---:|---:|---:|")
    for scenario in scenarios:
        if ("NodeLocal" in scenario and not found("coredns")) or ("memory" in scenario and not can_run_out()):
            continue
        result = measured(scenario, rate, node_cache)
        print(f"| {scenario} | {lost(result[SERVICE])} | {lost(result[OWN])} | {result['tracked']} |", flush=True)


if __name__ == "__main__":
    main()
