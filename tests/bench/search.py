"""What search completion spares a pod: `python -m tests.bench.search` (root, and iproute2 for a network namespace).

In a namespace with the resolv.conf that kubelets write (three search domains, ndots:5), glibc looks up outside names
through the server, with completion on and off. Queries are counted by the server's own metric. Takes some 15 seconds.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_SPACE = "dnsserver-search"
_RESOLV = "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
_NAMES = ("www.example.com", "db.example.com", "dot.example.com", "backend.example.com")
_LOOK_UP = """
import socket, sys, time
names, rounds = sys.argv[2:], int(sys.argv[1])
begun = time.perf_counter()
for number in range(rounds):
    socket.getaddrinfo(names[number % len(names)], 443, proto=socket.IPPROTO_TCP)
print(rounds / (time.perf_counter() - begun))
"""
_CONFIG = """
listen = ["127.0.0.1:53"]
admin = "127.0.0.1:8053"
objects = "{objects}"
upstreams = ["127.0.0.1:{port}"]
drain = 0
[search]
enabled = {enabled}
"""
_PATIENCE = 20.0


@contextmanager
def _namespace() -> Iterator[list[str]]:
    """Make a network namespace with that resolv.conf; yield the command that runs others in it."""
    folder = Path("/etc/netns") / _SPACE
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text(_RESOLV)
    subprocess.run(["ip", "netns", "add", _SPACE], check=True)
    inside = ["ip", "netns", "exec", _SPACE]
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", _SPACE], check=False)
        shutil.rmtree(folder)


@contextmanager
def _ended(command: list[str], **options: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _scrape(inside: list[str]) -> float | None:
    """Return how many queries the server has answered, or None while it is not ready."""
    fetch = "import sys, urllib.request as r; print(r.urlopen('http://127.0.0.1:8053/' + sys.argv[1]).read().decode())"
    ready = subprocess.run([*inside, sys.executable, "-c", fetch, "readyz"], capture_output=True, check=False)
    if ready.returncode:
        return None
    page = subprocess.run([*inside, sys.executable, "-c", fetch, "metrics"], capture_output=True, check=True, text=True)
    samples = (sample for family in text_string_to_metric_families(page.stdout) for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "coredns_dns_requests_total")


def measure(*, enabled: bool, rounds: int) -> tuple[float, float]:
    """Return queries a lookup and lookups a second."""
    with ExitStack() as stack:
        inside = stack.enter_context(_namespace())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outside = [*inside, sys.executable, "-m", "tests.upstream"]
        upstream = stack.enter_context(_ended(outside, stdout=subprocess.PIPE))
        assert upstream.stdout is not None
        config = folder / "dnsserver.toml"
        objects = Path("zones/demo").resolve()
        port = upstream.stdout.readline().strip()
        config.write_text(_CONFIG.format(objects=objects, port=port, enabled=str(enabled).lower()))
        stack.enter_context(_ended([*inside, sys.executable, "-m", "dnsserver", "serve", "--config", str(config)]))
        until = time.monotonic() + _PATIENCE
        while (before := _scrape(inside)) is None:
            if time.monotonic() > until:
                sys.exit("the server did not get ready")
            time.sleep(0.1)
        look_up = [*inside, sys.executable, "-c", _LOOK_UP, str(rounds), *_NAMES]
        rate = float(subprocess.run(look_up, check=True, capture_output=True, text=True).stdout)
        after = _scrape(inside)
        assert after is not None
        return (after - before) / rounds, rate


def main() -> None:
    """Measure both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lookups", type=int, default=2000)
    lookups = parser.parse_args().lookups
    if os.geteuid() or shutil.which("ip") is None:
        sys.exit("a network namespace needs root and the `ip` of iproute2 (Debian: iproute2)")
    print("| search completion | queries a lookup (A and AAAA) | lookups/s, one at a time |")
    print("|---|---|---|")
    for enabled in (True, False):
        queries, rate = measure(enabled=enabled, rounds=lookups)
        print(f"| {'on' if enabled else 'off'} | {queries:.1f} | {rate:,.0f} |")


if __name__ == "__main__":
    main()
