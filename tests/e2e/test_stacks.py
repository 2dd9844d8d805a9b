"""Pods and nodes that have IPv6 only, both families, or IPv4 only: a server and a pod, each in a network namespace.

The server runs with the flags of manifests/base, and forwards to whom its resolv.conf names: to a second server, of
another domain, at a link-local address with a zone where there is IPv6.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cluster import endpoint, endpoints, namespace, pod, service
from tests.e2e.process import Served
from tests.running import write_objects

NODE, POD = f"stack-node-{os.getpid()}", f"stack-pod-{os.getpid()}"
ADDRESSES = {4: ("10.244.7.1", "10.244.7.2"), 6: ("fd00:10:244:7::1", "fd00:10:244:7::2")}
LINK_LOCAL = ("fe80::7:1", "fe80::7:2")
STACKS = {"ipv6": {6}, "dual": {4, 6}, "ipv4": {4}}
PORT = 9153
THINGS = [
    namespace("shop"),
    namespace("kube-system"),
    service("kube-dns", "fd00:10:96::a", "10.96.0.10", namespace="kube-system"),
    service("both", "10.96.0.20", "fd00:10:96::20", ports=[("http", "TCP", 80)]),
    service("turned", "fd00:10:96::21", "10.96.0.21"),
    service("six", "fd00:10:96::22", ports=[("http", "TCP", 80)]),
    service("four", "10.96.0.23"),
    service("headless"),
    endpoints("headless", endpoint("10.244.1.9", "db-0")),
    endpoints("headless", endpoint("fd00:10:244:1::9", "db-0"), name="headless-6", family="IPv6"),
    pod("db-0", "fd00:10:244:1::9", "10.244.1.9"),
]
# A name, a type, and what is answered: rdata, or what the additional section has, in whatever family it was asked.
ANSWERS = {
    ("both.shop.svc", "A"): {"10.96.0.20"},
    ("both.shop.svc", "AAAA"): {"fd00:10:96::20"},
    ("turned.shop.svc", "A"): {"10.96.0.21"},
    ("turned.shop.svc", "AAAA"): {"fd00:10:96::21"},
    ("six.shop.svc", "A"): set(),
    ("six.shop.svc", "AAAA"): {"fd00:10:96::22"},
    ("four.shop.svc", "AAAA"): set(),
    ("headless.shop.svc", "A"): {"10.244.1.9"},
    ("headless.shop.svc", "AAAA"): {"fd00:10:244:1::9"},
    ("db-0.headless.shop.svc", "AAAA"): {"fd00:10:244:1::9"},
    ("_http._tcp.six.shop.svc", "SRV"): {"0 100 80 six.shop.svc.cluster.local.", "fd00:10:96::22"},
    ("_http._tcp.both.shop.svc", "SRV"): {"0 100 80 both.shop.svc.cluster.local.", "10.96.0.20", "fd00:10:96::20"},
    ("fd00-10-244-1--9.shop.pod", "AAAA"): {"fd00:10:244:1::9"},
    ("fd00-10-244-1--9.shop.pod", "A"): set(),
    ("ns.dns", "A"): {"10.96.0.10"},
    ("ns.dns", "AAAA"): {"fd00:10:96::a"},
    ("fd00:10:96::20", "PTR"): {"both.shop.svc.cluster.local."},
    ("fd00:10:96::22", "PTR"): {"six.shop.svc.cluster.local."},
    ("10.96.0.20", "PTR"): {"both.shop.svc.cluster.local."},
    ("fd00:10:244:1::9", "PTR"): {"db-0.headless.shop.svc.cluster.local."},
    ("far.shop.svc.corp.example.", "A"): {"10.96.0.99"},
    ("far.shop.svc.corp.example.", "AAAA"): {"fd00:10:96::99"},
}
# Asks each question of a list of each address of another, over UDP and TCP.
CLIENT = """
import json, sys
import dns.message, dns.query, dns.reversename
for address in json.loads(sys.argv[1]):
    for ask in (dns.query.udp, dns.query.tcp):
        for name, type_ in json.loads(sys.argv[2]):
            full = name if name.endswith(".") else name + ".cluster.local."
            full = dns.reversename.from_address(name) if type_ == "PTR" else full
            reply = ask(dns.message.make_query(full, type_, use_edns=0), address, timeout=20)
            found = [rdata.to_text() for rrset in reply.answer + reply.additional for rdata in rrset]
            why = [option.to_text() for option in reply.options]
            print(json.dumps([address, ask.__name__, name, type_, reply.rcode(), sorted(found), why]))
"""
GET = """
import sys, urllib.error, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("stacks"),  # they share namespaces
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="needs `ip` (Debian: iproute2)"),
]


