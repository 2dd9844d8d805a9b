"""Validating resolvers behind the server, in front of signed zones: every answer as if they asked without it.

NSD serves zones that ldns has signed, from the root on. Unbound without validation is the upstream, and two validators
of a kind ask beside each other: one through the server, one that upstream itself.

Over 400 lines: half of it are the zones, the questions and the configurations of five programs.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.cluster import namespace
from tests.e2e.process import FOLDER, served, wait_until
from tests.free_port import free_port
from tests.running import write_objects

HOST = "127.0.0.1"
Reply = dns.message.Message
SOA = "@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\n"

# The root; a signed zone with NSEC, ones below it with NSEC3 and opt-out, one that is not signed, one signed with a key
# that its parent does not know, and one of somebody else without any signature.
ZONES = {
    "": f"""{SOA}
example 300 IN NS ns.example
ns.example 300 IN A 127.0.0.1
provider.test 300 IN NS ns.provider.test
ns.provider.test 300 IN A 127.0.0.1
""",
    "example": f"""{SOA}
www 300 IN A 192.0.2.1
www 300 IN TXT "one"
web 300 IN CNAME www
*.wild 300 IN A 192.0.2.2
*.alias 300 IN CNAME www
*.away 300 IN CNAME lb.provider.test.
*.gone 300 IN CNAME nope.provider.test.
*.within 300 IN CNAME nope
*.below 300 IN CNAME x.wild.n3
*.twice 300 IN CNAME x.alias
deep.a.ent 300 IN A 192.0.2.3
dn 300 IN DNAME wild.n3
n3 300 IN NS ns.n3
ns.n3 300 IN A 127.0.0.1
oo 300 IN NS ns.oo
ns.oo 300 IN A 127.0.0.1
plain 300 IN NS ns.plain
ns.plain 300 IN A 127.0.0.1
bogus 300 IN NS ns.bogus
ns.bogus 300 IN A 127.0.0.1
""",
    "n3.example": f"""{SOA}
www 300 IN A 192.0.2.11
*.wild 300 IN A 192.0.2.12
*.alias 300 IN CNAME www
*.up 300 IN CNAME x.wild.example.
deep.a.ent 300 IN A 192.0.2.13
out 300 IN NS ns.out
ns.out 300 IN A 127.0.0.1
""",
    "oo.example": f"""{SOA}
