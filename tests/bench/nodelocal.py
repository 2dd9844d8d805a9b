"""NodeLocal DNSCache on a node, at the same addresses: its own program where there is one, or CoreDNS in its place.

The program, `node-cache`, is set up as by its own manifest (kubernetes/kubernetes, cluster/addons/dns/nodelocaldns): it
gives the addresses, adds rules with iptables a minute after it started, looks after both once a minute, and takes them
away when it is told to end. It wants a dummy interface; where the kernel has none it gets another one of its name.
CoreDNS in its place has its rules at once.
"""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import trio

from tests.bench.balancer import run, shown
from tests.bench.memory import run_out
from tests.bench.processes import PATH, found, wait_until

KUBELET = 1.0  # seconds until it starts a container again that has ended
LIVENESS = 6.0  # seconds after which it kills a container that hangs; the manifests have 50, those of NodeLocal 30
_MINUTE = 100.0  # seconds in which it looks after addresses and rules once
_INTERFACE = "nodelocaldns"
_UNTRACKED = """
add table ip nodelocal
add chain ip nodelocal prerouting {{ type filter hook prerouting priority raw; }}
add chain ip nodelocal output {{ type filter hook output priority raw; }}
add rule ip nodelocal prerouting ip daddr {{ {addresses} }} notrack
add rule ip nodelocal output ip daddr {{ {addresses} }} notrack
add rule ip nodelocal output ip saddr {{ {addresses} }} notrack
"""
_COREFILE = """.:53 {{
    bind {addresses}
    cache 30
    forward . {central} {{
        force_tcp
    }}
}}
"""
_MANIFEST = """cluster.local:53 {{
    errors
    cache {{
        success 9984 30
        denial 9984 5
    }}
    reload
    loop
    bind {addresses}
    forward . __PILLAR__CLUSTER__DNS__ {{
        force_tcp
    }}
    prometheus :9254
    health {own}:8080
}}
"""


class NodeLocal:
    """A cache at addresses of the node, which asks a central server; `program` is node-cache, if it is there."""

    def __init__(self, folder: Path, addresses: Iterable[str], central: str, program: str = "") -> None:
        self._folder = folder
        self._addresses = tuple(addresses)
        self._central = central
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the cache; it answers as soon as it can."""
        if self._program:
            run("ip", "link", "add", _INTERFACE, "type", "dummy", check=False)
            run("ip", "link", "add", _INTERFACE, "type", "ifb", check=False)
            self._start(self._program, *self._flags())
            return
        run("ip", "link", "add", _INTERFACE, "type", "ifb")
        run("ip", "link", "set", _INTERFACE, "up")
        for address in self._addresses:
            run("ip", "address", "add", f"{address}/32", "dev", _INTERFACE)
        run("nft", "-f", "-", stdin=_UNTRACKED.format(addresses=", ".join(self._addresses)))
        path = self._folder / "Corefile"
        path.write_text(_COREFILE.format(addresses=" ".join(self._addresses), central=self._central))
        self._start(found("coredns") or "coredns", "-conf", str(path))

    def settle(self) -> None:
        """Wait until the cache has set its addresses and rules."""
        wait_until(lambda: self._has_addresses() and self._has_rules(), "NodeLocal's addresses and rules", _MINUTE)

    def end(self) -> None:
        """End the cache in order, which removes its addresses and rules, and wait for that."""
        if not self._program:
            run("ip", "link", "delete", _INTERFACE)
            run("nft", "delete", "table", "ip", "nodelocal")
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the cache."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the cache, if it runs: its addresses and rules stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def run_out_of_memory(self) -> None:
        """Let the kernel kill the cache, because its memory is full."""
        if self._process is not None:
            run_out(self._process)

    def remove_addresses(self) -> None:
        """Remove the addresses that the cache has set."""
        for address in self._addresses:
            run("ip", "address", "delete", f"{address}/32", "dev", _INTERFACE)

    async def wait_settled(self) -> None:
        """Wait as `settle` does, in a thread."""
        await trio.to_thread.run_sync(self.settle)

    def _flags(self) -> list[str]:
        base, path = self._folder / "Corefile.base", self._folder / "Corefile"
        base.write_text(_MANIFEST.format(addresses=" ".join(self._addresses), own=self._addresses[0]))
        flags = ["-localip", ",".join(self._addresses), "-basecorefile", str(base), "-conf", str(path)]
        return [*flags, "-upstreamsvc", "kube-dns-upstream"]

    def _start(self, *command: str) -> None:
        environment = {**os.environ, "PATH": PATH, "KUBE_DNS_UPSTREAM_SERVICE_HOST": self._central}
        with (self._folder / "nodelocal.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def _has_addresses(self) -> bool:
        there = shown("ip", "-o", "address", "show", "dev", _INTERFACE)
        return all(f" {address}/32 " in there for address in self._addresses)

    def _has_rules(self) -> bool:
        if not self._program:
            return True
        there = shown("iptables", "-t", "raw", "-S")
        return all(f"-s {address}/32" in there and f"-d {address}/32" in there for address in self._addresses)


async def nothing(_: NodeLocal, __: trio.CancelScope) -> None:
    await trio.sleep(LIVENESS)


async def update(cache: NodeLocal, _: trio.CancelScope) -> None:
    """Replace the pod as by its manifest: the old one ends first, as both need the same port for health."""
    await trio.to_thread.run_sync(cache.end)
    await trio.sleep(KUBELET)
    cache.start()
    await cache.wait_settled()


async def killed(cache: NodeLocal, _: trio.CancelScope) -> None:
    cache.kill()
    await trio.sleep(KUBELET)
    cache.start()


async def out_of_memory(cache: NodeLocal, _: trio.CancelScope) -> None:
    await trio.to_thread.run_sync(cache.run_out_of_memory)
    await trio.sleep(KUBELET)
    cache.start()


async def stopped(cache: NodeLocal, scope: trio.CancelScope) -> None:
    cache.signal(signal.SIGSTOP)
    await trio.sleep(LIVENESS)
    await killed(cache, scope)


async def addresses_removed(cache: NodeLocal, _: trio.CancelScope) -> None:
    cache.remove_addresses()
    await cache.wait_settled()


async def rules_flushed(cache: NodeLocal, _: trio.CancelScope) -> None:
    run("iptables", "-t", "raw", "-F")
    await cache.wait_settled()


async def api_away(cache: NodeLocal, api: trio.CancelScope) -> None:
    api.cancel()
    await trio.sleep(2)
    await killed(cache, api)


SCENARIOS: dict[str, Callable[[NodeLocal, trio.CancelScope], Awaitable[None]]] = {
    "nothing": nothing,
    "update": update,
    "server killed (-9)": killed,
    "server out of memory": out_of_memory,
    "server hangs (SIGSTOP)": stopped,
    "both addresses removed": addresses_removed,
    "rules removed": rules_flushed,
    "API away, server killed": api_away,
}