def inside(space: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", space, *command]


def run(space: str, *command: str) -> str:
    done = subprocess.run(inside(space, *command), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def linked(families: set[int]) -> None:
    """Lead a link from the node to the pod; no address of another family is left, also none of the loopback device."""
    link = ["ip", "link", "add", "eth0", "netns", NODE, "type", "veth", "peer", "name", "eth0", "netns", POD]
    subprocess.run(link, check=True)
    for number, space in enumerate((NODE, POD)):
        run(space, "ip", "link", "set", "lo", "up")
        run(space, "ip", "link", "set", "eth0", "up")
        if 4 in families:
            run(space, "ip", "address", "add", f"{ADDRESSES[4][number]}/24", "dev", "eth0")
        else:
            run(space, "ip", "address", "delete", "127.0.0.1/8", "dev", "lo")
        if 6 in families:
            for address in (f"{ADDRESSES[6][number]}/64", f"{LINK_LOCAL[number]}/64"):
                run(space, "ip", "address", "add", address, "dev", "eth0", "nodad")
        else:
            run(space, "sysctl", "-q", "net.ipv6.conf.all.disable_ipv6=1")


def write_resolv_conf(space: str, text: str) -> None:
    """Write the file that programs in a namespace find at /etc/resolv.conf."""
    settings = Path("/etc/netns") / space
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "resolv.conf").write_text(text)


class Stack(NamedTuple):
    """A server that serves, and a pod that can ask it."""

    families: set[int]
    server: Served
    config: Path

    def addresses(self) -> list[str]:
        """Return the server's addresses, as the pod may name them."""
        found = [ADDRESSES[family][0] for family in sorted(self.families)]
        return [*found, f"{LINK_LOCAL[0]}%eth0"] if 6 in self.families else found

    def urls(self, path: str) -> list[str]:
        hosts = [ADDRESSES[family][0] for family in sorted(self.families)]
        return [f"http://[{host}]:{PORT}{path}" if ":" in host else f"http://{host}:{PORT}{path}" for host in hosts]


@pytest.fixture(scope="module", params=STACKS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    families = STACKS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "far").mkdir()
    objects = write_objects(folder, THINGS)
    far = write_objects(folder / "far", [namespace("shop"), service("far", "10.96.0.99", "fd00:10:96::99")])
    config = folder / "dnsserver.toml"
    config.write_text(f'admin = "[::]:{PORT}"\ndrain = 0\npods = "verified"\n[log]\nformat = "json"\n')
    (folder / "far.toml").write_text(config.read_text().replace("drain = 0", "drain = 0\nupstreams = []"))
    with ExitStack() as stack:
        for space in (NODE, POD):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "add", space], check=True)
            stack.callback(shutil.rmtree, Path("/etc/netns") / space, ignore_errors=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", space], check=False)
        linked(families)
        upstream = f"{LINK_LOCAL[1]}%eth0" if 6 in families else ADDRESSES[4][1]
        write_resolv_conf(NODE, f"nameserver {upstream}\n")
        write_resolv_conf(POD, f"nameserver {ADDRESSES[max(families)][0]}\nsearch shop.svc.cluster.local\n")
        listen = ["--listen=0.0.0.0:53", "--listen=[::]:53", "--config"]
        to_far = [str(folder / "far.toml"), "--objects", str(far), "--domain", "corp.example"]
        both = [
            Served(*listen, *to_far, before=inside(POD)),
            Served(*listen, str(config), "--objects", str(objects), before=inside(NODE)),
        ]
        for served in both:
            stack.callback(served.close)
            served.wait_serving()
        yield Stack(families, both[1], config)


def test_every_name_is_answered_at_every_address(stack: Stack) -> None:
    told = run(POD, sys.executable, "-c", CLIENT, json.dumps(stack.addresses()), json.dumps(list(ANSWERS)))
    lines: list[Any] = [json.loads(line) for line in told.splitlines()]
    assert len(lines) == len(ANSWERS) * 2 * len(stack.addresses())
    wrong = [line for line in lines if (line[4], set(line[5])) != (0, ANSWERS[line[2], line[3]])]
    assert "\n".join(map(str, wrong)) == ""


def test_probes_reach_it_and_the_page_is_for_its_node(stack: Stack) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert run(POD, sys.executable, "-c", GET, *stack.urls(path)).split() == ["200"] * len(stack.families)
    assert run(POD, sys.executable, "-c", GET, *stack.urls("/")).split() == ["403"] * len(stack.families)
    assert run(NODE, sys.executable, "-c", GET, *stack.urls("/")).split() == ["200"] * len(stack.families)


def test_clients_are_counted_by_their_family(stack: Stack) -> None:
    run(POD, sys.executable, "-c", CLIENT, json.dumps(stack.addresses()), json.dumps([("both.shop.svc", "A")]))
    get = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
    told = run(NODE, sys.executable, "-c", get, stack.urls("/metrics")[0])
    counted = [line for line in told.splitlines() if line.startswith("coredns_dns_requests_total{")]
    families = {line.partition('family="')[2][0] for line in counted if not line.endswith(" 0.0")}
    assert families == {{4: "1", 6: "2"}[family] for family in stack.families}


def test_a_command_on_the_node_finds_the_server(stack: Stack) -> None:
    command = [
        sys.executable,
        "-m",
        "dnsserver",
        "explain",
        "six",
        "--namespace",
        "shop",
        "--config",
        str(stack.config),
    ]
    explained = run(NODE, *command)
    assert "fd00:10:96::22" in explained


def test_glibc_resolves_short_and_outside_names(stack: Stack) -> None:
    found = {line.split()[0] for line in run(POD, "getent", "ahosts", "both").splitlines()}
    assert found == {{4: "10.96.0.20", 6: "fd00:10:96::20"}[family] for family in stack.families}
    outside = run(POD, "getent", "ahosts", "far.shop.svc.corp.example.").split()
    assert outside[0] == ("fd00:10:96::99" if 6 in stack.families else "10.96.0.99")
