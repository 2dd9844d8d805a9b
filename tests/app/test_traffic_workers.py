"""Which client asks what, if several processes answer: the first process reports for all of them."""

import sys
from pathlib import Path

import msgspec
import pytest

from dnsserver.traffic.report import FailureList, Top
from tests.app.served_by_two import CLIENTS, NAME, OLD, Program, program, things, until


async def _top(running: Program) -> Top:
    return msgspec.json.decode(await running.get("/top?window=5"), type=Top)


async def _have_been_counted(running: Program, questions: int) -> bool:
    top = await _top(running)
    return top.clients is not None and top.clients.total == questions


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_what_was_asked_of_either_process_is_counted_once(tmp_path: Path) -> None:
    async with program(tmp_path, *things(OLD)) as running:
        for _ in range(3):
            assert set(await running.ask()) == {OLD}
        assert set(await running.ask(name="none.shop.svc.cluster.local.")) == {"NXDOMAIN"}
        await until(lambda: _have_been_counted(running, 4 * CLIENTS))
        top = await _top(running)
        failures = msgspec.json.decode(await running.get("/failures"), type=FailureList)
    assert top.server.processes == 2
    assert top.names is not None
    assert [(row.name, row.count) for row in top.names.items] == [
        (NAME, 3 * CLIENTS),
        ("none.shop.svc.cluster.local.", CLIENTS),
    ]
    assert top.missing is not None
    assert [(row.name, row.count, row.reason) for row in top.missing.items] == [
        ("none.shop.svc.cluster.local.", CLIENTS, "service-missing")
    ]
    (failure,) = failures.items
    assert (failure.name, failure.reason) == ("none.shop.svc.cluster.local.", "service-missing")
    assert 2 <= failure.count <= CLIENTS  # each process tells of those that it had to make
