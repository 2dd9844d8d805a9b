"""The query log of the server as a user starts it: over UDP and TCP, with one process and with two."""

import json
import signal
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
import trio

from tests.app.started import Program, program
from tests.running import HOST

NONE, WEB = "none.shop.svc.cluster.local.", "web.shop.svc.cluster.local."
UNTIL = 20.0


async def ask(port: int, name: str, type_: str = "A", *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, type_, use_edns=0, payload=1232)
    reply: dns.message.Message = await (dns.asyncquery.tcp if tcp else dns.asyncquery.udp)(
        query, HOST, 5.0, port, backend=dns.asyncbackend.get_backend("trio")
    )
    return reply


def queries(run: Program) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in run.said.splitlines() if line.startswith(b"{")]
    return [entry for entry in entries if entry["event"] == "query"]


async def lines(run: Program, count: int) -> list[dict[str, Any]]:
    """Wait for so many lines, and then a moment for lines that should not come."""
    with trio.fail_after(UNTIL):
        while len(queries(run)) < count:  # noqa: ASYNC110 - another process writes them
            await trio.sleep(0.05)
    await trio.sleep(0.6)
    return queries(run)


async def port_of(run: Program) -> int:
    entry = await run.wait_says("serving")
    return int(entry["listen"][0].rpartition(":")[2])


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_failure_has_a_line_also_from_the_cache(tmp_path: Path, workers: int) -> None:
    async with program(tmp_path, "--workers", str(workers), text="[[query_log]]\nrate = 0\n") as run:
        port = await port_of(run)
        if workers > 1:
            await trio.sleep(2)  # the worker answers as well
        for _ in range(10):
            for tcp in (False, True):
                assert (await ask(port, NONE, tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
                assert (await ask(port, WEB, tcp=tcp)).rcode() == dns.rcode.NOERROR
        assert (await ask(port, "www.example.com.")).rcode() == dns.rcode.REFUSED
        found = await lines(run, 21)
    assert len(found) == 21
    assert {(one["name"], one["rcode"], one["reason"], one["client"]) for one in found} == {
        (NONE, "NXDOMAIN", "service-missing", HOST),
        ("www.example.com.", "REFUSED", "no-upstreams", HOST),
    }
    assert sum(one["protocol"] == "tcp" for one in found) == 10
    assert all(one["port"] and one["request"] > 40 and one["reply"] > 40 for one in found)
    assert all(0 <= one["seconds"] < 1 for one in found)


async def test_a_reload_changes_what_is_logged(tmp_path: Path) -> None:
    async with program(tmp_path) as run:
        port = await port_of(run)
        file = tmp_path / "dnsserver.toml"
        before = file.read_text()
        for _ in range(4):
            await ask(port, NONE)
            await ask(port, WEB)
        assert queries(run) == []
        for number, (classes, name) in enumerate(((["denial"], NONE), (["success"], WEB))):
            file.write_text(f"{before}\n[[query_log]]\nclasses = {json.dumps(classes)}\n")
            with trio.fail_after(UNTIL):
                while run.said.count(b'"configuration reloaded"') <= number:  # noqa: ASYNC110
                    await trio.sleep(0.05)
            await trio.sleep(0.1)
            for _ in range(4):
                await ask(port, NONE)
                await ask(port, WEB)
            found = await lines(run, 4 * (number + 1))
            assert [one["name"] for one in found[4 * number :]] == [name] * 4


async def test_a_log_that_nobody_reads_holds_up_no_answer(tmp_path: Path) -> None:
    async with program(tmp_path, text='[[query_log]]\nclasses = ["all"]\nrate = 0\n') as run:
        port = await port_of(run)
        run.stop_reading()
        for number in range(1500):
            with trio.fail_after(1):
                reply = await ask(port, f"n{number}-{'x' * 50}.shop.svc.cluster.local.")
            assert reply.rcode() == dns.rcode.NXDOMAIN
        run.process.send_signal(signal.SIGINT)


async def test_the_common_form_is_for_who_reads_coredns_s_log(tmp_path: Path) -> None:
    async with program(tmp_path, text='[[query_log]]\nformat = "common"\nclasses = ["all"]\n') as run:
        port = await port_of(run)
        await ask(port, NONE)
        await ask(port, WEB, tcp=True)
        with trio.fail_after(UNTIL):
            while run.said.count(b"[INFO]") < 2:  # noqa: ASYNC110
                await trio.sleep(0.05)
    one, other = [line.decode() for line in run.said.splitlines() if line.startswith(b"[INFO]")]
    assert '"A IN none.shop.svc.cluster.local. udp 56 false 1232" NXDOMAIN qr,aa,rd ' in one
    assert '"A IN web.shop.svc.cluster.local. tcp 55 false 65535" NOERROR qr,aa,rd ' in other
    assert float(one.rpartition(" ")[2].removesuffix("s")) < 1
