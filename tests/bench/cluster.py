"""The cluster that is asked about: an API server in its own process, the same records as a zone, the questions.

10,000 services with a ClusterIP and 1,000 headless ones, each with a slice of 10 endpoints.
"""

import base64
import http.client
import itertools
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from loadtest.questions import Question, write
from tests.bench.processes import OTHERS, pinned
from tests.bench.yardsticks import Zone
from tests.kube.generated import Size, endpoint_slice, service

DOMAIN = "cluster.local"
SERVICES = 10_000
HEADLESS = 1_000
ASKED = 1_000  # different names in a run that asks again and again
# Of 50 generated services 45 have a ClusterIP, 4 are headless, one is an alias of an outside name.
SIZE = Size(namespaces=50, services=12_500, slices=12_500, endpoints=125_000)
_TTL = 5
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/{}"
_SERVICES = "/api/v1/namespaces/{}/services/{}"


class Changes:
    """A writer's progress; `rate` is what it reached a second, known at the end."""

    def __init__(self) -> None:
        self.begun, self.stop = threading.Event(), threading.Event()
        self.made = 0
        self.rate = 0.0


class Cluster:
    """Names, records and the way to change them."""

    def __init__(self, folder: Path, access: dict[str, str]) -> None:
        self._access = access
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(access))
        things = [service(number, SIZE) for number in range(SIZE.services)]
        self.cluster_ips = [thing for thing in things if thing["spec"].get("clusterIP", "None") != "None"][:SERVICES]
        self.headless = [thing for thing in things if thing["spec"].get("clusterIP") == "None"][:HEADLESS]
        self._folder = folder
        self._missing = itertools.count()

    @property
    def question(self) -> Question:
        """One that has an answer as soon as the zone is there."""
        return Question(_name(self.cluster_ips[0]), "A")

    def zone(self) -> Zone:
        """What a server answers from this cluster, as records."""
        records = [
            f"@ {_TTL} SOA ns.dns hostmaster 1 7200 1800 86400 {_TTL}",
            f"@ {_TTL} NS ns.dns",
            f"ns.dns {_TTL} A 10.96.0.10",
        ]
        for thing in self.cluster_ips:
            name = _relative(thing)
            records.append(f"{name} {_TTL} A {thing['spec']['clusterIP']}")
            records.append(f"_http._tcp.{name} {_TTL} SRV 0 100 80 {name}")
        for thing in self.headless:
            name = _relative(thing)
            for address in self._addresses(thing):
                target = f"{address.replace('.', '-')}.{name}"
                records += [f"{name} {_TTL} A {address}", f"{target} {_TTL} A {address}"]
                records.append(f"_http._tcp.{name} {_TTL} SRV 0 10 8080 {target}")
        return Zone(DOMAIN, records, self.question)

    # Question files

    def asked(self) -> Path:
        """Addresses of services, few enough to be asked again and again."""
        return self._write("asked", [Question(_name(thing), "A") for thing in self.cluster_ips[:ASKED]])

    def ports(self) -> Path:
        """SRV of services."""
        return self._write("ports", [Question("_http._tcp." + _name(s), "SRV") for s in self.cluster_ips[:ASKED]])

    def endpoints(self) -> Path:
        """Addresses of headless services."""
        return self._write("endpoints", [Question(_name(thing), "A") for thing in self.headless])

    def endpoint_ports(self) -> Path:
        """SRV of headless services."""
        return self._write("endpoint-ports", [Question("_http._tcp." + _name(s), "SRV") for s in self.headless])

    def every(self) -> Path:
        """Addresses of all services."""
        return self._write("every", [Question(_name(thing), "A") for thing in self.cluster_ips])

    def missing(self, count: int) -> Path:
        """Names that do not exist and were never asked for before."""
        names = itertools.islice(self._missing, count)
        return self._write("missing", [Question(f"absent-{n}.team-{n % 50:03d}.svc.{DOMAIN}", "A") for n in names])

    def _write(self, name: str, questions: Sequence[Question]) -> Path:
        path = self._folder / f"{name}.questions"
        path.write_text(write(questions))
        return path

    # Changes

    @contextmanager
    def changing(self, rate: float) -> Iterator["Changes"]:
        """So often a second an endpoint of one of the asked services turns ready or not, as long as the block lasts."""
        changes = Changes()
        writer = threading.Thread(target=self._change, args=(rate, changes))
        writer.start()
        changes.begun.wait()
        try:
            yield changes
        finally:
            changes.stop.set()
            writer.join()

    def _change(self, rate: float, changes: "Changes") -> None:
        connection = self.connect()
        parts = [self._slice(thing) for thing in self.cluster_ips[:ASKED]]
        self.put(connection, _SLICES, parts[-1])
        start = time.monotonic()
        changes.begun.set()
        for part in itertools.cycle(parts):
            if changes.stop.wait(max(0.0, start + changes.made / rate - time.monotonic())):
                break
            ready = part["endpoints"][0]["conditions"]
            ready["ready"] = not ready["ready"]
            self.put(connection, _SLICES, part)
            changes.made += 1
        changes.rate = changes.made / (time.monotonic() - start)
        connection.close()

    def move(self, connection: http.client.HTTPSConnection, address: str) -> Question:
        """Give a service another ClusterIP; return the question that tells."""
        thing = {**self.cluster_ips[-1]}
        thing["spec"] = {**thing["spec"], "clusterIP": address, "clusterIPs": [address]}
        self.put(connection, _SERVICES, thing)
        return Question(_name(thing), "A")

    def connect(self) -> http.client.HTTPSConnection:
        """A connection to the API server, for `move`."""
        url = urlsplit(self._access["server"])
        context = ssl.create_default_context(cadata=self._access["ca"])
        return http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=10)

    def put(self, connection: http.client.HTTPSConnection, path: str, thing: dict[str, Any]) -> None:
        """Write one object; raises RuntimeError."""
        metadata = thing["metadata"]
        headers = {"authorization": f"Bearer {self._access['token']}", "content-type": "application/json"}
        target = path.format(metadata["namespace"], metadata["name"])
        connection.request("PUT", target, json.dumps(thing), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"expected status 200 for {target}, got {answer.status}: {text[:200]!r}")

    def _slice(self, thing: dict[str, Any]) -> dict[str, Any]:
        return endpoint_slice(int(thing["metadata"]["name"].rpartition("-")[2]), SIZE)

    def _addresses(self, thing: dict[str, Any]) -> list[str]:
        return [endpoint["addresses"][0] for endpoint in self._slice(thing)["endpoints"]]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """The cluster, with its API server on a processor that nothing is measured on."""
    command: list[str | Path] = [sys.executable, "-m", "tests.kube.apiserver"]
    command += [f"--{name}={getattr(SIZE, name)}" for name in ("namespaces", "services", "slices", "endpoints")]
    with subprocess.Popen(pinned(command, OTHERS), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # asked for above
        try:
            yield Cluster(folder, json.loads(process.stdout.readline()))
        finally:
            process.terminate()


def _relative(thing: dict[str, Any]) -> str:
    return f"{thing['metadata']['name']}.{thing['metadata']['namespace']}.svc"


def _name(thing: dict[str, Any]) -> str:
    return f"{_relative(thing)}.{DOMAIN}"


def _kubeconfig(access: dict[str, str]) -> str:
    authority = base64.b64encode(access["ca"].encode()).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bench",
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
            "clusters": [
                {"name": "bench", "cluster": {"server": access["server"], "certificate-authority-data": authority}}
            ],
            "users": [{"name": "bench", "user": {"token": access["token"]}}],
        }
    )
