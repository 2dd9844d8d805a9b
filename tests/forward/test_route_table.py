"""Routes that are replaced while the server runs: what they keep, and what has to be learnt again."""

from collections.abc import Sequence

from dnsserver.forward.entropy import Entropy
from dnsserver.forward.route_table import RouteTable
from dnsserver.forward.settings import ForwardSettings, UpstreamSpec
from dnsserver.forward.sources import Known
from dnsserver.wire.name import ROOT, from_text

CORP = from_text("corp.test")


def settings(domain: bytes, *hosts: str, **more: object) -> ForwardSettings:
    specs = tuple(UpstreamSpec(host) for host in hosts)
    return ForwardSettings(domain=domain, upstreams=specs, **more)  # type: ignore[arg-type]


def replace(made: RouteTable, routes: Sequence[ForwardSettings], known: Known | None = None) -> list[str]:
    return [upstream.name for upstream in made.replace(routes, (), known or Known())]


def started(*routes: ForwardSettings) -> RouteTable:
    """A table whose upstreams are there, as its followers bring them."""
    made = RouteTable((), (), Entropy())
    replace(made, routes)
    return made


def test_an_upstream_that_stays_is_the_same_object() -> None:
    made = started(settings(ROOT, "10.0.0.1", "10.0.0.2"))
    first, second = made.upstreams()
    route = made.get(ROOT)
    assert replace(made, [settings(ROOT, "10.0.0.2", "10.0.0.3", deadline=1.0), settings(CORP, "10.0.0.9")]) == [
        first.name
    ]
    assert made.get(ROOT) is route
    assert route is not None
    assert route.upstreams[0] is second
    assert route.settings.deadline == 1.0
    assert made.find(from_text("x.corp.test")) is made.get(CORP)
    assert replace(made, [settings(ROOT, "10.0.0.2", "10.0.0.3")]) == ["10.0.0.9:53"]
    assert made.default is route
    assert made.find(from_text("x.corp.test")) is route


def test_what_is_learnt_goes_along_to_another_domain_and_to_other_authorities() -> None:
    made = started(settings(ROOT, "10.0.0.1"))
    (old,) = made.upstreams()
    old.health.replied(0.02, 1.0)
    old.queries = 7
    replace(made, [settings(ROOT, "10.0.0.1"), settings(CORP, "10.0.0.1")])
    (same, new) = made.upstreams()
    assert same is old
    assert new.health.rtt == old.health.rtt
    assert new.health is not old.health
    assert new.queries == 0  # counted under another domain
    other = ForwardSettings(upstreams=(UpstreamSpec("10.0.0.1", authorities="/ca.pem"),))
    replace(made, [other])
    (changed,) = made.upstreams()
    assert (changed.health.rtt, changed.queries) == (old.health.rtt, 7)


def test_hostnames_are_known_ahead() -> None:
    made = started(settings(ROOT, "10.0.0.1"))
    replace(made, [settings(ROOT, "dns.test")], Known({"dns.test": ("10.0.0.5", "10.0.0.6")}))
    assert [upstream.name for upstream in made.upstreams()] == ["10.0.0.5:53", "10.0.0.6:53"]
    route = made.get(ROOT)
    assert route is not None
    assert not route.trouble


def test_that_names_are_asked_in_mixed_case_follows() -> None:
    made = started(settings(ROOT, "10.0.0.1"))
    (upstream,) = made.upstreams()
    assert upstream.mixed_case
    replace(made, [settings(ROOT, "10.0.0.1", mixed_case=False)])
    assert made.upstreams() == [upstream]
    assert not upstream.mixed_case
