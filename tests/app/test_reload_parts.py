"""Other parts that follow a change of the configuration: certificates, the API's lists, further processes."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trustme

from dnsserver.zone.model import Kind
from tests.app.reloading import RELOADED, WEB, reloading
from tests.app.served_by_two import CLIENTS, NAME, OLD, PATIENCE, program
from tests.cluster import namespace, service
from tests.forward.scripted import helpful, upstream
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing
from tests.running import HOST, kubeconfig


def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("dns.test").configure_cert(made)
    return made


async def test_a_file_of_authorities_is_followed(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    old.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with upstream(helpful, tls=context(new)) as outside:
        text = f'upstreams = ["tls://{HOST}:{outside.port}#dns.test"]\n[forwarding]\nauthorities = "ca.pem"\n'
        async with reloading(tmp_path, text) as server:
            assert await server.said("one.test.") == "SERVFAIL"
            new.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
            line = await server.wait_says(RELOADED)
            assert (line["changed"], line["files"]) == ([], [str(tmp_path / "ca.pem")])
            assert await server.said("two.test.") == "192.0.2.1"
            connections = outside.connections
            other = trustme.CA()
            other.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
            await server.wait_says(RELOADED)
            assert await server.said("three.test.") == "SERVFAIL"  # its certificate has to be shown again
            assert outside.connections > connections


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        running.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        for name, tier in (("web", "front"), ("db", "back")):
            made = thing(name, namespace="shop", spec={"clusterIP": f"10.9.0.{len(name)}"})
            metadata = made["metadata"]
            assert isinstance(metadata, dict)
            metadata["labels"] = {"tier": tier}
            running.put(Kind.SERVICES, made)
        yield running


async def test_the_api_is_listed_again_only_if_a_selector_changed(tmp_path: Path, api: ApiServer) -> None:
    base = f'listen = ["{HOST}:0"]\nkubeconfig = "{kubeconfig(tmp_path, api)}"\n'
    text = "upstreams = []\n"
    async with reloading(tmp_path, text, base=base, objects=False) as server:
        assert await server.said(WEB) == "10.9.0.3"
        asked = len(api.requests)
        connections = api.connections
        await server.change(f"{text}ttl = 9\n[cache]\nttl_cap = 9\n[kubernetes]\ngrace = 0.5\npage_size = 7\n")
        assert await server.ttl() == 9
        assert (len(api.requests), api.connections) == (asked, connections)
        await server.change(f'{text}[kubernetes]\nlabels = "tier=back"\n')
        await server.until(lambda: len(api.requests) > asked)
        with trio.fail_after(10):
            while await server.said(WEB) != "NXDOMAIN":  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert await server.said("db.shop.svc.cluster.local.") == "10.9.0.2"
        assert server.server.ready
        if server.server.sync.client is not None:
            await server.server.sync.client.aclose()


@pytest.mark.slow
async def test_workers_follow_with_their_listeners(tmp_path: Path) -> None:
    async with program(tmp_path, namespace("shop"), service("web", OLD)) as running:
        before = running.workers()
        settings = tmp_path / "dnsserver.toml"
        usual = settings.read_text()
        fixed = '[[answer]]\nname = "fixed.test"\nrecords = ["A 192.0.2.9"]\n'
        assert await running.ask(name="fixed.test.") == ["REFUSED"] * CLIENTS
        settings.write_text(usual + fixed)
        with trio.fail_after(PATIENCE):
            while await running.ask(3, name="fixed.test.") != ["192.0.2.9"] * CLIENTS:  # noqa: ASYNC110
                await trio.sleep(0.1)
        settings.write_text(f"{usual}ttl = -1\n")
        with trio.fail_after(PATIENCE):
            while not await running.value("coredns_reload_failed_total"):  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert await running.ask(3, name="fixed.test.") == ["192.0.2.9"] * CLIENTS
        assert await running.ask(3, name=NAME) == [OLD] * CLIENTS
        assert running.workers() == before
