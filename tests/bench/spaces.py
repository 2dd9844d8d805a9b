"""Network namespaces with programs in them: made, reached by way of another one, and one that asks all along.

Root and Debian's iproute2 only. A namespace is a file in /run/netns, which stays until somebody deletes it.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from tests import asking
from tests.bench.balancer import run, shown
from tests.bench.processes import wait_until

NAME = "kubernetes.default.svc.cluster.local"


def connect(space: str, device: str, here: str, there: str, by: str = "") -> None:
    """Make a namespace that reaches everything by way of the namespace `by`, or of this one."""
    via = ["ip", "-n", by] if by else ["ip"]
    run("ip", "netns", "add", space)
    run(*via, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space)
    run(*via, "address", "add", f"{here}/30", "dev", device)
    run(*via, "link", "set", device, "up")
    inside = ["ip", "-n", space]
    run(*inside, "address", "add", f"{there}/30", "dev", "eth0")
    for each in ("lo", "eth0"):
        run(*inside, "link", "set", each, "up")
    run(*inside, "route", "add", "default", "via", here)
    # A busy kernel takes a while for that, and drops what is sent until then.
    wait_until(lambda: "state UP" in shown(*via, "-o", "link", "show", "dev", device), f"{device} to be up")


def within(space: str, *command: str) -> list[str]:
    """Return the words that run a command in a namespace."""
    return ["ip", "netns", "exec", space, *command]


def asker(
    space: str, server: str, rate: float, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start a program that asks a server until its standard input ends, and prints the results (`tests.asking`)."""
    command = within(space, sys.executable, asking.__file__, server, "53", str(rate), NAME)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


async def passes(address: str, port: int, path: str, seconds: float) -> bool:
    """Tell whether a probe by HTTP passes: status 200 within so many seconds."""
    try:
        with trio.fail_after(seconds):
            stream = await trio.open_tcp_stream(address, port)
            async with stream:
                await stream.send_all(f"GET {path} HTTP/1.0\r\nHost: pod\r\n\r\n".encode())
                return (await stream.receive_some(64)).split(b" ")[1:2] == [b"200"]
    except (OSError, trio.TooSlowError, trio.BrokenResourceError):
        return False


async def wait_for(condition: Callable[[], bool], seconds: float = math.inf, every: float = 0.1) -> None:
    """Wait until the condition holds; times are in seconds. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - of processes and files, of which nobody tells
            await trio.sleep(every)


def forward() -> None:
    """Let this namespace forward packets for other addresses."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    run("ip", "link", "set", "lo", "up")
