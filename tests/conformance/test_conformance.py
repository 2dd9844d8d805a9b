"""Every recorded question asked of a served `objects.json`: what differs from CoreDNS 1.14.7 is a numbered correction.

Each question is asked twice, so that the reply cache's answers are compared as well, over TCP and over UDP with EDNS,
with the objects from a file and from an API server. `pytest -rP tests/conformance` shows the figures.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import dns.message
import pytest
import trio.testing

from dnsserver.config import Network
from dnsserver.zone.model import Kind
from tests.conformance.corrections import Book, expected
from tests.conformance.recorded import OBJECTS, Facts, Row, Said, read, rows
from tests.forward.scripted import upstream
from tests.kube.apiserver import ApiServer, serving
from tests.running import ask_tcp, ask_udp, config, kubeconfig, port_of, running, upstream_at
from tests.upstream import answering_from

UDP_SIZE = 1232
_A_RECORD = 64  # octets: more than any single record here takes
_KINDS = {
    "Namespace": Kind.NAMESPACES,
    "Service": Kind.SERVICES,
    "EndpointSlice": Kind.ENDPOINTSLICES,
    "Pod": Kind.PODS,
}
Ask = Callable[[int, Sequence[bytes]], Coroutine[Any, Any, list[bytes]]]


@pytest.fixture(scope="module")
def facts() -> Facts:
    return Facts()


@pytest.mark.parametrize("source", ["files", "api"])
@pytest.mark.parametrize("mode", ["verified", "insecure"])
async def test_every_difference_is_a_correction(
    mode: str, source: str, facts: Facts, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    # `mock_clock` stands still, and so the TTLs that come from outside stay as they were recorded.
    recorded = rows(f"{mode}.jsonl")
    # The rows that differ with `insecure` are few; what the rest of the names are, the others say.
    book = Book([*rows("verified.jsonl"), *recorded], facts, verified=mode == "verified")
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(upstream(answering_from()))
        settings: dict[str, Any] = {
            "pods": mode,
            "upstreams": upstream_at(outside.port),
            "reverse_zones": (Network("0.0.0.0/0"), Network("::/0")),  # as in-addr.arpa and ip6.arpa were CoreDNS's
        }
        if source == "files":
            settings["objects"] = OBJECTS
        else:
            api = await stack.enter_async_context(serving(_api_of(facts)))
            settings["kubeconfig"] = kubeconfig(tmp_path, api)
        server = await stack.enter_async_context(running(config(**settings)))
        for transport, ask in (("TCP", ask_tcp), ("UDP", ask_udp)):
            await _compare(f"{mode}, {source}, {transport}", ask, port_of(server), recorded, book)


async def _compare(title: str, ask: Ask, port: int, recorded: list[Row], book: Book) -> None:
    packets = [dns.message.make_query(row.q, row.t, use_edns=0, payload=UDP_SIZE).to_wire() for row in recorded]
    first, again = await ask(port, packets), await ask(port, packets)
    figures: Counter[str] = Counter()
    unexplained = []
    for row, *wires in zip(recorded, first, again, strict=True):
        number, right = expected(row, book)
        for wire in wires:
            said, short = read(row, wire)
            if not _agree(said, right, short=short, size=len(wire)):
                unexplained.append(f"{row.q} {row.t}: {said}, but {right} is right (correction {number})")
        cut = " (cut short for UDP)" if short else ""
        figures[(f"correction {number:2}" if right != row.said else "equal") + cut] += 1
    figures_text = ", ".join(f"{name}: {count}" for name, count in sorted(figures.items(), reverse=True))
    print(f"{title}: asked: {len(recorded)}, {figures_text}, unexplained: {len(unexplained)}")  # noqa: T201
    assert not unexplained, "\n".join(unexplained[:20])


def _agree(said: Said, right: Said, *, short: bool, size: int) -> bool:
    """Compare an answer with the right one; what UDP has no room for may be missing, from the end and only then."""
    if said == right:
        return not short
    if (said.rcode, said.aa, said.soa) != (right.rcode, right.aa, right.soa) or size + _A_RECORD < UDP_SIZE:
        return False
    if short:
        return set(said.an) < set(right.an) and not said.ar
    return said.an == right.an and set(said.ar) < set(right.ar)


def _api_of(facts: Facts) -> ApiServer:
    api = ApiServer()
    for item in facts.items:
        api.put(_KINDS[item["kind"]], item)
    return api
