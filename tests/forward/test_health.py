"""Health, the wheel, the random source, resolv.conf: the small pure parts of the forwarder."""

from itertools import pairwise

import pytest

from dnsserver.forward.entropy import Entropy
from dnsserver.forward.health import LONGEST_TIMEOUT, SHORTEST_TIMEOUT, Health
from dnsserver.forward.route import Route, areas, scope_of
from dnsserver.forward.settings import ForwardSettings, Policy, UpstreamSpec
from dnsserver.forward.upstream import Upstream
from dnsserver.forward.wheel import Wheel
from dnsserver.wire.name import ROOT, ancestors, from_text, to_text
from dnsserver.wire.scope import Scope


def test_one_silence_takes_down_who_was_never_heard() -> None:
    health = Health()
    assert not health.silent(b"a", 0.0, 0.4)
    assert health.probe_silent(0.1, 0.5)
    assert health.replied(0.01, 1.0)  # it was down until now


def test_silence_about_one_name_is_no_silence() -> None:
    health = Health()
    for second in range(5):
        health.replied(0.01, second)
    assert not any(health.silent(b"%d" % second, second - 0.5, second) for second in range(1, 5))
    assert health.up


def test_probes_come_less_and_less_often() -> None:
    health = Health()
    health.broken(0.0)
    times = []
    for _ in range(8):
        times.append(health.probe_at)
        health.probed(health.probe_at)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_patience_follows_the_round_trips() -> None:
    health = Health()
    assert (health.timeout, health.hedge_after) == (LONGEST_TIMEOUT, None)
    for i in range(64):
        health.replied(0.001, i)
    assert health.timeout == SHORTEST_TIMEOUT
    after: float | None = health.hedge_after
    assert after == 0.01
    for i in range(64):
        health.replied(0.06 + 0.001 * i, i)
    assert LONGEST_TIMEOUT >= health.timeout > 0.3
    assert 0.11 < health.p95 < 0.125


def test_loss_costs_an_upstream_its_place() -> None:
    fast, slow = upstream("192.0.2.1"), upstream("192.0.2.2")
    for i in range(30):
        fast.health.replied(0.001, i)
        slow.health.replied(0.004, i)
        if i % 3 == 0:
            fast.health.silent(b"a", i - 1, i)
    route = Route(ForwardSettings(upstreams=(fast.spec, slow.spec)), Scope(), Entropy())
    route.replace([fast, slow])
    assert route.order(0.0) == [slow, fast]


def upstream(address: str) -> Upstream:
    return Upstream(UpstreamSpec(address), address, ROOT)


# Of four upstreams, each faster than the one before, the last one down: which of them are asked first.
FIRST = {
    Policy.SEQUENTIAL: {0},
    Policy.FASTEST: {2},
    Policy.RANDOM: {0, 1, 2},
    Policy.ROUND_ROBIN: {0, 1, 2},
}


@pytest.mark.parametrize("policy", Policy)
def test_policies_order_the_upstreams(policy: Policy) -> None:
    servers = [upstream(f"192.0.2.{i}") for i in range(4)]
    for i, server in enumerate(servers):
        server.health.replied(0.01 * (4 - i), 0.0)
    servers[3].health.broken(0.0)

    route = Route(ForwardSettings(policy=policy), Scope(), Entropy())
    route.replace(servers)
    orders = [route.order(float(i)) for i in range(60)]
    assert all(order[-1] is servers[3] for order in orders)
    assert {servers.index(order[0]) for order in orders} == FIRST[policy]
    if policy is Policy.ROUND_ROBIN:
        assert [order[0] for order in orders] == [servers[1], servers[2], servers[0]] * 20


def test_the_wheel_is_never_early() -> None:
    wheel: Wheel[str] = Wheel(0.01)
    wheel.add("late", 5.0)
    wheel.add("soon", 1.004)
    wheel.add("soon too", 1.006)
    assert wheel.due(1.0) == []
    assert 1.006 <= wheel.next < 1.02
    assert wheel.due(1.011) == ["soon", "soon too"]
    assert wheel.due(100.0) == ["late"]
    assert wheel.next == float("inf")


def test_names_are_disguised_in_their_letters_only() -> None:
    entropy = Entropy()
    name = from_text("a-1.www.example.com")
    seen = [entropy.randomize_case(name) for _ in range(500)]
    assert {mixed.lower() for _, mixed in seen} == {name}
    assert len({mixed for _, mixed in seen}) > 450
    assert len({identifier for identifier, _ in seen}) > 480
    assert {len(identifier) for identifier, _ in seen} == {2}


def test_no_random_octet_is_used_twice() -> None:
    blocks = iter(bytes([i]) * 8 for i in range(256))
    entropy = Entropy(lambda _: next(blocks), block=8)
    assert [entropy.take(3) for _ in range(4)] == [b"\0\0\0", b"\0\0\0", b"\1\1\1", b"\1\1\1"]


def test_each_name_has_one_route_and_its_upstreams_are_believed_about_it() -> None:
    """The route of the longest domain is used, except for names that it excludes; a route may have our own zones."""

    def settings(domain: str, *excepted: str, trusted: bool = False) -> ForwardSettings:
        return ForwardSettings(from_text(domain), excepted=tuple(from_text(name) for name in excepted), trusted=trusted)

    routes = [
        settings("."),
        settings("corp.example", "lab.corp.example", "cloud.corp.example"),
        settings("cloud.corp.example"),
        settings("x.lab.corp.example", trusted=True),
        settings("pay.svc.cluster.local", trusted=True),
    ]
    own = [from_text("cluster.local"), from_text("zone.corp.example"), from_text("deep.pay.svc.cluster.local")]
    parts = areas(routes)
    scopes = {each.domain: scope_of(each, own, routes) for each in routes}

    def route_of(name: bytes) -> bytes:
        return parts[next(above for above in (name, *ancestors(name)) if above in parts)]

    for text, domain, other_believers in [
        ("www.example.com", ".", {"x.lab.corp.example", "pay.svc.cluster.local"}),
        ("corp.example", "corp.example", {"x.lab.corp.example", "pay.svc.cluster.local"}),
        ("lab.corp.example", ".", {"x.lab.corp.example", "pay.svc.cluster.local"}),
        ("a.lab.corp.example", ".", {"x.lab.corp.example", "pay.svc.cluster.local"}),
        ("a.x.lab.corp.example", "x.lab.corp.example", {"pay.svc.cluster.local"}),
        ("a.cloud.corp.example", "cloud.corp.example", {"x.lab.corp.example", "pay.svc.cluster.local"}),
        ("a.pay.svc.cluster.local", "pay.svc.cluster.local", set()),
    ]:
        name = from_text(text)
        assert route_of(name) == from_text(domain), text
        believed = {to_text(each).removesuffix(".") or "." for each, scope in scopes.items() if scope.allows(name)}
        assert believed == {domain, *other_believers}, text
    for text in ("web.shop.svc.cluster.local", "a.zone.corp.example", "a.deep.pay.svc.cluster.local"):
        assert not any(scope.allows(from_text(text)) for scope in scopes.values()), text
