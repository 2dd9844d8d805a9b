"""The cluster that is asked about: its names as questions, its records as a zone.

10,000 services with a ClusterIP and 1,000 headless ones, each with a slice of 10 endpoints.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.questions import Question, write
from tests.bench.yardsticks import Zone
from tests.kube.generated import Size, endpoint_slice, service

DOMAIN = "cluster.local"
SERVICES = 10_000
HEADLESS = 1_000
ASKED = 1_000  # different names in a run that asks again and again
# Of 50 generated services 45 have a ClusterIP, 4 are headless, one is an alias of an outside name.
SIZE = Size(namespaces=50, services=12_500, slices=12_500, endpoints=125_000)
_TTL = 5


class Names:
    """Names and records. Methods that return a path write a file of questions into `folder`."""

    def __init__(self, folder: Path) -> None:
        things = [service(number, SIZE) for number in range(SIZE.services)]
        self.cluster_ips = [thing for thing in things if thing["spec"].get("clusterIP", "None") != "None"][:SERVICES]
        self.headless = [thing for thing in things if thing["spec"].get("clusterIP") == "None"][:HEADLESS]
        self._folder = folder
        self._missing = itertools.count()

    @property
    def question(self) -> Question:
        """A question that has an answer as soon as the zone is loaded."""
        return Question(name_of(self.cluster_ips[0]), "A")

    def zone(self) -> Zone:
        """Return what a server answers from this cluster, as records."""
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
            for address in _addresses(thing):
                target = f"{address.replace('.', '-')}.{name}"
                records += [f"{name} {_TTL} A {address}", f"{target} {_TTL} A {address}"]
                records.append(f"_http._tcp.{name} {_TTL} SRV 0 10 8080 {target}")
        return Zone(DOMAIN, records, self.question)

    def asked(self) -> Path:
        """Return A questions about services, few enough to be asked again and again."""
        return self._write("asked", [Question(name_of(thing), "A") for thing in self.cluster_ips[:ASKED]])

    def ports(self) -> Path:
        """Return SRV questions about the same services."""
        return self._write("ports", [Question("_http._tcp." + name_of(s), "SRV") for s in self.cluster_ips[:ASKED]])

    def endpoints(self) -> Path:
        """Return A questions about headless services."""
        return self._write("endpoints", [Question(name_of(thing), "A") for thing in self.headless])

    def endpoint_ports(self) -> Path:
        """Return SRV questions about headless services."""
        return self._write("endpoint-ports", [Question("_http._tcp." + name_of(s), "SRV") for s in self.headless])

    def every(self) -> Path:
        """Return A questions about all services with a ClusterIP."""
        return self._write("every", [Question(name_of(thing), "A") for thing in self.cluster_ips])

    def missing(self, count: int) -> Path:
        """Return A questions about names that do not exist and were never asked for before."""
        names = itertools.islice(self._missing, count)
        return self._write("missing", [Question(f"absent-{n}.team-{n % 50:03d}.svc.{DOMAIN}", "A") for n in names])

    def _write(self, name: str, questions: Sequence[Question]) -> Path:
        path = self._folder / f"{name}.questions"
        path.write_text(write(questions))
        return path


def slice_of(thing: dict[str, Any]) -> dict[str, Any]:
    """Return the EndpointSlice of a service."""
    return endpoint_slice(int(thing["metadata"]["name"].rpartition("-")[2]), SIZE)


def name_of(thing: dict[str, Any]) -> str:
    """Return the DNS name of a service."""
    return f"{_relative(thing)}.{DOMAIN}"


def _addresses(thing: dict[str, Any]) -> list[str]:
    return [endpoint["addresses"][0] for endpoint in slice_of(thing)["endpoints"]]


def _relative(thing: dict[str, Any]) -> str:
    return f"{thing['metadata']['name']}.{thing['metadata']['namespace']}.svc"
