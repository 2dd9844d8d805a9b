"""A cluster of full size in an API server of its own process, and servers under test that follow it."""

import base64
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.bench.cpu import Clock
from tests.bench.processes import OTHERS, PROCESSORS, pinned, wait_until
from tests.free_port import free_port
from tests.kube.generated import Size

FULL = Size(namespaces=100, services=10_000, slices=15_000, endpoints=60_000, pods=150_000)
WITHOUT_PODS = Size(namespaces=100, services=10_000, slices=15_000, endpoints=60_000)
TENTH = Size(namespaces=10, services=1_000, slices=1_500, endpoints=6_000, pods=15_000)
_RESET_PEAK = "5"  # proc(5), clear_refs
_METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Api:
    """The API server, in a process of its own."""

    def __init__(self, folder: Path, size: Size, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None  # asked for below
        self.size = size
        self.process = process
        self.access: dict[str, str] = json.loads(process.stdout.readline())
        self.kubeconfig = folder / f"kubeconfig-{process.pid}"
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self.access)))  # JSON is YAML

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection for `ask`."""
        url = urlsplit(self.access["server"])
        context = ssl.create_default_context(cadata=self.access["ca"])
        return http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=600)

    def ask(self, connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> Any:
        """Return the decoded answer. Raises RuntimeError if the status is not 200."""
        headers = {"authorization": f"Bearer {self.access['token']}", "content-type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"expected status 200 for {path}, got {answer.status}: {text[:200]!r}")
        return json.loads(text)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Stop the API server during the block, so that it sends nothing at all."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def give_way(self) -> None:
        """Let the program that asks questions run first from now on: if it is late, answers look late."""
        os.setpriority(os.PRIO_PROCESS, self.process.pid, 15)

    def command(self, path: str) -> None:
        """Send a command to the API server, such as those of `ApiServer.disturb`, and wait until it is done."""
        connection = self.connect()
        self.ask(connection, "POST", f"/-/{path}")
        connection.close()


@contextmanager
def api(folder: Path, size: Size, *options: str) -> Iterator[Api]:
    """Run the API server, on a processor on which nothing is measured."""
    command = [sys.executable, "-m", "tests.kube.apiserver", *options]
    command += [f"--{name}={getattr(size, name)}" for name in Size.__struct_fields__]
    with subprocess.Popen(pinned(command, OTHERS), stdout=subprocess.PIPE) as process:
        try:
            yield Api(folder, size, process)
        finally:
            process.kill()


class Memory(NamedTuple):
    """Resident memory in MiB: now, and the peak since it was last reset."""

    now: float
    peak: float


class Follower:
    """A server under test."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, admin: int, log: Path) -> None:
        self.process, self.port, self.admin, self.log = process, port, admin, log
        self.clock = Clock(process.pid)

    def memory(self) -> Memory:
        """Return the memory of the server."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        now, peak = (int(re.findall(rf"{field}:\s+(\d+) kB", text)[0]) / 1024 for field in ("VmRSS", "VmHWM"))
        return Memory(now, peak)

    def reset_peak(self) -> None:
        """Let the peak of the memory begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text(_RESET_PEAK)

    def page(self, path: str) -> str:
        """Return a page of admin HTTP, also one with an error status."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return each metric's sum over its labels, and as `name{kind}` its sum for one kind."""
        found: dict[str, float] = {}
        for name, labels, value in _METRIC.findall(self.page("/metrics")):
            kind = re.search(r'kind="(\w+)"', labels)
            for key in (name, f"{name}{{{kind[1]}}}") if kind else (name,):
                found[key] = found.get(key, 0.0) + float(value)
        return found

    def wait_relisted(self, before: float) -> None:
        """Wait until each kind has been listed again since there were `before` lists; look seldom, as it costs time."""
        kinds = sum(key.startswith("dnsserver_lists_total{") for key in self.metrics())
        while self.metrics()["dnsserver_lists_total"] < before + kinds:
            time.sleep(0.1)

    @property
    def serving(self) -> bool:
        """Tell whether the server has logged that it serves. Raises RuntimeError if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended: {self.log.read_text()[-2000:]}")
        return '"event": "serving"' in self.log.read_text()


@contextmanager
def following(
    folder: Path, api: Api, *options: str | Path, processors: Sequence[int] = PROCESSORS, ready: bool = True
) -> Iterator[tuple[Follower, float]]:
    """Run a server and yield it after its first sync, or at once without `ready`, with the seconds that it took."""
    port, admin = free_port(), free_port()
    log = folder / f"dnsserver-{port}.log"
    pods = "verified" if api.size.pods else "insecure"
    command: list[str | Path] = [sys.executable, "-m", "dnsserver", "serve", "--kubeconfig", api.kubeconfig]
    command += ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--upstream", "127.0.0.1:9"]
    command += ["--pods", pods, *options]
    with log.open("wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(pinned(command, *processors), stdout=out, stderr=out, env=os.environ)
        follower = Follower(process, port, admin, log)
        try:
            if ready:
                wait_until(lambda: follower.serving, "a first sync")
            took = time.perf_counter() - start
            follower.clock = Clock(process.pid)
            yield follower, took
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


class Asked(NamedTuple):
    """How long answers took, sorted and in seconds, and how many never came."""

    delays: list[float]
    lost: int

    @property
    def p99(self) -> float:
        """The time in which 99 of 100 answers came, in milliseconds."""
        return self.delays[int(len(self.delays) * 0.99)] * 1000


def asking(port: int, questions: Path, rate: float, seconds: float) -> "subprocess.Popen[str]":
    """Start dnsperf, which asks at a fixed rate even if answers are missing; `asked` returns what it found.

    The project's load tool would be late when the API server uses its processor, and would count that.
    """
    command: list[str | Path] = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions, "-v"]
    command += ["-Q", str(rate), "-q", "5000", "-c", "8", "-l", f"{seconds:g}"]
    return subprocess.Popen(pinned(command, OTHERS), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def asked(process: "subprocess.Popen[str]") -> Asked:
    """Return what dnsperf found, after it has ended. Raises ValueError if it found nothing."""
    text = process.communicate()[0]
    delays = sorted(map(float, re.findall(r"^> NOERROR .* ([\d.]+)$", text, re.MULTILINE)))
    sent = re.search(r"Queries sent:\s+(\d+)", text)
    if sent is None or not delays:
        raise ValueError(f"expected the report of dnsperf, got {text[-2000:]!r}")
    return Asked(delays, int(sent[1]) - len(delays))


def _kubeconfig(access: dict[str, str]) -> dict[str, object]:
    authority = base64.b64encode(access["ca"].encode()).decode()
    cluster = {"server": access["server"], "certificate-authority-data": authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": access["token"]}}],
    }
