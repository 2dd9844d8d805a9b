"""A pod that asks the cluster's DNS, from the server's own image."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename

from tests import asking
from tests.real.kubectl import Object, kubectl

SPACE = "dnsserver-e2e"
NAME = "kubernetes.default.svc.cluster.local"
RATE = 200.0  # questions a second of each way
_BEFORE, _AFTER = 3.0, 5.0  # seconds of quiet before and after what is watched

# One question over UDP, as hexadecimal; what came back, likewise.
_ASK_ONCE = """
import socket, sys
for line in sys.stdin:
    with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((sys.argv[1], 53))
        client.send(bytes.fromhex(line))
        try:
            print(client.recv(65535).hex())
        except OSError:
            print()
"""


def objects(image: str) -> list[Object]:
    """The client, and services whose names are asked."""
    meta = {"namespace": SPACE, "labels": {"app": "client"}}
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    port = {"name": "web", "port": 80, "protocol": "TCP"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "name": "client"},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": SPACE, "name": name},
                "spec": {"selector": {"app": "client"}, "ports": [port], **spec},
            }
            for name, spec in {"headless": {"clusterIP": "None"}, "balanced": {}}.items()
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": SPACE, "name": "alias"},
            "spec": {"type": "ExternalName", "externalName": f"balanced.{SPACE}.svc.cluster.local"},
        },
    ]


def names(server: str) -> list[tuple[str, str]]:
    """What both servers have to answer alike; `server` is the IP of the cluster's DNS."""
    return [
        (NAME, "A"),
        (NAME, "TXT"),
        (f"_https._tcp.{NAME}", "SRV"),
        (f"headless.{SPACE}.svc.cluster.local", "A"),
        (f"headless.{SPACE}.svc.cluster.local", "SRV"),
        (f"balanced.{SPACE}.svc.cluster.local", "A"),
        (f"alias.{SPACE}.svc.cluster.local", "A"),
        (f"nobody.{SPACE}.svc.cluster.local", "A"),
        ("kubernetes.nowhere.svc.cluster.local", "A"),
        (f"10-1-2-3.{SPACE}.pod.cluster.local", "A"),
        (dns.reversename.from_address(server).to_text(), "PTR"),
    ]


def cluster_dns() -> str:
    """The server that kubelets write into the pods' resolv.conf."""
    lines = execute("cat", "/etc/resolv.conf").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("nameserver"))


def execute(*command: str, stdin: str = "") -> str:
    return kubectl("-n", SPACE, "exec", "-i", "client", "--", *command, stdin=stdin)


def ask(server: str, questions: Sequence[tuple[str, str]]) -> list[str]:
    """What a server says to each question: the rcode and the records, without TTLs and in order."""
    queries = "".join(f"{dns.message.make_query(*each).to_wire().hex()}\n" for each in questions)
    lines = execute("python", "-c", _ASK_ONCE, server, stdin=queries).splitlines()
    return [_said(bytes.fromhex(line)) if line else "no answer" for line in lines]


def _said(wire: bytes) -> str:
    reply = dns.message.from_wire(wire)
    records = sorted(
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {record}".lower()
        for rrset in reply.answer
        for record in rrset
    )
    return " | ".join([dns.rcode.to_text(reply.rcode()), *records])


def ttl(server: str, name: str = NAME) -> int:
    """The TTL of a name's answer."""
    query = dns.message.make_query(name, "A").to_wire().hex()
    reply = dns.message.from_wire(bytes.fromhex(execute("python", "-c", _ASK_ONCE, server, stdin=f"{query}\n").strip()))
    return int(reply.answer[0].ttl)


@contextmanager
def asking_all_along(server: str) -> Iterator[dict[str, Any]]:
    """Ask until the block ends; what became of it is in the dictionary then."""
    source = Path(asking.__file__).read_text()
    inside = ["python", "-c", source, server, "53", str(RATE), NAME]
    command = ["kubectl", "-n", SPACE, "exec", "-i", "client", "--", *inside]
    result: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(_BEFORE)
        yield result
        time.sleep(_AFTER)
        printed, _ = process.communicate(timeout=60)
    result.update(json.loads(printed))
    for name, way in result.items():  # `make e2e` shows it
        sys.stdout.write(f"{name}: lost {way['lost']}, wrong {way['wrong']} of {way['asked']}\n")


def lost(result: dict[str, Any]) -> dict[str, Any]:
    """The ways in which questions were lost or answered wrong.

    The flow of a kept socket moves on when the node deletes its connection-tracking entry. A reply that is on its way
    just then is lost, whoever answers: one a flow is let pass.
    """
    assert all(way["asked"] > 0 for way in result.values())
    let_pass = {"kept": asking.KEPT}
    return {name: way for name, way in result.items() if way["lost"] > let_pass.get(name, 0) or way["wrong"]}
