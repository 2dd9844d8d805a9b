"""The search list of a pod and the name that it completes, derived from the first name that the pod asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.resolver.search import Search
from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.wire.name import from_text, to_text

DOMAIN = from_text("cluster.local")
SEARCH = Search(DOMAIN)
WWW = "www.example.com."


def candidates(name: str, search: Search = SEARCH) -> list[str]:
    return [to_text(candidate) for candidate in search.candidates(from_text(name))]


def test_the_rest_of_the_search_list_in_its_order() -> None:
    assert candidates("www.example.com.shop.svc.cluster.local") == [
        "www.example.com.svc.cluster.local.",
        "www.example.com.cluster.local.",
        "www.example.com.",
    ]


def test_domains_of_the_nodes_stand_before_the_name_itself() -> None:
    search = Search(DOMAIN, [from_text("corp.example"), from_text("example.org")])
    assert candidates("db.prod.shop.svc.cluster.local", search) == [
        "db.prod.svc.cluster.local.",
        "db.prod.cluster.local.",
        "db.prod.corp.example.",
        "db.prod.example.org.",
        "db.prod.",
    ]


@pytest.mark.parametrize(
    "rest",
    [
        "web",  # one label: a service of the pod's own namespace, and no name outside
        "web.prod.svc",
        "web.prod.svc.cluster",
        "web.prod.svc.cluster.local",
        "10-1-0-1.prod.pod",
        "10-1-0-1.prod.pod.cluster",
        "10-1-0-1.prod.pod.cluster.local",
        "www.example.com.shop.svc.cluster.local",
        "x.cluster.local",
        "cluster.local",
        "1.0.1.10.in-addr.arpa",
        "1.0.0.0.ip6.arpa",
    ],
)
def test_what_was_not_meant_for_the_outside_is_no_expansion(rest: str) -> None:
    assert candidates(f"{rest}.shop.svc.cluster.local") == []


@pytest.mark.parametrize(
    "rest", ["svc.example.com", "pod.example.com", "cluster.example", "local.example", "a.cluster"]
)
def test_cluster_words_elsewhere_in_a_name_are_words_like_others(rest: str) -> None:
    assert candidates(f"{rest}.shop.svc.cluster.local")[-1] == f"{rest}."


def test_it_can_be_for_some_namespaces_only() -> None:
    search = Search(DOMAIN, namespaces=[b"prod"])
    assert candidates("www.example.com.shop.svc.cluster.local", search) == []
    assert candidates("www.example.com.prod.svc.cluster.local", search)


@pytest.mark.parametrize("domain", ["cluster", "a.b.c.d", "."])
def test_any_cluster_domain_will_do(domain: str) -> None:
    search = Search(from_text(domain))
    tail = "" if domain == "." else f".{domain}"
    found = candidates(f"www.example.com.shop.svc{tail}", search)
    # With the root for a domain every name is the cluster's, and there is no outside.
    assert found == ([] if domain == "." else [f"www.example.com.svc.{domain}.", f"www.example.com.{domain}.", WWW])
    assert candidates(f"web.prod.svc{tail}.shop.svc{tail}", search) == []


_labels = st.lists(st.binary(min_size=1, max_size=63).map(bytes.lower), min_size=1, max_size=6)


@given(_labels, _labels)
def test_candidates_are_names_however_long_the_question_is(rest: list[bytes], node: list[bytes]) -> None:
    try:
        name = names.from_labels([*rest, b"shop", b"svc", b"cluster", b"local"])
        domain = names.from_labels(node)
    except FormatError:
        return
    for candidate in Search(DOMAIN, [domain]).candidates(name):
        assert names.from_labels(names.labels(candidate)) == candidate
        assert names.labels(candidate)[: len(rest)] == tuple(rest)
