"""CoreDNS and this server beside each other: the same Corefile, cluster and outside, the same questions.

Everything is on loopback: the two servers, and the upstreams of the Corefile. The answers of an upstream tell which
`forward` line it stands in.
"""

import base64
import hashlib
import json
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

from dnsserver.zone.model import Kind
from tests.kube.apiserver import ApiServer

OBJECTS = Path(__file__).parents[1] / "conformance" / "objects.json"
THEIRS, OURS, OUTSIDE = "127.0.77.2", "127.0.77.3", "127.0.77.53"
KINDS = {
    "Namespace": Kind.NAMESPACES,
    "Service": Kind.SERVICES,
    "EndpointSlice": Kind.ENDPOINTSLICES,
    "Pod": Kind.PODS,
}
_PATIENCE = 20.0  # seconds
_ADDRESS = re.compile(r"(?<![\w.])(\d+\.\d+\.\d+\.\d+)(?![\w.-])")
_TTL = 300


def why_not() -> str:
    """Return why nothing can be compared here, empty if it can."""
    if shutil.which("coredns") is None:
        return "no coredns on PATH"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((OURS, 53))
        except OSError as error:
            return f"port 53 of {OURS} cannot be had: {error.strerror}"
    return ""


class NumberedUpstream:
    """An upstream for both servers, in threads beside the test; its `number` in an answer tells that it was asked."""

    def __init__(self, address: str, port: int, number: int) -> None:
        self._number = number
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._udp.bind((address, port))
        self._tcp.bind((address, port))
        self._tcp.listen()
        self._open: set[socket.socket] = set()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        for sock in (self._udp, self._tcp, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                packet, client = self._udp.recvfrom(4096)
                if not packet:  # it was shut down
                    return
                self._udp.sendto(self._reply(packet), client)

    def _serve_tcp(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve_stream, args=(connection,), daemon=True).start()

    def _serve_stream(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while head := stream.read(2):
                reply = self._reply(stream.read(struct.unpack("!H", head)[0]))
                connection.sendall(struct.pack("!H", len(reply)) + reply)

    def _reply(self, packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        reply = dns.message.make_response(query, recursion_available=True)
        name, rtype = query.question[0].name, query.question[0].rdtype
        first = name.labels[0].lower()
        if first == b"broken":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif first in {b"missing", b"empty"} or len(name) < 2:
            reply.set_rcode(dns.rcode.NXDOMAIN if first == b"missing" else dns.rcode.NOERROR)
            soa = "ns.example.net. hostmaster.example.net. 1 7200 1800 86400 60"
            zone = name.parent() if len(name) > 1 else name
            reply.authority.append(dns.rrset.from_text(zone, 60, "IN", "SOA", soa))
        elif first == b"tocorp" and rtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
            target = dns.name.from_text("host.corp.example")
            reply.answer.append(dns.rrset.from_text(name, _TTL, "IN", "CNAME", target.to_text()))
            reply.answer.append(
                dns.rrset.from_text(target, _TTL, "IN", dns.rdatatype.to_text(rtype), self._data(rtype))
            )
        elif first == b"bare" and rtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
            reply.answer.append(dns.rrset.from_text(name, _TTL, "IN", "CNAME", "host.elsewhere.example."))
        elif first == b"alias" and rtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
            self._alias(reply, "target.example.net.")
        elif self._data(rtype):
            data = self._data(rtype)
            reply.answer.append(dns.rrset.from_text(name, _TTL, "IN", dns.rdatatype.to_text(rtype), data))
        return reply.to_wire(max_size=65535)

    def _alias(self, reply: dns.message.Message, target: str) -> None:
        """Answer with a CNAME and the record of its target."""
        name, rtype = reply.question[0].name, reply.question[0].rdtype
        reply.answer.append(dns.rrset.from_text(name, _TTL, "IN", "CNAME", target))
        reply.answer.append(dns.rrset.from_text(target, _TTL, "IN", dns.rdatatype.to_text(rtype), self._data(rtype)))

    def _data(self, rtype: int) -> str:
        number = self._number
        return {
            dns.rdatatype.A: f"192.0.2.{number}",
            dns.rdatatype.AAAA: f"2001:db8::{number:x}",
            dns.rdatatype.TXT: f'"asked {number}"',
            dns.rdatatype.MX: f"10 mail-{number}.example.net.",
            dns.rdatatype.PTR: f"host-{number}.example.net.",
            dns.rdatatype.NS: f"ns-{number}.example.net.",
        }.get(dns.rdatatype.RdataType(rtype), "")


class Cluster:
    """An API server in a thread of its own, with the objects of the conformance tests."""

    def __init__(self, folder: Path) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self._server = ApiServer()
        for thing in json.loads(OBJECTS.read_text())["items"]:
            self._server.put(KINDS[thing["kind"]], thing)
        self._up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,), daemon=True)
        self._thread.start()
        assert self._up.wait(_PATIENCE)

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with trio.open_nursery() as nursery:
            await nursery.start(self._server.run)
            self.kubeconfig.write_text(json.dumps(self._config()))
            self._up.set()
            await self._end.wait()
            nursery.cancel_scope.cancel()

    def _config(self) -> dict[str, object]:
        authority = base64.b64encode(self._server.ca.encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [
                {"name": "c", "cluster": {"server": self._server.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "u", "user": {"token": self._server.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }

    def close(self) -> None:
        self._token.run_sync_soon(self._end.set)
        self._thread.join(_PATIENCE)


Place = tuple[str, int, int]  # an upstream's address and port, and the number of its answers


def on_loopback(text: str, kubeconfig: Path, resolvconf: Path) -> tuple[str, set[Place]]:
    """Return a Corefile for this machine, with its upstreams on loopback, and the places of these upstreams.

    The upstreams of one `forward` line give the same answers, as CoreDNS chooses one of them at random.
    """
    places: set[Place] = set()

    def local(found: re.Match[str]) -> str:
        return f"127.0.77.{100 + int(hashlib.sha256(found[1].encode()).hexdigest(), 16) % 150}"

    lines = []
    for line in text.splitlines():
        words = line.split()
        plugin = words[0] if words else ""
        changed = line
        if plugin == "forward":
            changed = _ADDRESS.sub(local, line).replace("/etc/resolv.conf", str(resolvconf))
            hosts = [word.partition(":") for word in changed.split()[2:] if word.startswith("127.")]
            places |= {(host, int(port or 53), int(hosts[0][0].rpartition(".")[2])) for host, _, port in hosts}
        elif plugin in {"prometheus", "ready"}:
            changed = f"    {plugin} {THEIRS}:{ {'prometheus': 9153, 'ready': 8181}[plugin] }"
        elif plugin == "health":
            changed = f"    health {THEIRS}:8080{' {' if line.endswith('{') else ''}"
        elif plugin == "bind":
            changed = ""
        elif line and not line[0].isspace() and line[0] not in "}#(":
            changed = re.sub(r":\d+\b", ":53", line)
        lines.append(changed)
        if plugin == "kubernetes" and line.endswith("{"):
            lines.append(f"        kubeconfig {kubeconfig}")
    return "\n".join(lines) + "\n", places


@contextmanager
def both(corefile: Path, folder: Path) -> Iterator[str]:
    """Start both servers with one Corefile; yield the messages of the import."""
    with ExitStack() as stack:
        cluster = Cluster(folder)
        stack.callback(cluster.close)
        resolvconf = folder / "resolv.conf"
        resolvconf.write_text(f"nameserver {OUTSIDE}\n")
        text, places = on_loopback(corefile.read_text(), cluster.kubeconfig, resolvconf)
        shutil.copytree(corefile.parent / "extra", folder / "extra")
        for path in (folder / "extra").iterdir():
            changed, more = on_loopback(path.read_text(), cluster.kubeconfig, resolvconf)
            if "forward" in changed:
                path.write_text(changed)
            places |= more
        for host, port, number in {(OUTSIDE, 53, 53), *places}:
            stack.callback(NumberedUpstream(host, port, number).close)
        (folder / "Corefile").write_text(text)
        imported = _import(folder / "Corefile")
        (folder / "dnsserver.toml").write_text(imported.stdout)
        (folder / "theirs").mkdir()
        shutil.copytree(folder / "extra", folder / "theirs" / "extra")
        for path in (folder / "theirs" / "extra").glob("*.server"):
            path.write_text(_bound(path.read_text()))
        (folder / "theirs" / "Corefile").write_text(_bound(text))
        command = ["coredns", "-conf", "Corefile"]
        stack.enter_context(_program(command, folder / "theirs", THEIRS, folder / "theirs.log"))
        ours = ["serve", "--config=dnsserver.toml", f"--kubeconfig={cluster.kubeconfig}", f"--admin={OURS}:8053"]
        command = [*_PYTHON, *ours, f"--listen={OURS}:53"]
        stack.enter_context(_program(command, folder, OURS, folder / "ours.log"))
        yield imported.stderr


def _bound(text: str) -> str:
    """Return a Corefile in which every block listens on one address.

    The multicluster zone is left out: CoreDNS would wait for it until the API server knows ServiceImports.
    """
    text = re.sub(r" clusterset\.local( in-addr)|^\s+multicluster .*$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"^([^\s(].*\{)$", rf"\1\n    bind {THEIRS}", text, flags=re.MULTILINE)


_PYTHON = [sys.executable, "-m", "dnsserver"]


def _import(path: Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*_PYTHON, "import-corefile", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@contextmanager
def _program(command: Sequence[str], folder: Path, host: str, log: Path) -> Iterator[None]:
    """Run a server; the block begins when it answers for the cluster."""
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    try:
        ends = monotonic() + _PATIENCE
        while not _answers(host):
            assert process.poll() is None, log.read_text()
            assert monotonic() < ends, log.read_text()
        yield
    finally:
        process.kill()
        process.wait()


def _answers(host: str) -> bool:
    query = dns.message.make_query("web.edge.svc.cluster.local", "A")
    try:
        return dns.query.udp(query, host, timeout=1).rcode() == dns.rcode.NOERROR
    except (OSError, dns.exception.DNSException):
        sleep(0.05)
        return False


def ask(host: str, name: str, rtype: str) -> dns.message.Message:
    """Return the reply of a server, over TCP if it does not fit into UDP."""
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
    reply, _ = dns.query.udp_with_fallback(query, host, timeout=6)
    return reply
