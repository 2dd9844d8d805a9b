"""Changes as fast as they go: whether memory grows, and whether the zone is the API's state at the end."""

import random
import socket
import threading
import time
from statistics import linear_regression
from typing import Any

from loadtest.questions import Question
from tests.bench.follow import Api, Follower
from tests.bench.processes import ask, wait_until
from tests.bench.table import Finding

_LOOK = 0.5  # seconds between two looks at the memory
_WARM_UP = 1 / 2  # of the events
_GRACE = 2.0  # seconds until the last addresses of removed objects are no longer kept
_SAMPLE = 300
_KINDS = {
    "namespaces": "/api/v1/namespaces",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "pods": "/api/v1/pods",
}


def measure(at: Api, follower: Follower, events: int) -> list[Finding]:
    """Make the events, look at the memory meanwhile, and compare zone and API at the end."""
    before = follower.metrics()["dnsserver_events_total"]
    looks: list[tuple[float, float]] = []
    churning = threading.Thread(target=at.command, args=(f"churn?count={events}",))
    start = time.perf_counter()
    churning.start()
    while churning.is_alive():
        time.sleep(_LOOK)
        looks.append((time.perf_counter() - start, follower.memory().now))
    took = time.perf_counter() - start
    wait_until(lambda: follower.metrics()["dnsserver_events_total"] - before >= events, "all events")
    time.sleep(_GRACE)
    warm = [look for look in looks if look[0] > took * _WARM_UP]
    slope = _slope(warm) * took / events * 360_000
    differences = _counts(at, follower) + _answers(at, follower)
    return [
        Finding(
            f"churn: {events:,} events in {took:.0f} s: memory",
            f"{looks[0][1]:.0f} MiB at first, {looks[-1][1]:.0f} at the end; {slope:+.1f} MiB in 360,000 once warm",
            "≤ 1 MiB",
            slope <= 1,
        ),
        Finding(
            f"— objects of each kind, {_SAMPLE} services and {_SAMPLE} pods compared with the API",
            f"{len(differences)} differ {differences[:2] or ''}",
            "0",
            not differences,
        ),
    ]


def _slope(looks: list[tuple[float, float]]) -> float:
    """Return the growth in MiB per second, by least squares."""
    if len(looks) < 2:
        return 0.0
    return linear_regression(*zip(*looks, strict=True)).slope


def _counts(at: Api, follower: Follower) -> list[str]:
    metrics, connection = follower.metrics(), at.connect()
    wrong = []
    for kind, path in _KINDS.items():
        page = at.ask(connection, "GET", f"{path}?limit=1")
        wanted = len(page["items"]) + page["metadata"].get("remainingItemCount", 0)
        if metrics[f"dnsserver_objects{{{kind}}}"] != wanted:
            wrong.append(f"{kind}: {metrics[f'dnsserver_objects{{{kind}}}']}, not {wanted}")
    connection.close()
    return wrong


def _answers(at: Api, follower: Follower) -> list[str]:
    """Return a text for each name, in a sample of services and pods, that has other addresses than in the API."""
    connection, rng = at.connect(), random.Random(1)
    services = at.ask(connection, "GET", _KINDS["services"])["items"]
    slices = at.ask(connection, "GET", _KINDS["endpointslices"])["items"]
    pods = at.ask(connection, "GET", f"{_KINDS['pods']}?limit=1000")["items"]
    connection.close()
    ready: dict[tuple[str, str], set[str]] = {}
    for part in slices:
        metadata = part["metadata"]
        addresses = ready.setdefault((metadata["namespace"], metadata["labels"]["kubernetes.io/service-name"]), set())
        addresses |= {text for one in part["endpoints"] if one["conditions"]["ready"] for text in one["addresses"]}
    wanted: dict[str, set[str]] = {}
    headless = [thing for thing in services if thing["spec"].get("clusterIP") == "None"]
    for thing in headless[: _SAMPLE // 3] + rng.sample(services, _SAMPLE // 3 * 2):
        metadata, spec = thing["metadata"], thing["spec"]
        if spec["type"] != "ExternalName":
            addresses = {spec["clusterIP"]} - {"None"} or ready.get((metadata["namespace"], metadata["name"]), set())
            wanted[f"{metadata['name']}.{metadata['namespace']}.svc.cluster.local"] = addresses
    for pod in rng.sample(pods, _SAMPLE):
        address = pod["status"]["podIP"]
        wanted[f"{address.replace('.', '-')}.{pod['metadata']['namespace']}.pod.cluster.local"] = {address}
    wrong = []
    for name, addresses in wanted.items():
        found = _addresses(ask(follower.port, Question(name, "A"), 1.0))
        if found != addresses:
            wrong.append(f"{name}: {sorted(found)}, not {sorted(addresses)}")
    return wrong


def _addresses(reply: bytes) -> set[str]:
    """Return the addresses of a reply whose answer has only A records with compressed names."""
    found, position = set(), reply.index(b"\0", 12) + 5
    for _ in range(int.from_bytes(reply[6:8])):
        size = int.from_bytes(reply[position + 10 : position + 12])
        data: Any = reply[position + 12 : position + 12 + size]
        found.add(socket.inet_ntoa(data))
        position += 12 + size
    return found
