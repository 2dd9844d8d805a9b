"""The objects of which an answer is made."""

import pytest

from dnsserver.explain.origins import about, meant, name_of, sources
from dnsserver.wire.name import from_text
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Put
from dnsserver.zone.record import Key
from tests.cluster import decoded, endpoint, endpoints, namespace, service

DOMAIN = from_text("cluster.local")
THINGS = [
    namespace("shop"),
    service("web", "10.9.0.1"),
    service("later"),
    service("mail", external="www.example.com"),
    service("db"),
    *(endpoints("db", endpoint(f"10.1.0.{number}"), name=f"db-{number}") for number in range(1, 6)),
    endpoints("gone", "10.1.0.9"),
]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    made = Cluster(DOMAIN)
    for thing in THINGS:
        made.apply(Put(decoded(thing)), 0.0, 0.0)
    return made


@pytest.mark.parametrize(
    ("key", "text", "name"),
    [
        ((b"shop",), "Namespace shop", "Namespace shop"),
        ((b"other",), "no Namespace other", ""),
        ((b"shop", b"web"), "Service shop/web, ClusterIP 10.9.0.1", "Service shop/web"),
        ((b"shop", b"mail"), "Service shop/mail, ExternalName www.example.com", "Service shop/mail"),
        (
            (b"shop", b"later"),
            "Service shop/later, headless: 0 ready addresses, no EndpointSlice",
            "Service shop/later",
        ),
        (
            (b"shop", b"db"),
            "Service shop/db, headless: 5 ready addresses in EndpointSlice db-1, db-2, db-3, db-4 and 1 more",
            "Service shop/db",
        ),
        ((b"shop", b"none"), "no Service shop/none", ""),
        ((b"shop", b"gone"), "no Service shop/gone, though EndpointSlices for it exist (1)", ""),
        (bytes((10, 9, 0, 1)), "10.9.0.1 is ClusterIP of Service shop/web", "Service shop/web"),
        (bytes((10, 1, 0, 2)), "10.1.0.2 is endpoint of Service shop/db", "Service shop/db"),
        (bytes((10, 0, 0, 0)), "no Service has the address 10.0.0.0", ""),
    ],
)
def test_what_a_key_stands_for(cluster: Cluster, key: Key, text: str, name: str) -> None:
    (found,) = sources(cluster.index, [key])
    assert (found.kind, found.text, found.object) == ("cluster", text, name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.shop.svc.cluster.local", (b"web", b"shop", ())),
        ("_http._tcp.web.shop.svc.cluster.local", (b"web", b"shop", (b"_http", b"_tcp"))),
        ("shop.svc.cluster.local", None),
        ("web.shop.pod.cluster.local", None),
        ("web.shop.svc.example", None),
    ],
)
def test_which_service_a_name_names(name: str, expected: tuple[bytes, bytes, tuple[bytes, ...]] | None) -> None:
    found = meant(from_text(name), DOMAIN)
    assert found == expected
    if found is not None:
        assert name_of(*found, DOMAIN) == name


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([], ("", "")),
        ([(b"shop",)], ("shop", "")),
        ([(b"shop",), (b"shop", b"web")], ("shop", "web")),
        ([(b"shop", b"mail"), (b"other", b"web")], ("other", "web")),  # where a chain leads to
        ([(b"shop",), bytes(4)], ("shop", "")),
        ([bytes(4)], ("", "")),
    ],
)
def test_what_an_answer_is_about(keys: list[Key], found: tuple[str, str]) -> None:
    assert about(keys) == found
