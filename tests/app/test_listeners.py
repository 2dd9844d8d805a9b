"""Addresses that are given up: how they end, and what comes after them."""

from pathlib import Path

import pytest
import trio

from dnsserver.app import listeners
from tests.app.reloading import WEB, reloading
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
