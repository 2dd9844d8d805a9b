"""What people write in the place of a DNS name."""

import pytest

from dnsserver.app.name_forms import key_in, name_in, of_object


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://web.shop", "web.shop"),
        ("https://user:word@web.shop:8443/x?y", "web.shop"),
        ("postgres://db.shop:5432/orders", "db.shop"),
        ("web.shop:80", "web.shop"),
        ("web.shop:80/x", "web.shop"),
        ("web.shop/", "web.shop"),
        ("shop/web", "web.shop"),
        ("web.shop", ""),
        ("web", ""),
        ("fd00::1", ""),
        ("10.1.2.3", ""),
        ("0/25.2.0.192.in-addr.arpa", ""),  # a name of RFC 2317
        ("_http._tcp.web.shop", ""),
        ("a/b/c", ""),
        ("<b>a.b</b>.shop", ""),  # what a client may ask, and the page then explains
        ("<b>:80", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_text(text: str, name: str) -> None:
    assert name_in(text) == name


@pytest.mark.parametrize(
    ("text", "name"), [("shop/web", "web.shop"), ("Shop/My-Web", "My-Web.Shop"), ("web.shop/x", ""), ("web", "")]
)
def test_an_object_as_kubectl_writes_it(text: str, name: str) -> None:
    assert of_object(text) == name


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("shop", ("shop",)),
        ("shop/web", ("shop", "web")),
        ("web.shop", ("shop", "web")),
        ("web.shop.", ("shop", "web")),
        ("web.shop.svc", ("shop", "web")),
        ("Web.shop.svc.cluster.local.", ("shop", "web")),
        ("_http._tcp.web.shop.svc.corp.example", ("shop", "web")),
        ("shop.svc.cluster.local", ("shop",)),
        ("db-0.db.shop", ()),
        ("shop/", ()),
        ("/web", ()),
        ("a/b/c", ()),
        ("sh op", ()),
        ("http://web.shop", ()),
        ("..", ()),
        ("", ()),
    ],
)
def test_a_service_or_a_namespace_as_people_write_it(text: str, key: tuple[str, ...]) -> None:
    assert key_in(text) == key
