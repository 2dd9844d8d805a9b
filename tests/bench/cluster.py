"""The cluster's API server, in a process of its own, and changes to what it holds."""

import base64
import http.client
import itertools
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from loadtest.questions import Question
from tests.bench.names import ASKED, SIZE, Names, name_of, slice_of
from tests.bench.processes import OTHERS, pinned

_SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/{}"
_SERVICES = "/api/v1/namespaces/{}/services/{}"


class Changes:
    """A writer's progress; `rate` is how many changes per second it reached, which is known at the end."""

    def __init__(self) -> None:
        self.begun, self.stop = threading.Event(), threading.Event()
        self.made = 0
        self.rate = 0.0


class Cluster(Names):
    """The names of the cluster, how to reach its API server, and how to change its objects."""

    def __init__(self, folder: Path, access: dict[str, str]) -> None:
        super().__init__(folder)
        self._access = access
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(_kubeconfig(access))

    @contextmanager
    def changing(self, rate: float) -> Iterator["Changes"]:
        """Until the block ends, turn an endpoint of an asked service ready or not ready, `rate` times a second."""
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
        parts = [slice_of(thing) for thing in self.cluster_ips[:ASKED]]
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
        """Give a service another ClusterIP; return the question whose answer shows it."""
        thing = {**self.cluster_ips[-1]}
        thing["spec"] = {**thing["spec"], "clusterIP": address, "clusterIPs": [address]}
        self.put(connection, _SERVICES, thing)
        return Question(name_of(thing), "A")

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection to the API server, for `move`."""
        url = urlsplit(self._access["server"])
        context = ssl.create_default_context(cadata=self._access["ca"])
        return http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=10)

    def put(self, connection: http.client.HTTPSConnection, path: str, thing: dict[str, Any]) -> None:
        """Write one object. Raises RuntimeError if the status is not 200."""
        metadata = thing["metadata"]
        headers = {"authorization": f"Bearer {self._access['token']}", "content-type": "application/json"}
        target = path.format(metadata["namespace"], metadata["name"])
        connection.request("PUT", target, json.dumps(thing), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"expected status 200 for {target}, got {answer.status}: {text[:200]!r}")


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run the API server of the cluster, on a processor on which nothing is measured."""
    command: list[str | Path] = [sys.executable, "-m", "tests.kube.apiserver"]
    command += [f"--{name}={getattr(SIZE, name)}" for name in ("namespaces", "services", "slices", "endpoints")]
    with subprocess.Popen(pinned(command, OTHERS), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # asked for above
        try:
            yield Cluster(folder, json.loads(process.stdout.readline()))
        finally:
            process.terminate()


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
