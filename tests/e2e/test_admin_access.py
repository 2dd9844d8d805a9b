"""Admin HTTP as an ordinary pod sees it: over sockets, from a network namespace with an address of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import Served

SERVER, POD = f"admin-{os.getpid()}", f"admin-pod-{os.getpid()}"
ADDRESS, ITS = "10.244.7.1", "10.244.7.2"
PORT = 8053
SECRET = "a-secret"
OPEN = {"/healthz", "/readyz", "/metrics", "/health", "/ready"}
# Asks for each line of its standard input: method, path and a header; prints the status and the first line that it got.
CLIENT = """
import http.client, sys
for line in sys.stdin:
    method, path, header, value = line.rstrip("\\n").split("\\t")
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
    connection.request(method, path, headers={header: value} if header else {})
    response = connection.getresponse()
    first = "" if response.status == 200 and path != "/" else response.read(100_000).decode().replace("\\n", "|")
    print(response.status, first, flush=True)
    connection.close()
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("admin-access"),  # they share namespaces
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)"),
]


def inside(space: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", space, *command]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a server in one namespace, linked to another one."""
    folder = tmp_path_factory.mktemp("admin")
    (folder / "token").write_text(SECRET)
    (folder / "c.toml").write_text(
        f'listen = ["127.0.0.1:5353"]\nadmin = "[::]:{PORT}"\nadmin_token = "{folder}/token"\nupstreams = []\n'
        f'drain = 0\nobjects = "{Path(__file__).parents[2]}/zones/demo"\n[log]\nformat = "json"\n'
    )
    for space in (SERVER, POD):
        subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "add", space], check=True)
    running: Served | None = None
    try:
        link = ["ip", "link", "add", "eth0", "netns", SERVER, "type", "veth", "peer", "name", "eth0", "netns", POD]
        subprocess.run(link, check=True)
        for space, address in ((SERVER, ADDRESS), (POD, ITS)):
            for change in (
                ["address", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                ["link", "set", "lo", "up"],
            ):  # fmt: skip
                subprocess.run(inside(space, "ip", *change), check=True)
        running = Served("--config", str(folder / "c.toml"), before=inside(SERVER))
        running.wait_serving()
        yield running
    finally:
        if running is not None:
            running.close()
        for space in (SERVER, POD):
            subprocess.run(["ip", "netns", "delete", space], check=False)


def ask(space: str, address: str, *requests: tuple[str, ...]) -> list[tuple[int, str]]:
    """Send requests, each of (method, path) or (method, path, header, value); return status and text of each answer."""
    lines = ["\t".join((*request, "", "")[:4]) for request in requests]
    command = inside(space, sys.executable, "-c", CLIENT, address, str(PORT))
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [(int(line.partition(" ")[0]), line.partition(" ")[2]) for line in done.stdout.splitlines()]


def paths(server: Served) -> list[tuple[str, str]]:
    """Return method and path of all that there is, as the index tells."""
    [(status, text)] = ask(SERVER, "127.0.0.1", ("GET", "/"))
    assert status == 200
    found = [line.partition(": ")[0].partition(" ") for line in text.split("|") if line.startswith(("GET /", "POST /"))]
    return [("GET", "/"), *((method, path) for method, _, path in found)]


def test_an_ordinary_pod_gets_three_paths(server: Served) -> None:
    there = paths(server)
    assert {("GET", "/metrics"), ("POST", "/cache/flush")} <= set(there)
    requests = [*there, *(("GET", path) for path in OPEN), ("GET", "/nothing"), ("HEAD", "/"), ("OPTIONS", "/")]
    for (method, path), (status, text) in zip(requests, ask(POD, ADDRESS, *requests), strict=True):
        if path in OPEN:
            assert status == 200, path
        else:
            assert status == 403, (method, path)
            assert method == "HEAD" or "admin_token" in text


def test_an_ordinary_pod_that_says_it_is_somebody_else(server: Served) -> None:
    headers = [
        ("Host", "localhost"), ("Host", "127.0.0.1:8053"), ("X-Forwarded-For", "127.0.0.1"), ("Origin", "http://localhost"),
        ("Authorization", "Bearer wrong"), ("Authorization", f"Basic {SECRET}"),
    ]  # fmt: skip
    requests = [("GET", "/", *header) for header in headers]
    assert [status for status, _ in ask(POD, ADDRESS, *requests)] == [403] * len(headers)


def test_the_token_opens_all(server: Served) -> None:
    bearer = ("Authorization", f"Bearer {SECRET}")
    requests = [("GET", "/", *bearer), ("POST", "/cache/flush?name=a.example", *bearer), ("GET", "/nothing", *bearer)]
    assert [status for status, _ in ask(POD, ADDRESS, *requests)] == [200, 200, 404]


def test_this_machine_needs_no_token_whichever_address_it_asks(server: Served) -> None:
    for address in ("127.0.0.1", "::1", ADDRESS):
        assert [status for status, _ in ask(SERVER, address, ("GET", "/"), ("POST", "/cache/flush?name=a"))] == [
            200,
            200,
        ]
    assert ask(SERVER, "127.0.0.1", ("GET", "/", "Host", "attacker.example"))[0][0] == 403
