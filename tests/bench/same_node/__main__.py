"""What the pods of a node lose when they ask the DNS server of their own node: `python -m tests.bench.same_node`.

Needs root, `ip`, `nft`, `conntrack`, `setpriv`, `unshare`; and on PATH `etcd`, `kube-apiserver`,
`kube-controller-manager`, `kube-proxy` and `kubectl` (1.34 or later). With `coredns` on PATH, the same with CoreDNS.

Three network namespaces are nodes, two of them in one zone; each has a kube-proxy of its own in nftables mode.
`manifests/same-node` is applied as it is, with an upstream that is not there. The controllers of Kubernetes make its
pods and its EndpointSlices with their hints. A program in the place of kubelet and scheduler (`kubelet`) starts each
pod in a network namespace, probes it as the manifest says, and starts a container that has ended again one second after
it has noticed. A client on the first node asks the Service all along (`tests.asking`): over UDP with new sockets, with
kept ones (a quarter of that rate), and over TCP (a tenth). Then something happens to the node's own pod.

The table has what was lost or wrong of all that was asked; the answers that were wrong, which are among them; to which
pods questions were led: the node's own, the other one in its zone, the one in another zone; and the entries of
connection tracking that the node has for the Service at the end. Nothing is left on the machine, however it ends.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import trio

from tests.bench.processes import found
from tests.bench.same_node import place
from tests.bench.same_node.kubelet import Kubelet
from tests.bench.same_node.nodes import ZONES, Node
from tests.bench.same_node.place import Place, apart
from tests.bench.same_node.plane import PROGRAMS, Plane
from tests.bench.same_node.scenes import SCENES, Cluster, played
from tests.bench.same_node.servers import manifests, servers
from tests.bench.table import lost

RATE = 400.0
NEEDED = (*place.NEEDED, "nft", "conntrack", *PROGRAMS)


async def measure(server: str, scenes: Iterable[str], rate: float, at: Place) -> None:
    """Play the scenes one after the other with a server, and print each result as a line of JSON."""
    plane = Plane(at)
    nodes = [Node(letter, number, at) for number, letter in enumerate(ZONES, 1)]
    for node in nodes:
        node.register(plane.client)
        node.start_proxy(plane.kubeconfig)
    plane.apply(manifests(server))
    plane.let_in("dnsserver")
    kubelet = Kubelet(plane.client, nodes, at)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kubelet.run)
        for name in scenes:
            result = await played(SCENES[name], Cluster(plane, nodes, kubelet), rate)
            print(json.dumps({"scene": name, **result}), flush=True)
        nursery.cancel_scope.cancel()


def _inside(server: str, scenes: Iterable[str], rate: float) -> None:
    """Measure in the namespaces that this process was started in."""
    at = Place()
    try:
        trio.run(measure, server, scenes, rate, at)
    except BaseException:
        print(at.logs(), file=sys.stderr)
        raise


def measured(server: str, scenes: Sequence[str], rate: float = RATE) -> Iterator[dict[str, Any]]:
    """Yield the result of each scene with a server. Raises RuntimeError."""
    command = [sys.executable, "-m", "tests.bench.same_node", "--inside", server, "--rate", str(rate)]
    command += [f"--only={name}" for name in scenes]
    with apart(command) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
            if process.wait():
                raise RuntimeError(f"{server}: ended with {process.returncode}")
        finally:
            process.kill()


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(SCENES), help="a scene; default all")
    parser.add_argument("--server", action="append", choices=servers(), help="default all that are on PATH")
    parser.add_argument("--rate", type=float, default=RATE, help="questions a second over UDP with new sockets")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    scenes = options.only or list(SCENES)
    if options.inside:
        _inside(options.inside, scenes, options.rate)
        return
    if missing := [program for program in NEEDED if not found(program)]:
        sys.exit(f"expected these programs on PATH, which are missing: {', '.join(missing)}")
    if os.geteuid():
        sys.exit("network namespaces need root")
    try:
        _print_table(options.server or servers(), scenes, options.rate)
    except (KeyboardInterrupt, RuntimeError) as error:
        sys.exit(str(error) or "interrupted")


def _print_table(names: Sequence[str], scenes: Sequence[str], rate: float) -> None:
    """Print a row for each scene: all results of the first server, and what was lost with the others."""
    results: dict[str, dict[str, dict[str, Any]]] = {scene: {} for scene in scenes}
    for server in names:
        for result in measured(server, scenes, rate):
            results[result["scene"]][server] = result
            print(f"{server}: {_line(_cells(result))}", file=sys.stderr, flush=True)
    first, *others = names
    print(_line(["what happens to the node's own pod", "lost", "wrong", "led to", "tracked", *others]))
    print(f"|:---|{'---:|' * (4 + len(others))}")
    for found_by in results.values():
        print(_line([*_cells(found_by[first]), *(lost(found_by[server]["ways"]) for server in others)]))


def _cells(result: dict[str, Any]) -> list[str]:
    wrong = sum(way["wrong"] for way in result["ways"].values())
    led = ", ".join(f"{count:,}" for count in result["led"])
    return [result["scene"], lost(result["ways"]), f"{wrong:,}", led, f"{result['tracked']:,}"]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
