"""Change to answer: an object written to the API is in the next answer after its watch event was read."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import dns.message
import dns.rcode
import dns.reversename
import pytest
import trio

from dnsserver.config import Network
from dnsserver.config.model import Kubernetes
from dnsserver.zone.model import Event, Kind, Put, Remove
from tests.cluster import endpoints, namespace, service
from tests.kube.apiserver import ApiServer, serving
from tests.running import ask_tcp, ask_udp, config, kubeconfig, port_of, running

CHANGES = 200
ZONE = "svc.cluster.local."
PORTS = [("http", "TCP", 80)]


class Applied:
    """Waits until an event has been applied to the zone, by what identifies it."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._wake = trio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Put):
            self._seen.add((event.object.metadata.name, event.object.metadata.resource_version))
        elif isinstance(event, Remove):
            self._seen.add((event.name, "removed"))
        self._wake.set()
        self._wake = trio.Event()

    async def wait(self, name: str, version: str) -> None:
        with trio.fail_after(10):
            while (name, version) not in self._seen:
                await self._wake.wait()
        self._seen.discard((name, version))


class World:
    """What the API holds of eight services, and what their names have to be answered with."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.addresses: dict[str, str] = {}
        self.endpoints: dict[str, list[str]] = {}
        self._random = random.Random(20)
        self._number = 0

    def change(self) -> tuple[str, str]:
        """Create, change or delete something; return the name and the version that tell when it has arrived."""
        name = f"s{self._random.randrange(8)}"
        self._number += 1
        if name in self.addresses and self._random.random() < 0.3:
            del self.addresses[name]
            self.api.delete(Kind.SERVICES, "shop", name)
            return name, "removed"
        if self._random.random() < 0.4:
            ready = [f"10.1.{self._number % 250}.{n}" for n in range(1, self._random.randrange(2, 5))]
            self.endpoints[f"{name}-1"] = ready
            return f"{name}-1", str(self.api.put(Kind.ENDPOINTSLICES, endpoints(name, *ready, ports=PORTS)).version)
        self.addresses[name] = f"10.96.{self._number % 250}.{self._random.randrange(1, 250)}"
        return name, str(self.api.put(Kind.SERVICES, service(name, self.addresses[name], ports=PORTS)).version)

    def truth(self) -> dict[tuple[str, str], set[str]]:
        """Return what the questions of this moment are answered with; nothing for NXDOMAIN."""
        found: dict[tuple[str, str], set[str]] = {}
        for number in range(8):
            name = f"s{number}"
            address = self.addresses.get(name)
            found[f"{name}.shop.{ZONE}", "A"] = {address} if address else set()
            found[f"_http._tcp.{name}.shop.{ZONE}", "SRV"] = {f"0 100 80 {name}.shop.{ZONE}"} if address else set()
            if address:
                found[reverse(address), "PTR"] = {f"{name}.shop.{ZONE}"}
            for each in self.endpoints.get(f"{name}-1", ()):
                label = each.replace(".", "-")
                found[f"{label}.{name}.shop.{ZONE}", "A"] = {each} if address else set()
                found[reverse(each), "PTR"] = {f"{label}.{name}.shop.{ZONE}"} if address else set()
        return found


def reverse(address: str) -> str:
    return dns.reversename.from_address(address).to_text()


@cache
def packet(name: str, type_: str) -> bytes:
    return dns.message.make_query(name, type_).to_wire()


async def asked(
    port: int, questions: Sequence[tuple[str, str]], *, tcp: bool = False
) -> dict[tuple[str, str], set[str]]:
    wires = await (ask_tcp if tcp else ask_udp)(port, [packet(*question) for question in questions])
    found = {}
    for question, wire in zip(questions, wires, strict=True):
        reply = dns.message.from_wire(wire)
        found[question] = {rdata.to_text() for rrset in reply.answer for rdata in rrset}
        assert reply.rcode() == (dns.rcode.NOERROR if reply.answer else dns.rcode.NXDOMAIN), question
    return found


@pytest.mark.slow
async def test_a_change_is_in_the_next_answer(tmp_path: Path) -> None:
    api = ApiServer()
    api.put(Kind.NAMESPACES, namespace("shop"))
    world, applied = World(api), Applied()
    stale: list[str] = []
    async with serving(api):
        settings = config(
            kubeconfig=kubeconfig(tmp_path, api),
            reverse_zones=(Network("10.0.0.0/8"),),
            kubernetes=Kubernetes(grace=0.0),
        )
        async with running(settings) as server:
            server.sync.listeners.append(applied)
            port = port_of(server)
            before = world.truth()
            for number in range(CHANGES):
                # Asked twice, so that what does not exist is in the cache as well.
                await (ask_tcp if number % 2 else ask_udp)(port, [packet(*question) for question in before])
                assert await asked(port, list(before), tcp=bool(number % 2)) == before
                change = world.change()
                now = world.truth()
                gone: dict[tuple[str, str], set[str]] = {question: set() for question in before.keys() - now.keys()}
                await applied.wait(*change)
                right = {**now, **gone}
                answers = await asked(port, list(right), tcp=bool(number % 2))
                stale += [f"change {number}, {change}: {q}: {answers[q]}" for q in right if answers[q] != right[q]]
                before = {**now, **dict(list(gone.items())[:4])}
    print(f"changes: {CHANGES}, stale answers: {len(stale)}")  # noqa: T201 - `pytest -rP` shows the figure
    assert not stale, "\n".join(stale[:10])
