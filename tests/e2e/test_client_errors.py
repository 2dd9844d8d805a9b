"""What clients' own resolvers say of failures, through the server and at the same upstream without it.

Two network namespaces with a resolv.conf of their own: in one the server stands between. A client runs once in each, at
the same time, and prints for each name an address or the error that its program gets.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DIRECT, THROUGH = f"dnsserver-direct-{os.getpid()}", f"dnsserver-through-{os.getpid()}"
RESOLV = "nameserver 127.0.0.1\noptions timeout:3 attempts:1\n"
CONFIG = """
listen = ["127.0.0.1:53"]
admin = "127.0.0.1:8053"
objects = "{objects}"
upstreams = ["127.0.0.1:5353"]
drain = 0
"""
NAMES = ("ok", "nxdomain", "nodata", "servfail", "refused", "nodata-aaaa", "servfail-aaaa", "servfail-a", "silent")

PYTHON = """
import socket, sys
for name in sys.argv[1:]:
    try: print(name, sorted({a[4][0] for a in socket.getaddrinfo(name, 80)})[0])
    except socket.gaierror as error: print(name, error.errno)
"""
C = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
        int error = getaddrinfo(names[i], "80", &hints, &found);
        if (error) printf("%s %d\n", names[i], error);
        else printf("%s found\n", names[i]);
    }
}
"""
GO = """
package main

import ("errors"; "fmt"; "net"; "os"; "context")

func main() {
	resolver := &net.Resolver{PreferGo: true}
	for _, name := range os.Args[1:] {
		found, err := resolver.LookupHost(context.Background(), name)
		var failed *net.DNSError
		if errors.As(err, &failed) {
			fmt.Println(name, "notfound", failed.IsNotFound, "temporary", failed.IsTemporary || failed.IsTimeout)
		} else { fmt.Println(name, len(found)) }
	}
}
"""
JAVA = """
import java.net.*;
public class Look {
    public static void main(String[] names) throws Exception {
        for (String name : names)
            try { System.out.println(name + " " + InetAddress.getAllByName(name).length); }
            catch (UnknownHostException error) {
                System.out.println(name + " " + error.getMessage().replace(name, "").strip());
            }
    }
}
"""
NODE = """
const dns = require("dns").promises, resolver = new dns.Resolver({timeout: 3000, tries: 1});
(async () => { for (const name of process.argv.slice(1)) {
    const say = [];
    for (const ask of [n => dns.lookup(n), n => resolver.resolve4(n), n => resolver.resolve6(n)])
        try { await ask(name); say.push("found"); } catch (error) { say.push(error.code); }
    console.log(name, ...say);
} })();
"""

# Where a client says something else through the server, and why that is right.
EXPLAINED = {
    ("node", "refused"): "all upstreams refused, so nobody could resolve it: SERVFAIL, and not that we refuse",
    ("go", "refused"): "the same: SERVFAIL may pass",
    ("node", "silent"): "the server gives up before its client does",
    ("node", "gone"): "there is somebody to say so: SERVFAIL",
}


class Client(NamedTuple):
    """How to run a client, and what it needs."""

    program: str
    package: str


CLIENTS = {
    "glibc": Client(sys.executable, ""),
    "musl": Client("musl-gcc", "musl-tools"),
    "go": Client("go", "golang-go"),
    "java": Client("java", "default-jre-headless"),
    "node": Client("node", "nodejs"),
}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("client errors"),  # they share two namespaces
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)"),
]


def built(client: str, folder: Path) -> list[str]:
    """Return the command of a client that takes names; compiled first, where it has to be."""

    def run(*command: str, **environment: str) -> None:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, env={**os.environ, **environment}, timeout=150
        )

    if client == "glibc":
        return [sys.executable, "-c", PYTHON]
    if client == "node":
        return ["node", "-e", NODE]
    if client == "musl":
        (folder / "look.c").write_text(C)
        run("musl-gcc", "-static", "-o", "look", "look.c")
    elif client == "go":
        (folder / "main.go").write_text(GO)
        run("go", "build", "-o", "look", "main.go")
    else:
        (folder / "Look.java").write_text(JAVA)
        return ["java", "-Dnetworkaddress.cache.negative.ttl=0", str(folder / "Look.java")]
    return [str(folder / "look")]


