"""A stand-in for NodeLocal DNSCache on a node: CoreDNS at the same addresses, set up and taken away as it does."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.bench.balancer import run
from tests.bench.processes import found

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


class NodeLocal:
    """CoreDNS at addresses of the node, which asks a central server."""

    def __init__(self, folder: Path, addresses: Iterable[str], central: str) -> None:
        self._folder = folder
        self._addresses = tuple(addresses)
        self._central = central
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Put the addresses on an interface of its own, keep connection tracking off them, and answer there."""
        run("ip", "link", "add", _INTERFACE, "type", "ifb")
        run("ip", "link", "set", _INTERFACE, "up")
        for address in self._addresses:
            run("ip", "address", "add", f"{address}/32", "dev", _INTERFACE)
        run("nft", "-f", "-", stdin=_UNTRACKED.format(addresses=", ".join(self._addresses)))
        path = self._folder / "Corefile"
        path.write_text(_COREFILE.format(addresses=" ".join(self._addresses), central=self._central))
        command = [found("coredns") or "coredns", "-conf", str(path)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """Take interface and rules away, and end, as it does when it is told to."""
        run("ip", "link", "delete", _INTERFACE)
        run("nft", "delete", "table", "ip", "nodelocal")
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def kill(self) -> None:
        """End at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
