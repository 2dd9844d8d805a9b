"""What a node does with a Service: an EndpointSlice read late, rules of nftables, and connection tracking cleaned.

It is kube-proxy in nftables mode, less what one Service does not need: a packet to the Service's IP goes to one of its
endpoints by a random number and a verdict map, and after each change entries of UDP that lead to endpoints which do not
serve are deleted (Kubernetes, pkg/proxy/conntrack). All of it in the network namespace that this process is in.
"""

import subprocess
from collections.abc import Mapping
from typing import NamedTuple

import trio

SERVICE = "10.96.0.10"
_PORT = 53
_TABLE = f"""
add table ip service
add chain ip service prerouting {{ type nat hook prerouting priority dstnat; }}
add chain ip service output {{ type nat hook output priority -100; }}
add chain ip service all-udp
add chain ip service all-tcp
add rule ip service prerouting ip daddr {SERVICE} udp dport {_PORT} goto all-udp
add rule ip service prerouting ip daddr {SERVICE} tcp dport {_PORT} goto all-tcp
add rule ip service output ip daddr {SERVICE} udp dport {_PORT} goto all-udp
add rule ip service output ip daddr {SERVICE} tcp dport {_PORT} goto all-tcp
"""


class Endpoint(NamedTuple):
    """The conditions of an endpoint: `serving` is the pod's readiness, whether or not it is about to end."""

    serving: bool
    terminating: bool

    @property
    def ready(self) -> bool:
        return self.serving and not self.terminating


Endpoints = Mapping[str, Endpoint]  # by address


class Balancer:
    """Follows the endpoints of one Service, `late` seconds behind."""

    def __init__(self, late: float) -> None:
        self._late = late
        self._known: set[str] = set()
        run("nft", "-f", "-", stdin=_TABLE)

    def apply(self, endpoints: Endpoints) -> None:
        """Let the rules lead to the ready endpoints, or to those that still serve if none is ready."""
        used = [address for address, each in endpoints.items() if each.ready]
        used = used or [address for address, each in endpoints.items() if each.serving]
        lines = []
        for protocol in ("udp", "tcp"):
            for address in used:
                chain = _chain(address, protocol)
                if chain not in self._known:
                    self._known.add(chain)
                    lines.append(f"add chain ip service {chain}")
                    lines.append(f"add rule ip service {chain} meta l4proto {protocol} dnat to {address}:{_PORT}")
            lines.append(f"flush chain ip service all-{protocol}")
            if used:
                to = ", ".join(f"{number} : goto {_chain(each, protocol)}" for number, each in enumerate(used))
                lines.append(f"add rule ip service all-{protocol} numgen random mod {len(used)} vmap {{ {to} }}")
        run("nft", "-f", "-", stdin="\n".join(lines) + "\n")
        serving = {address for address, each in endpoints.items() if each.serving}
        if serving:
            for address in {chain.partition("-")[2] for chain in self._known} - serving:
                run("conntrack", "-D", "-p", "udp", "--orig-dst", SERVICE, "--reply-src", address, check=False)

    async def follow(self, changes: "trio.MemoryReceiveChannel[tuple[float, Endpoints]]") -> None:
        """Apply each change `late` seconds after the time at which it was made, which comes with it."""
        async for made, endpoints in changes:
            await trio.sleep_until(made + self._late)
            await trio.to_thread.run_sync(self.apply, endpoints)


def _chain(address: str, protocol: str) -> str:
    return f"{protocol}-{address}"


def run(*command: str, stdin: str = "", check: bool = True) -> None:
    """Run a program to its end. Raises RuntimeError with its standard error if it fails, unless `check` is false."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def shown(*command: str) -> str:
    """Return what a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
