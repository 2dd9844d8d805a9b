"""A "pod": a network namespace with the resolv.conf that kubelets write, and the resolvers that programs there use.

Short names, SRV and an outside name go through the running server on port 53, with glibc, dig, c-ares (Node) and Go.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPACE = f"dnsserver-pod-{os.getpid()}"
RESOLV = "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
CONFIG = """
listen = ["127.0.0.1:53"]
admin = "127.0.0.1:8053"
objects = "{objects}"
upstreams = ["127.0.0.1:{port}"]
drain = 0
"""
READY = "import sys, urllib.request as r; r.urlopen('http://127.0.0.1:8053/readyz')"
GO = """
package main

import ("context"; "fmt"; "net"; "os"; "sort")

func main() {
	resolver := &net.Resolver{PreferGo: true}
	for _, name := range os.Args[1:] {
		found, err := resolver.LookupHost(context.Background(), name)
		sort.Strings(found)
		fmt.Println(name, found, err)
	}
	_, srv, err := resolver.LookupSRV(context.Background(), "postgres", "tcp", "database.shop.svc.cluster.local")
	fmt.Println(len(srv), srv[0].Port, err)
}
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("pod"),  # they share a namespace
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)"),
]


def run(command: list[str], **options: object) -> str:
    """Run a program in the pod and return what it printed."""
    inside = ["ip", "netns", "exec", SPACE, *command]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=30, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the server and an upstream inside of the namespace."""
    folder = tmp_path_factory.mktemp("pod")
    settings = Path("/etc/netns") / SPACE
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "resolv.conf").write_text(RESOLV)
    subprocess.run(["ip", "netns", "delete", SPACE], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "add", SPACE], check=True)
    processes: list[subprocess.Popen[str]] = []
    try:
        run(["ip", "link", "set", "lo", "up"])
        # An address of its own, as a pod has: getent asks only for families that are configured (AI_ADDRCONFIG).
        run(["ip", "address", "add", "10.244.9.9/32", "dev", "lo"])
        processes.append(start([sys.executable, "-m", "tests.upstream"], stdout=subprocess.PIPE))
        assert processes[0].stdout is not None
        port = processes[0].stdout.readline().strip()
        config = folder / "dnsserver.toml"
        config.write_text(CONFIG.format(objects=ROOT / "zones" / "demo", port=port))
        processes.append(start([sys.executable, "-m", "dnsserver", "serve", "--config", str(config)]))
        wait = f"import time\nfor _ in range(200):\n  try:\n    {READY}; break\n  except OSError: time.sleep(0.1)"
        run([sys.executable, "-c", wait + f"\n{READY}"])
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
        subprocess.run(["ip", "netns", "delete", SPACE], check=False)
        shutil.rmtree(settings)


def start(command: list[str], **options: int) -> subprocess.Popen[str]:
    inside = ["ip", "netns", "exec", SPACE, *command]
    return subprocess.Popen(inside, text=True, cwd=ROOT, **options)  # type: ignore[call-overload,no-any-return]


def addresses(text: str) -> set[str]:
    return {line.split()[0] for line in text.splitlines()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kubernetes.default", {"10.96.0.1"}),
        ("kubernetes.default.svc", {"10.96.0.1"}),
        ("kubernetes.default.svc.cluster.local", {"10.96.0.1"}),
        ("www.example.com", {"192.0.2.80"}),
        ("db.example.com.", {"192.0.2.54"}),
        ("localhost", {"127.0.0.1"}),
    ],
)
def test_glibc(pod: None, name: str, expected: set[str]) -> None:
    assert addresses(run(["getent", "ahostsv4", name])) == expected


def test_glibc_finds_every_pod_of_a_headless_service(pod: None) -> None:
    short = addresses(run(["getent", "ahostsv4", "database"]))
    assert len(short) > 1
    assert short == addresses(run(["getent", "ahostsv4", "database.shop.svc.cluster.local"]))


def test_glibc_says_that_a_name_does_not_exist(pod: None) -> None:
    with pytest.raises(AssertionError):
        run(["getent", "hosts", "nobody.example.com"])


def test_python(pod: None) -> None:
    program = "import socket, sys; print(sorted({a[4][0] for a in socket.getaddrinfo(sys.argv[1], 80)}))"
    assert run([sys.executable, "-c", program, "kubernetes.default"]).strip() == "['10.96.0.1']"
    assert run([sys.executable, "-c", program, "www.example.com"]).strip() == "['192.0.2.80', '2001:db8::80']"


@pytest.mark.skipif(shutil.which("dig") is None, reason="needs dig (Debian: bind9-dnsutils)")
def test_dig_with_the_search_list(pod: None) -> None:
    assert run(["dig", "+search", "+short", "kubernetes.default"]).split()[-1] == "10.96.0.1"
    assert run(["dig", "+search", "+short", "www.example.com"]).split()[-1] == "192.0.2.80"
    srv = run(["dig", "+search", "+short", "SRV", "_postgres._tcp.database"]).splitlines()
    assert {line.split()[2] for line in srv} == {"5432"}
    assert run(["dig", "+short", "-x", "10.96.0.1"]).strip() == "kubernetes.default.svc.cluster.local."
    assert run(["dig", "+tcp", "+short", "kubernetes.default.svc.cluster.local"]).strip() == "10.96.0.1"


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_node_by_glibc_and_by_c_ares(pod: None) -> None:
    program = """
        const dns = require("dns").promises;
        (async () => console.log(JSON.stringify([
            (await dns.lookup("kubernetes.default")).address,
            await dns.resolve4("kubernetes.default.svc.cluster.local"),
            (await dns.resolveSrv("_postgres._tcp.database.shop.svc.cluster.local")).map(found => found.port),
            await dns.resolve4("www.example.com"),
        ])))();
    """
    looked_up, resolved, ports, outside = json.loads(run(["node", "-e", program]))
    assert looked_up == "10.96.0.1"
    assert resolved == ["10.96.0.1"]
    assert set(ports) == {5432}
    assert outside == ["192.0.2.80"]


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go(pod: None, tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(GO)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "build", "-o", "look", "main.go"], cwd=tmp_path, check=True, env=environment, timeout=150)
    lines = run([str(tmp_path / "look"), "kubernetes.default", "www.example.com"]).splitlines()
    assert lines[0] == "kubernetes.default [10.96.0.1] <nil>"
    assert lines[1] == "www.example.com [192.0.2.80 2001:db8::80] <nil>"
    assert lines[2].split()[1:] == ["5432", "<nil>"]


@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
def test_java(pod: None, tmp_path: Path) -> None:
    program = tmp_path / "Look.java"
    program.write_text("""
        import java.net.InetAddress;
        public class Look {
            public static void main(String[] names) throws Exception {
                for (String name : names) System.out.println(InetAddress.getByName(name).getHostAddress());
            }
        }
    """)
    found = run(["java", "-Djava.net.preferIPv4Stack=true", str(program), "kubernetes.default", "www.example.com"])
    assert found.split() == ["10.96.0.1", "192.0.2.80"]