www 300 IN A 192.0.2.61
*.wild 300 IN A 192.0.2.62
out 300 IN NS ns.out
ns.out 300 IN A 127.0.0.1
""",
    "out.oo.example": f"{SOA}www 300 IN A 192.0.2.63\n",
    "bogus.example": f"{SOA}www 300 IN A 192.0.2.21\n",
    "plain.example": f"{SOA}www 300 IN A 192.0.2.31\n",
    "out.n3.example": f"{SOA}www 300 IN A 192.0.2.41\n",
    "provider.test": f"{SOA}lb 300 IN A 192.0.2.51\nwww 300 IN A 192.0.2.52\n",
}
SIGNED = {  # children first: their DS go up
    "n3.example": ["-n", "-t", "0"],
    "oo.example": ["-n", "-t", "0", "-p"],
    "bogus.example": [],
    "example": [],
    "": [],
}

OURS = '  local-zone: "test." nodefault\n  target-fetch-policy: "0 0 0 0 0"\n'  # else Unbound says that test is empty

QUESTIONS = [
    *[(f"www.{zone}", type_) for zone in ZONES if zone for type_ in ("A", "AAAA", "TXT")],
    *[(f"nope.{zone}", "A") for zone in ZONES if zone],
    ("nope", "A"),
    ("test", "DS"),
    *[(zone, type_) for zone in ZONES for type_ in ("SOA", "NS", "DNSKEY", "DS", "NSEC3PARAM", "MX")],
    ("web.example", "A"),
    ("web.example", "AAAA"),
    ("www.example", "RRSIG"),
    ("www.example", "NSEC"),
    *[
        (f"x.{below}.{zone}", type_)
        for zone, belows in (
            ("example", ("wild", "alias", "away", "gone", "within", "below", "twice")),
            ("n3.example", ("wild", "alias", "up")),
            ("oo.example", ("wild",)),
        )
        for below in belows
        for type_ in ("A", "AAAA", "CNAME")
    ],
    ("a.b.c.wild.example", "A"),
    ("wild.example", "A"),
    ("ent.example", "A"),
    ("a.ent.n3.example", "A"),
    ("nope.a.ent.n3.example", "A"),
    ("x.dn.example", "A"),
    ("x.dn.example", "AAAA"),
    ("x.dn.example", "CNAME"),
    ("dn.example", "DNAME"),
    ("nope.below.www.n3.example", "A"),
]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("validators"),  # they share the resolvers
    *[
        pytest.mark.skipif(
            shutil.which(program) is None and shutil.which(program, path="/usr/sbin") is None,
            reason=f"needs {program} (Debian: {package})",
        )
        for program, package in (("nsd", "nsd"), ("unbound", "unbound"), ("ldns-signzone", "ldnsutils"))
    ],
]


class Resolvers(NamedTuple):
    """Ports: of the upstream, of the server, and of two validators of a kind, one behind each of them."""

    upstream: int
    server: int
    unbound: tuple[int, int]
    dnsmasq: tuple[int, int] | None


def find(program: str) -> str:
    return shutil.which(program) or f"/usr/sbin/{program}"


def sign(folder: Path) -> str:
    """Write and sign the zones; return the DS of the root."""

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    for zone, text in ZONES.items():
        (folder / file_of(zone)).write_text(f"$ORIGIN {zone}.\n{text}")
    for zone, flags in SIGNED.items():
        key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", f"{zone}.")
        run("ldns-signzone", *flags, "-o", f"{zone}.", "-f", "signed", file_of(zone), key)
        (folder / "signed").rename(folder / file_of(zone))
        if zone == "bogus.example":  # its parent knows another key
            key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", f"{zone}.")
        ds = (folder / f"{key}.ds").read_text()
        if zone:
            with (folder / file_of(zone.partition(".")[2])).open("a") as parent:
                parent.write(ds)
    return ds.strip()


def file_of(zone: str) -> str:
    return zone or "root"


def nsd(folder: Path, port: int) -> list[str]:
    zones = "".join(f"zone:\n  name: {zone}.\n  zonefile: {folder}/{file_of(zone)}\n" for zone in ZONES)
    (folder / "nsd.conf").write_text(
        f'server:\n  ip-address: {HOST}@{port}\n  username: ""\n  chroot: ""\n  database: ""\n  zonesdir: {folder}\n'
        f"  pidfile: {folder}/nsd.pid\n  xfrdfile: {folder}/xfrd\n  xfrdir: {folder}\n  zonelistfile: {folder}/list\n"
        f"  rrl-ratelimit: 0\n  server-count: 1\nremote-control:\n  control-enable: no\n{zones}"
    )
    return [find("nsd"), "-d", "-c", str(folder / "nsd.conf")]


def unbound(folder: Path, port: int, rest: str) -> list[str]:
    file = folder / f"unbound-{port}.conf"
    file.write_text(
        f'server:\n  interface: {HOST}\n  port: {port}\n  chroot: ""\n  username: ""\n  directory: "{folder}"\n'
        f'  pidfile: ""\n  use-syslog: no\n  do-daemonize: no\n  do-not-query-localhost: no\n  num-threads: 1\n{rest}'
        "remote-control:\n  control-enable: no\n"
    )
    return [find("unbound"), "-d", "-c", str(file)]


def stubs(port: int) -> str:
    """Return how to resolve on NSD, whose port no delegation can tell, and to validate nothing."""
    zones = "".join(f'stub-zone:\n  name: "{zone}."\n  stub-addr: {HOST}@{port}\n' for zone in ZONES)
    return f'{OURS}  module-config: "iterator"\n{zones}'


def forwards(ds: str, port: int) -> str:
    """Return how to ask that port, and to validate all that it says."""
    return f"""{OURS}  module-config: "validator iterator"
  trust-anchor: "{ds}"
forward-zone:
  name: "."
  forward-addr: {HOST}@{port}
