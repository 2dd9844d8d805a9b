"""What the API server says of itself, and what follows for lists."""

import pytest

from dnsserver.kube import errors
from dnsserver.kube.discovery import groups, lists_best_by_pages
from dnsserver.zone.model import Kind
from tests.kube.apiserver import ApiServer
from tests.kube.support import mirroring, thing, wait_for


@pytest.mark.parametrize(
    ("version", "by_pages"),
    [
        ("1.27", False),
        ("1.33", False),
        ("1.33+", False),
        ("1.34", True),
        ("1.34+", True),
        ("1.36-eks-1", True),
        ("2.0", True),
        ("", False),
        ("one.two", False),
        ("1.", False),
    ],
)
async def test_lists_are_read_the_way_that_costs_least(server: ApiServer, version: str, by_pages: bool) -> None:
    server.version = version
    server.put(Kind.SERVICES, thing("web"))
    async with mirroring(server) as mirror:
        await mirror.wait_equal()
        await wait_for(lambda: server.streams(Kind.SERVICES))
        assert await lists_best_by_pages(mirror.client) is by_pages
        assert mirror.reflector.statistics().streaming is not by_pages
    assert [each.verb for each in server.requests][:1] == ["list" if by_pages else "watch"]


async def test_a_server_that_does_not_tell_its_version(server: ApiServer) -> None:
    server.version = "1.36"
    async with mirroring(server) as mirror:
        await mirror.wait_equal()
        server.stop()
        assert not await lists_best_by_pages(mirror.client)
        with pytest.raises(errors.ApiError):
            await groups(mirror.client)
        server.start()


async def test_groups(server: ApiServer) -> None:
    async with mirroring(server) as mirror:
        assert await groups(mirror.client) == {"apps", "discovery.k8s.io"}
        server.groups = []
        assert await groups(mirror.client) == set()
