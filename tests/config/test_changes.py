"""What differs between two configurations: every key is some part's, and what needs a restart stays as it was."""

from pathlib import Path

import msgspec
import pytest

from dnsserver.config import Address, Config, Domain, Upstream
from dnsserver.config.changes import PARTS, changes, keys, value_of
from dnsserver.config.model import Cache, Clients, Forward, Kubernetes, Search

BASE = Config()


def with_(**settings: object) -> Config:
    return msgspec.structs.replace(BASE, **settings)


def test_every_key_is_for_one_part() -> None:
    assert list(PARTS) == keys()


def test_nothing_differs_from_itself() -> None:
    found = changes(BASE, Config())
    assert (found.config, found.keys, found.restart) == (BASE, (), ())
    assert not found.parts


@pytest.mark.parametrize(
    ("after", "key", "part"),
    [
        (with_(ttl=9), "ttl", "cluster"),
        (with_(pods="disabled"), "pods", "cluster"),
        (with_(listen=(Address("127.0.0.1", 53),)), "listen", "listeners"),
        (with_(cache=Cache(size=1 << 20)), "cache.size", "answers"),
        (with_(clients=Clients(rate=9)), "clients.rate", "clients"),
        (with_(kubernetes=Kubernetes(labels="a=b")), "kubernetes.labels", "selectors"),
        (with_(kubernetes=Kubernetes(page_size=9)), "kubernetes.page_size", "source"),
        (with_(search=Search(enabled=True)), "search.enabled", "local"),
        (with_(forward=(Forward(domain=Domain.parse("a.example"), upstreams=()),)), "forward", "outside"),
        (with_(upstreams=(Upstream("192.0.2.1"),)), "upstreams", "outside"),
    ],
)
def test_what_is_followed_names_its_part(after: Config, key: str, part: str) -> None:
    found = changes(BASE, after)
    assert (found.config, found.keys, found.restart) == (after, (key,), ())
    assert set(found.parts) == {part}
    back = changes(after, BASE)
    assert (back.config, back.keys) == (BASE, (key,))


@pytest.mark.parametrize(
    ("after", "key"),
    [
        (with_(domain=Domain.parse("k8s.example")), "domain"),
        (with_(workers=4), "workers"),
        (with_(state=Path("/state")), "state"),
        (with_(objects=Path("/objects")), "objects"),
        (with_(kubeconfig=Path("/k")), "kubeconfig"),
        (with_(context="here"), "context"),
        (with_(pods="verified"), "pods"),
    ],
)
def test_what_needs_a_restart_stays_and_the_rest_follows(after: Config, key: str) -> None:
    found = changes(BASE, msgspec.structs.replace(after, ttl=9))
    assert (found.keys, found.restart) == (("ttl",), (key,))
    assert found.config == with_(ttl=9)
    assert value_of(found.config, key) == value_of(BASE, key)


def test_that_pods_are_not_verified_any_more_needs_a_restart_as_well() -> None:
    assert changes(with_(pods="verified"), with_(pods="disabled")).restart == ("pods",)