"""


def dnsmasq(ds: str, port: int, upstream: int) -> list[str]:
    _, _, anchor = ds.partition("DS")
    return [
        *(find("dnsmasq"), "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"),
        *(f"--listen-address={HOST}", f"--port={port}", f"--server={HOST}#{upstream}", "--dnssec", "--user=root"),
        f"--trust-anchor=.,{','.join(anchor.split()[:3])},{''.join(anchor.split()[3:])}",
    ]


class Running:
    """What runs in front of the validators; they are started with it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.ds = sign(folder)
        authority = self.start(nsd(folder, port := free_port()), port)
        self.upstream = self.start(unbound(folder, port := free_port(), stubs(authority)), port)
        (folder / "c.toml").write_text(
            f'listen = ["{HOST}:0"]\nadmin = "{HOST}:0"\ndrain = 0\nupstreams = ["{HOST}:{self.upstream}"]\n'
        )
        objects = write_objects(folder, [namespace("default")])
        self.server = stack.enter_context(served("--config", str(folder / "c.toml"), "--objects", str(objects))).port

    def start(self, command: list[str], port: int, host: str = HOST, stack: ExitStack | None = None) -> int:
        """Start a program, until the stack ends; return its port when it listens there."""
        stack = stack or self._stack
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=self._folder, stdout=quiet, stderr=quiet)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        wait_until(lambda: process.poll() is not None or listens(port, host))
        assert process.poll() is None, command
        return port


@pytest.fixture(scope="module")
def resolvers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolvers]:
    """Run all of them."""
    folder = tmp_path_factory.mktemp("validators")
    with ExitStack() as stack:
        running = Running(stack, folder)
        start, ds, both = running.start, running.ds, (running.upstream, running.server)
        validators = [start(unbound(folder, port := free_port(), forwards(ds, below)), port) for below in both]
        others = None
        if Path(find("dnsmasq")).exists():
            others = [start(dnsmasq(ds, port := free_port(), below), port) for below in both]
        yield Resolvers(*both, (validators[0], validators[1]), (others[0], others[1]) if others else None)


def listens(port: int, host: str = HOST) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def ask(port: int, name: str, type_: str, *, do: bool = True, cd: bool = False, host: str = HOST) -> Reply:
    """Ask over UDP, and over TCP what is cut; AD is set, so that the reply shows it without DO as well."""
    query = dns.message.make_query(f"{name}.", type_, use_edns=0, want_dnssec=do, payload=1232)
    query.flags |= dns.flags.AD | (dns.flags.CD if cd else 0)
    reply = dns.query.udp(query, host, port=port, timeout=10)
    return dns.query.tcp(query, host, port=port, timeout=10) if reply.flags & dns.flags.TC else reply


def shown(reply: Reply) -> list[str]:
    """Return what counts of a reply: everything but TTLs and the order of records."""
    lines = [dns.rcode.to_text(reply.rcode()), "ad" if reply.flags & dns.flags.AD else "-"]
    for section in (reply.answer, reply.authority):
        lines += sorted(
            f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
            for rrset in section
            for rdata in rrset
        )
    return [line.lower() for line in lines]


def failures(ports: tuple[int, int], *, do: bool = True, cd: bool = False) -> dict[str, tuple[list[str], list[str]]]:
    """Return the questions to which the two give different answers, with these."""
    found = {}
    for name, type_ in QUESTIONS:
        direct, through = (shown(ask(port, name, type_, do=do, cd=cd)) for port in ports)
        if direct != through:
            found[f"{name} {type_}"] = (direct, through)
    return found


@pytest.mark.parametrize("cd", [False, True])
def test_unbound_validates_as_without_us(resolvers: Resolvers, cd: bool) -> None:
    assert failures(resolvers.unbound, cd=cd) == {}


def test_dnsmasq_validates_as_without_us(resolvers: Resolvers) -> None:
    if resolvers.dnsmasq is None:
        pytest.skip("needs dnsmasq (Debian: dnsmasq-base)")
    assert failures(resolvers.dnsmasq, do=True) == {}
    assert failures(resolvers.dnsmasq, do=False) == {}


@pytest.mark.parametrize("cd", [False, True])
def test_the_server_passes_on_what_a_validator_needs(resolvers: Resolvers, cd: bool) -> None:
    assert failures((resolvers.upstream, resolvers.server), cd=cd) == {}


