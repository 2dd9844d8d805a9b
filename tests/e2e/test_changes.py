"""A change in the API is in the very next answer, whatever was asked and kept just before."""

import random
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import trio

from dnsserver.zone.model import Event, Kind, Put, Remove
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing
from tests.running import ask_tcp, ask_udp, config, kubeconfig, port_of, running

CHANGES = 200
NAMES = 12


async def test_no_stale_answer_in_200_changes(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with serving(ApiServer()) as api:
        api.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        settings = config(kubeconfig=kubeconfig(tmp_path, api))
        async with running(settings) as server:
            port = port_of(server)
            applied: list[tuple[str, str]] = []
            arrived = trio.Event()

            def hear(event: Event) -> None:
                if isinstance(event, Put):
                    applied.append((event.object.metadata.name, event.object.metadata.resource_version))
                elif isinstance(event, Remove):
                    applied.append((event.name, ""))
                arrived.set()

            server.sync.listeners.append(hear)
            expected: dict[str, str | None] = dict.fromkeys(f"svc-{number}" for number in range(NAMES))
            stale = positive = negative = 0
            for change in range(CHANGES):
                # Everything is asked, and so is kept, before each change.
                for name, address in (await ask_all(port, list(expected))).items():
                    stale += address != expected[name]
                    positive += address is not None
                    negative += address is None
                name = rng.choice(list(expected))
                applied.clear()
                if expected[name] is not None and rng.random() < 0.4:
                    expected[name] = None
                    api.delete(Kind.SERVICES, "shop", name)
                else:
                    expected[name] = f"10.0.{change >> 8}.{change & 255}"
                    api.put(Kind.SERVICES, thing(name, spec={"clusterIP": expected[name]}))
                with trio.fail_after(10):
                    while name not in {changed for changed, _ in applied}:
                        await arrived.wait()
                        arrived = trio.Event()
                stale += (await ask_all(port, [name]))[name] != expected[name]
                stale += (await ask_all(port, [name], tcp=True))[name] != expected[name]
    assert stale == 0
    assert positive > CHANGES
    assert negative > CHANGES


async def ask_all(port: int, names: list[str], *, tcp: bool = False) -> dict[str, str | None]:
    """Return the address of each service, None for one that does not exist."""
    questions = [dns.message.make_query(f"{name}.shop.svc.cluster.local", "A").to_wire() for name in names]
    found: dict[str, str | None] = {}
    for name, wire in zip(names, await (ask_tcp if tcp else ask_udp)(port, questions), strict=True):
        reply = dns.message.from_wire(wire)
        rdatas = [rdata for rrset in reply.answer for rdata in rrset]
        assert reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
        assert (reply.rcode() == dns.rcode.NXDOMAIN) == (not rdatas)
        found[name] = rdatas[0].to_text() if rdatas else None
    return found