def inside(space: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", space, *command]


def start(space: str, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        inside(space, *command), text=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def says(space: str, command: list[str], names: list[str]) -> dict[str, str]:
    """Run a client; return what it says of each name."""
    done = subprocess.run(inside(space, *command, *names), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {line.partition(".")[0]: line.partition(" ")[2] for line in done.stdout.splitlines()}


class Spaces(NamedTuple):
    """The upstreams of the two namespaces."""

    upstreams: dict[str, subprocess.Popen[str]]

    def end_upstreams(self) -> None:
        for upstream in self.upstreams.values():
            upstream.kill()
            upstream.wait()


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spaces]:
    folder = tmp_path_factory.mktemp("spaces")
    (folder / "c.toml").write_text(CONFIG.format(objects=ROOT / "zones" / "demo"))
    processes: list[subprocess.Popen[str]] = []
    upstreams = {}
    try:
        for space, port in ((DIRECT, "53"), (THROUGH, "5353")):
            settings = Path("/etc/netns") / space
            settings.mkdir(parents=True, exist_ok=True)
            (settings / "resolv.conf").write_text(RESOLV)
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "add", space], check=True)
            for change in (("link", "set", "lo", "up"), ("address", "add", "10.244.9.9/32", "dev", "lo")):
                subprocess.run(inside(space, "ip", *change), check=True)
            upstreams[space] = start(space, sys.executable, "-m", "tests.e2e.failing", port)
            processes.append(upstreams[space])
            assert upstreams[space].stdout is not None
            assert upstreams[space].stdout.readline() == "serving\n"  # type: ignore[union-attr]
        server = start(THROUGH, sys.executable, "-m", "dnsserver", "serve", "--config", str(folder / "c.toml"))
        processes.append(server)
        assert server.stderr is not None
        assert any('"event":"serving"' in line.replace(" ", "") for line in server.stderr)
        yield Spaces(upstreams)
    finally:
        for process in reversed(processes):
            process.kill()
            process.communicate()
        for space in (DIRECT, THROUGH):
            subprocess.run(["ip", "netns", "delete", space], check=False)
            shutil.rmtree(Path("/etc/netns") / space, ignore_errors=True)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The clients that can be had here."""
    present = [client for client, needs in CLIENTS.items() if shutil.which(needs.program)]
    folders = {client: tmp_path_factory.mktemp(client) for client in present}
    with ThreadPoolExecutor() as pool:
        return dict(zip(present, pool.map(lambda client: built(client, folders[client]), present), strict=True))


class Said(NamedTuple):
    """What a client says of each name: directly, and through the server."""

    direct: dict[str, str]
    through: dict[str, str]


@pytest.fixture(scope="module")
def said(spaces: Spaces, commands: dict[str, list[str]]) -> dict[str, Said]:
    """Run all clients at once: first with an upstream that fails by name, then with one that is gone."""

    def ask(*names: str) -> dict[str, Said]:
        asked = [f"{name}.example.com" for name in names]
        with ThreadPoolExecutor(2 * len(commands)) as pool:
            runs = {
                client: [pool.submit(says, space, command, asked) for space in (DIRECT, THROUGH)]
                for client, command in commands.items()
            }
        return {client: Said(direct.result(), through.result()) for client, (direct, through) in runs.items()}

    failing = ask(*NAMES)
    spaces.end_upstreams()
    gone = ask("gone")
    return {
        client: Said(both.direct | gone[client].direct, both.through | gone[client].through)
        for client, both in failing.items()
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_failures_look_as_without_the_server(client: str, said: dict[str, Said]) -> None:
    if client not in said:
        needs = CLIENTS[client]
        pytest.skip(f"needs {needs.program} (Debian: {needs.package})")
    direct, through = said[client]
    assert set(direct) == set(through) == {*NAMES, "gone"}
    other = {name: (direct[name], through[name]) for name in direct if direct[name] != through[name]}
    unexplained = {name: both for name, both in other.items() if (client, name) not in EXPLAINED}
    assert unexplained == {}, "(directly, through the server)"
    assert through["ok"] not in {through["nxdomain"], through["silent"], through["gone"]}
    if client != "java":  # which has one word for all of them
        assert through["nxdomain"] != through["servfail"]
