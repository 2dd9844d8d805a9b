"""A name explained by a server: who asks, what is asked, what is answered and why, and the verdict."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dnsserver.app.explainer import WantedError
from dnsserver.explain.text import lines
from tests.app.explaining import Explaining, explaining
from tests.cluster import endpoint, endpoints, namespace, service
from tests.forward.scripted import Query, upstream
from tests.upstream import answering_from

THINGS = [
    namespace("shop"),
    namespace("default"),
    namespace("kube-system"),
    service("web", "10.9.0.1", ports=[("http", "TCP", 80)]),
    service("payments", "10.9.0.2", "fd00:9::2"),
    service("db"),
    endpoints("db", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", ready=False), ports=[("pg", "TCP", 5432)]),
    service("empty"),
    endpoints("empty", endpoint("10.1.0.3", ready=False)),
    service("broken-db"),
    endpoints("broken-db", endpoint("10.1.0.4", ready=False)),
    service("broken-alias", external="nobody.shop.svc.cluster.local"),
    service("mail", external="www.example.com"),
    service("kube-dns", "10.96.0.10", namespace="kube-system"),
]
SHOP = "shop.svc.cluster.local."
NO_SERVICE = "there is no such Service in the namespace"
NO_NAMESPACE = "there is no such namespace"
FEWER_DOTS = "musl uses the search list only for names with fewer dots than ndots"


async def script(query: Query) -> None:
    """Answer from the zone of an upstream, but for a few names."""
    if query.name.lower().startswith("broken"):
        await query.send(query.reply(rcode=2))
    elif not query.name.lower().startswith("silent."):
        await answering_from()(query)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Explaining]:
    async with upstream(script) as outside, explaining(tmp_path, THINGS, port=outside.port) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "client", "resolves", "verdict"),
    [
        ("web", {"namespace": "shop"}, True, f"web resolves as web.{SHOP} to 10.9.0.1"),
        ("web.shop", {}, True, f"web.shop resolves as web.{SHOP} to 10.9.0.1"),
        ("payments.shop", {}, True, f"payments.shop resolves as payments.{SHOP} to 10.9.0.2, fd00:9::2"),
        (f"web.{SHOP}", {}, True, f"web.{SHOP} resolves to 10.9.0.1"),
        ("WEB", {"namespace": "shop"}, True, f"WEB resolves as web.{SHOP} to 10.9.0.1"),
        ("www.example.com", {}, True, "www.example.com resolves to 192.0.2.80, 2001:db8::80"),
        ("mail.shop", {}, True, f"mail.shop resolves as mail.{SHOP} to 192.0.2.80, 2001:db8::80"),
        (
            "wbe",
            {"namespace": "shop"},
            False,
            f"wbe does not resolve: wbe.{SHOP} A: {NO_SERVICE}. Did you mean web.{SHOP[:-1]}?",
        ),
        (
            "web",
            {},
            False,
            f"web does not resolve: web.default.svc.cluster.local. A: {NO_SERVICE}. Did you mean web.{SHOP[:-1]}?",
        ),
        (
            "web.shpo",
            {},
            False,
            f"web.shpo does not resolve: web.shpo.svc.cluster.local. A: {NO_NAMESPACE}. Did you mean web.{SHOP[:-1]}?",
        ),
        (
            "nobody.example.com",
            {},
            False,
            "nobody.example.com does not resolve: nobody.example.com. A: the upstream says that there is no such name",
        ),
        (
            "empty.shop",
            {},
            False,
            f"empty.shop does not resolve: empty.{SHOP} A: none of 1 endpoints is ready",
        ),
        ("other.shop", {}, False, f"other.shop does not resolve: other.{SHOP} A: {NO_SERVICE}"),
        (
            "empty.shop",
            {"type": "SRV"},
            False,
            f"empty.shop does not resolve: empty.{SHOP} SRV: none of 1 endpoints is ready",
        ),
        (
            "broken-db.shop",
            {},
            False,
            f"broken-db.shop does not resolve: broken-db.{SHOP} A: none of 1 endpoints is ready",
        ),
        (
            "broken-alias.shop",
            {},
            False,
            f"broken-alias.shop does not resolve: broken-alias.{SHOP} A: it is an alias of nobody.{SHOP}: {NO_SERVICE}",
        ),
        (
            "web.shop",
            {"resolv_conf": "nameserver 10.96.0.10\nsearch svc.cluster.local\noptions ndots:1\n"},
            False,
            f"web.shop resolves with glibc and Go as web.{SHOP} to 10.9.0.1, but not with musl: {FEWER_DOTS}",
        ),
        (
            "_http._tcp.web.shop.svc.cluster.local.",
            {"type": "SRV"},
            True,
            f"_http._tcp.web.{SHOP} resolves to 0 100 80 web.{SHOP}",
        ),
        ("10.9.0.1", {}, True, f"1.0.9.10.in-addr.arpa. resolves to web.{SHOP}"),
    ],
)
async def test_the_verdict(shop: Explaining, name: str, client: dict[str, str], resolves: bool, verdict: str) -> None:
    found = await shop.explain(name, **client)
    assert (found.resolves, found.verdict) == (resolves, verdict)
    assert list(lines(found))[-1] == verdict


async def test_a_failing_upstream(shop: Explaining) -> None:
    found = await shop.explain("broken.example.com")
    assert not found.resolves
    assert found.tells == ("broken.example.com.", "A")
    answer = next(each for each in found.questions if each.name == "broken.example.com.")
    assert (answer.rcode, answer.reason) == ("SERVFAIL", "upstream-servfail")
    assert answer.advice
    assert any(line.startswith("  do: ") for line in lines(found))


async def test_what_the_search_list_costs(shop: Explaining) -> None:
    found = await shop.explain("www.example.com")
    before = "because of the search list, 6 questions went before the right one"
    assert f"{before}: www.example.com., with the dot at the end, takes 2" in found.notes
    assert [ask.name for ask in found.ways[0].asks] == [
        "www.example.com.default.svc.cluster.local.",
        "www.example.com.svc.cluster.local.",
        "www.example.com.cluster.local.",
        "www.example.com.",
    ]


async def test_who_is_taken_for_the_client(shop: Explaining) -> None:
    found = await shop.explain("web")
    assert found.client.who == "a pod of the namespace default (ClusterFirst)"
    assert found.client.nameservers[0] == "10.96.0.10"
    assert found.notes[0].startswith("as a pod of the namespace default: name a namespace, a pod or a resolv.conf")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"name": ""}, 'name: found "", expected a name without spaces'),
        ({"name": "a b"}, 'name: found "a b", expected a name without spaces'),
        ({"name": "."}, 'name: found ".", expected a name of ASCII characters, as resolvers ask it'),
        ({"name": "bücher.example"}, 'name: found "bücher.example", expected a name of ASCII characters'),
        ({"name": "a..b"}, 'name: found "a..b": the label in front of a dot '),
        ({"name": "x" * 300}, f'name: found "{"x" * 60}": the label "xxx'),
        (
            {"name": "https://web.shop:8443/x"},
            'name: found "https://web.shop:8443/x", expected a name alone, as in "web.shop"',
        ),
        ({"name": "shop/web"}, 'name: found "shop/web", expected a name alone, as in "web.shop"'),
        ({"name": "web.shop:80"}, 'name: found "web.shop:80", expected a name alone, as in "web.shop"'),
        ({"name": "a", "resolv_conf": "hello\n"}, "resolv_conf: is no resolv.conf: expected lines such as `nameserver"),
        ({"name": "a", "type": "AXFR"}, 'type: found "AXFR", expected a record type'),
        ({"name": "a", "type": "X"}, 'type: found "X", expected a record type'),
        ({"name": "a", "pod": "web-1"}, 'pod: found "web-1", expected NAMESPACE/NAME'),
        ({"name": "a", "pod": "shop/a/b"}, 'pod: found "shop/a/b", expected NAMESPACE/NAME'),
        ({"name": "a", "pod": "SHOP/x"}, 'pod: found "SHOP/x", expected the name of a namespace before the slash'),
        ({"name": "a", "namespace": "a.b"}, 'namespace: found "a.b", expected the name of a namespace'),
        ({"name": "a b", "type": "X"}, 'name: found "a b", expected a name without spaces\ntype: found "X", expected'),
        ({"name": "", "pod": "x", "type": "X"}, 'name: found "", expected a name without spaces\npod: found "x", '),
        ({"name": "a", "namespace": "b", "pod": "b/c"}, "pod and namespace are both given, expected one client"),
    ],
)
async def test_what_cannot_be_explained(shop: Explaining, wanted: dict[str, Any], text: str) -> None:
    with pytest.raises(WantedError) as caught:
        await shop.explain(**wanted)
    assert str(caught.value).startswith(text)