def test_the_questions_are_worth_asking(resolvers: Resolvers) -> None:
    """All kinds of outcome are there: proven answers, proven absence, what cannot be proven, and what is wrong."""
    seen = {tuple(shown(ask(resolvers.unbound[0], name, type_))[:2]) for name, type_ in QUESTIONS}
    assert seen >= {("noerror", "ad"), ("nxdomain", "ad"), ("noerror", "-"), ("nxdomain", "-"), ("servfail", "-")}
    for name, type_, status in (
        ("x.away.example", "AAAA", ("noerror", "-")),
        ("x.below.example", "A", ("noerror", "ad")),
        ("x.wild.n3.example", "AAAA", ("noerror", "ad")),
        ("nope.n3.example", "A", ("nxdomain", "ad")),
        ("x.dn.example", "A", ("noerror", "ad")),
        ("www.out.n3.example", "A", ("noerror", "-")),
        ("www.out.oo.example", "A", ("noerror", "-")),
        ("www.oo.example", "A", ("noerror", "ad")),
        ("x.wild.oo.example", "A", ("noerror", "-")),
        ("www.bogus.example", "A", ("servfail", "-")),
    ):
        assert tuple(shown(ask(resolvers.unbound[1], name, type_))[:2]) == status, (name, type_)


# ---- systemd-resolved, of which there is one on a machine: in a namespace, first in front of one and then of the other

RESOLVED = os.environ.get("SYSTEMD_RESOLVED", "/lib/systemd/systemd-resolved")
STUB = "127.0.0.53"
SPACE = """
set -e
ip link set lo up
ip link add out0 type veth peer name out1  # without a link of the outside it takes the network for down
ip link set out0 up
ip link set out1 up
ip address add 198.51.100.1/24 dev out0
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/systemd/resolve /run/dnssec-trust-anchors.d
for file in passwd group; do
    grep -v "^systemd-resolve:" /etc/$file > "$0/$file"
    mount --bind "$0/$file" /etc/$file
done
echo "systemd-resolve:x:991:991::/:/usr/sbin/nologin" >> /etc/passwd
echo "systemd-resolve:x:991:" >> /etc/group
chown 991:991 /run/systemd/resolve
mkdir -p "$0/systemd"
mount --bind "$0/systemd" /etc/systemd
exec "$@"
"""


def ask_resolved(folder: Path) -> list[dict[str, list[str]]]:
    """Run inside of the namespace: return what resolved says directly and through the server."""
    questions = [(name, type_) for name, type_ in QUESTIONS if "dn." not in name]  # whose targets it compresses
    said = []
    with ExitStack() as stack:
        running = Running(stack, folder)
        Path("/run/dnssec-trust-anchors.d/root.positive").write_text(f"{running.ds}\n")
        for below in (running.upstream, running.server):
            (folder / "systemd" / "resolved.conf").write_text(
                f"[Resolve]\nDNS={HOST}:{below}\nDomains=~.\nDNSSEC=allow-downgrade\nCache=no\n"
                "LLMNR=no\nMulticastDNS=no\nResolveUnicastSingleLabel=yes\n"
            )
            with ExitStack() as inner:
                running.start([RESOLVED], 53, STUB, inner)
                said.append({f"{name} {type_}": shown(ask(53, name, type_, host=STUB)) for name, type_ in questions})
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs root")
@pytest.mark.skipif(not Path(RESOLVED).exists(), reason="needs systemd-resolved (Debian: systemd-resolved)")
def test_resolved_validates_as_without_us(tmp_path: Path) -> None:
    program = f"""
import json, pathlib
from {__name__} import ask_resolved
print(json.dumps(ask_resolved(pathlib.Path({str(tmp_path)!r}))))
"""
    command = ["unshare", "-n", "-m", "bash", "-c", SPACE, str(tmp_path), sys.executable, "-c", program]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    direct, through = json.loads(done.stdout)
    assert {name: (direct[name], through[name]) for name in direct if direct[name] != through[name]} == {}
    assert direct["www.example A"][:2] == ["noerror", "ad"]
    assert direct["www.bogus.example A"][0] == "servfail"
