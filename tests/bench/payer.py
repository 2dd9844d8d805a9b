"""The API server that a fleet of servers follows: what it pays for them, and how it is changed and restarted."""

import http.client
import itertools
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.apiclient import ApiClient
from tests.bench.cpu import Clock
from tests.bench.follow import Api, api
from tests.kube.generated import Size

NAMESPACE = "fleet-bench"
PROBE = f"probe.{NAMESPACE}.svc.cluster.local"
CHANGED = 100  # slices that are changed in turn
_WRITERS = 4
_ENDPOINTS = 4
_SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
_SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
_USED = re.compile(r"^process_(cpu_seconds_total|resident_memory_bytes) (\S+)$", re.MULTILINE)


class Used(NamedTuple):
    """Seconds of processor time since its start, and octets of memory."""

    seconds: float
    resident: float


class Payer(ApiClient):
    """An API server by its kubeconfig; `restart` is a shell command that kills it and starts it again."""

    def __init__(self, kubeconfig: Path, restart: str) -> None:
        super().__init__(kubeconfig)
        self._restart = restart

    def used(self) -> Used:
        """Return what the API server has used, by its own metrics."""
        connection = self.connect()
        found = dict(_USED.findall(self.ask(connection, "GET", "/metrics")))
        connection.close()
        return Used(float(found["cpu_seconds_total"]), float(found["resident_memory_bytes"]))

    def restart(self, *, compacted: bool) -> None:
        """Kill the API server, and return when it is there again; with `compacted` it has forgotten all versions."""
        subprocess.run(
            ["/bin/sh", "-c", self._restart], check=True, env={"COMPACT": "1" if compacted else "", "PATH": _path()}
        )

    def prepare(self) -> None:
        """Create the objects that are changed and asked for."""
        connection = self.connect()
        self.write(connection, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        spec = {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "a", "port": 80, "protocol": "TCP"}]}
        self.write(connection, _SERVICES, {"metadata": {"name": "probe", "namespace": NAMESPACE}, "spec": spec})
        self.move(connection, "10.99.0.1")
        for number in range(CHANGED):
            self.write(connection, _SLICES, _slice(f"changed-{number}", number, ready=True))
        connection.close()

    def move(self, connection: http.client.HTTPSConnection, address: str) -> None:
        """Give the probe's name another address."""
        thing = _slice("probe", 0, ready=True)
        thing["endpoints"] = [{"addresses": [address], "conditions": {"ready": True}}]
        self.write(connection, _SLICES, thing)

    @contextmanager
    def changing(self, rate: float) -> Iterator[list[int]]:
        """Until the block ends, turn endpoints ready or not ready, `rate` times a second; the list grows with each."""
        stop, made = threading.Event(), list[int]()
        writers = [
            threading.Thread(target=self._change, args=(number, rate / _WRITERS, stop, made))
            for number in range(_WRITERS)
        ]
        for writer in writers:
            writer.start()
        try:
            yield made
        finally:
            stop.set()
            for writer in writers:
                writer.join()

    def _change(self, first: int, rate: float, stop: threading.Event, made: list[int]) -> None:
        connection, start = self.connect(), time.monotonic()
        for count in itertools.count():
            if stop.wait(max(0.0, start + count / rate - time.monotonic())):
                break
            number = (first + count * _WRITERS) % CHANGED
            ready = count * _WRITERS // CHANGED % 2 == 1
            self.write(connection, _SLICES, _slice(f"changed-{number}", number, ready=ready))
            made.append(number)
        connection.close()


class InProcess(Payer):
    """The API server of the tests, in a process of its own. What it pays is not what a real one pays."""

    def __init__(self, at: Api) -> None:
        super().__init__(at.kubeconfig, "")
        self._at, self._clock = at, Clock(at.process.pid)

    def used(self) -> Used:
        """Return what the API server has used, by /proc."""
        return Used(self._clock.seconds(), self._clock.resident())

    def restart(self, *, compacted: bool) -> None:
        """Let the API server reset all connections, and be away for three seconds."""
        self._at.command(f"restart?seconds=3&compact={int(compacted)}")
        time.sleep(3.0)


@contextmanager
def payer(kubeconfig: Path | None, restart: str, size: Size) -> Iterator[Payer]:
    """Yield the API server of the kubeconfig; without one, that of the tests, with a cluster of this size."""
    if kubeconfig is not None:
        yield Payer(kubeconfig, restart)
        return
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, api(Path(folder), size, "--version=1.36") as at:
        yield InProcess(at)


def _slice(name: str, number: int, *, ready: bool) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": name.partition("-")[0]}
    endpoints = [
        {
            "addresses": [f"10.98.{number}.{each + 1}"],
            "conditions": {"ready": ready or each > 0, "serving": True, "terminating": False},
            "nodeName": f"node-{each}",
            "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": f"{name}-{each}"},
        }
        for each in range(_ENDPOINTS)
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def _path() -> str:
    return f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
