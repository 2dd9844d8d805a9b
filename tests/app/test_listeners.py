"""Addresses that are given up: how they end, and what comes after them."""

from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from dnsserver.app import listeners
from dnsserver.metrics.exposition import expose
from tests.app.reloading import WEB, Reloading, reloading
from tests.free_port import free_port
from tests.running import HOST

NOBODY = "upstreams = []\nlisten = "
QUESTIONS = 50


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_address_is_closed_once_its_last_packets_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tcp: bool
) -> None:
    """However long the process takes for it; and until then nothing new is opened beside it."""
    monkeypatch.setattr(listeners, "LINGER", 1.0)
    said: list[str] = []
    async with reloading(tmp_path, f'{NOBODY}["{HOST}:0"]\n', base="") as server:
        present = server.server.dns.listeners.all
        (old,) = present
        port = old.address.port
        await server.change(f'{NOBODY}["0.0.0.0:{port}"]\n')
        rest = old.tcp.rest if tcp else old.udp.rest
        rest(True)

        async def ask() -> None:
            said.append(await server.said(WEB, port=port, tcp=tcp))

        async def back() -> None:
            await server.change(f'{NOBODY}["{HOST}:{port}"]\n')
            assert old not in present

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await server.until(lambda: old.is_spent)
            nursery.start_soon(back)
            await trio.sleep(0.4)
            assert old in present
            rest(False)
        for _ in range(QUESTIONS):
            await ask()
    assert said == ["10.9.0.1"] * (1 + QUESTIONS)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def counters(server: Reloading) -> Samples:
    """Return every sample that may only grow."""
    text = expose(await server.server.collector.readings()).body.decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in {"counter", "histogram"}
        for sample in family.samples
    }


async def test_what_an_address_has_counted_stays_when_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LINGER", 0.1)
    first, second = free_port(), free_port()
    both, one = f'{NOBODY}["{HOST}:{first}", "{HOST}:{second}"]\n', f'{NOBODY}["{HOST}:{first}"]\n'
    async with reloading(tmp_path, both, base="") as server:
        dns = server.server.dns
        asked = 0

        async def ask() -> None:
            nonlocal asked
            for tcp in (False, True):
                for name in (WEB, WEB, WEB, "none.shop.svc.cluster.local."):
                    await server.said(name, port=second, tcp=tcp)
                    asked += 1

        def told(now: Samples, name: str) -> float:
            return sum(value for (sample, _), value in now.items() if sample == name)

        for _ in range(2):
            await ask()
            before, packets = await counters(server), dns.asked()
            await server.change(one)
            await server.until(lambda: len(dns.udp) == 1)
            after = await counters(server)
            assert {sample: value for sample, value in before.items() if after.get(sample, -1) < value} == {}
            assert sum(process.asked for process in await server.server.collector.processes()) >= packets
            for name in ("coredns_dns_requests_total", "dnsserver_answers_total", "dnsserver_udp_received_total"):
                assert told(after, name) == told(before, name)
            assert (
                told(after, "dnsserver_namespace_questions_total") == told(after, "coredns_dns_requests_total") == asked
            )
            assert told(after, "dnsserver_reply_cache_hits_total") > 0
            await server.change(both)
