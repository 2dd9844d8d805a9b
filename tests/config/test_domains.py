"""Domains to forward or to keep local that no question would ever match."""

import pytest

from dnsserver.config import Config, Domain, Network
from dnsserver.config.domains import forward_problem, local_problem, search_problem
from dnsserver.config.model import Local

CONFIG = Config(
    local=Local(domains=(Domain.parse("internal"), Domain.parse("168.192.in-addr.arpa"))),
    reverse_zones=(Network("10.96.0.0/12"), Network("fd00:10:96::/112")),
)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("10.0.0.0/8", '"10.in-addr.arpa"'),
        ("192.168.7.0/24", '"7.168.192.in-addr.arpa"'),
        ("172.16.0.0/12", '"16.172.in-addr.arpa" to "31.172.in-addr.arpa"'),
        ("10.0.0.0/23", '"0.0.10.in-addr.arpa" and "1.0.10.in-addr.arpa"'),
        ("10.1.2.3/8", '"10.in-addr.arpa"'),
        ("0.0.0.0/0", '"0.in-addr.arpa" to "255.in-addr.arpa"'),
        ("10.0.0.1", '"1.0.0.10.in-addr.arpa"'),
        ("fd00::/8", '"d.f.ip6.arpa"'),
        ("2001:db8::/32", '"8.b.d.0.1.0.0.2.ip6.arpa"'),
        ("10.0.0.0/8.in-addr.arpa", '"10.in-addr.arpa"'),
        ("10.1.2.0/24.in-addr.arpa", '"2.1.10.in-addr.arpa"'),
        ("fd00::/8.ip6.arpa", '"d.f.ip6.arpa"'),
        ("https://corp.example/", 'only the domain, "corp.example"'),
        ("corp.example:53", 'only the domain, "corp.example"'),
        ("corp.example/", 'only the domain, "corp.example"'),
        ("b\u00fccher.example", 'as DNS clients ask for it, "xn--bcher-kva.example"'),
        ("xn--bcher-kva.example", None),
        ("*.corp.example", 'expected "corp.example", which covers all names below it'),
        ("*corp.example", 'expected "example", which covers all names below it'),
        ("corp.*.example", 'expected "corp.example"'),
        ("*", "write the servers for all names into upstreams"),
        (".", "write these servers into upstreams"),
        ("localhost", 'in "localhost", a special-use name that is answered here: remove it'),
        ("db.localhost", 'in "localhost"'),
        ("x.invalid", 'in "invalid"'),
        ("onion", 'in "onion"'),
        ("gnu.alt", 'in "alt"'),
        ("_dns.resolver.arpa", 'in "resolver.arpa"'),
        (
            "cluster.local",
            'is the domain of the cluster; only a part of it can be forwarded, as in "shop.svc.cluster.local"',
        ),
        ("shop.svc.Cluster.Local", None),
        ("internal", 'in "internal" of local.domains'),
        ("db.internal", 'in "internal" of local.domains'),
        ("1.168.192.in-addr.arpa", 'in "168.192.in-addr.arpa" of local.domains'),
        ("96.10.in-addr.arpa", "in 10.96.0.0/12 of reverse_zones"),
        ("5.111.10.in-addr.arpa", "in 10.96.0.0/12 of reverse_zones"),
        ("0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa", None),
        ("corp.example", None),
        ("local", None),
        ("home.arpa", None),
        ("10.in-addr.arpa", None),
        ("112.10.in-addr.arpa", None),
        ("0/25.2.0.192.in-addr.arpa", None),
        ("x.in-addr.arpa", None),
        ("notinternal", None),
    ],
)
def test_a_forward_that_gets_no_question_says_what_to_write(text: str, instead: str | None) -> None:
    problem = forward_problem(Domain.parse(text), CONFIG)
    if instead is None:
        assert problem is None
    else:
        assert problem is not None
        assert instead in problem


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("192.168.0.0/16", '"168.192.in-addr.arpa"'),
        ("*.internal", 'expected "internal"'),
        (".", "upstreams = []"),
        ("onion", "remove it"),
        ("svc.cluster.local", "remove it"),
        ("home.arpa", None),
        ("internal", None),
    ],
)
def test_a_local_domain_that_makes_no_sense_says_what_to_write(text: str, instead: str | None) -> None:
    problem = local_problem(Domain.parse(text), CONFIG)
    assert problem is None if instead is None else instead in str(problem)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("*.corp.example", '"corp.example"'),
        ("corp.example:53", '"corp.example"'),
        ("10.0.0.0/8", "in-addr"),
        (".", None),
    ],
)
def test_a_search_domain_that_nobody_has_says_what_to_write(text: str, instead: str | None) -> None:
    problem = search_problem(Domain.parse(text))
    assert problem is None if instead is None else instead in str(problem)
