"""Whose questions are asked while very many are under way: those of clients below their share."""

import itertools
from collections import Counter

import pytest
import trio

from dnsserver.forward.outcome import Outcome, OwnQuestion, Waiter
from dnsserver.forward.settings import CacheSettings, Limits, UpstreamSpec
from dnsserver.forward.shares import Shares, domains
from dnsserver.wire.name import from_text
from tests.clock import LoopbackClock
from tests.forward.scripted import (
    Query,
    answers,
    ask,
    begin_for,
    events,
    forwarder,
    route,
    shown,
    silent,
    upstream,
    wait_outcome,
)

MOST = 160  # places: shares of domains are 40, 20 and 10, half is 80


class Client:
    """A client by its packed address, with what it got by name."""

    def __init__(self, address: bytes = b"\x0a\0\0\1") -> None:
        self.address = address
        self.outcomes: list[Outcome] = []

    def asker(self) -> tuple[bytes, None]:
        return self.address, None

    def give_up(self) -> None:
        raise AssertionError("no two of its questions are equal")

    def deliver(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(outcome.reason.code for outcome in self.outcomes)


class Slow:
    """A lookup under way."""

    def __init__(self, *waiting: Client) -> None:
        self.waiting: list[Waiter] = list(waiting)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".", []),
        ("com", []),
        ("n1.com", []),
        ("n1.example.com", ["example.com"]),
        ("n1.victim.co.uk", ["victim.co.uk", "co.uk"]),
        ("a.b.c.example.com", ["b.c.example.com", "c.example.com", "example.com"]),
        ("x.a.b.c.d.example.com", ["c.d.example.com", "d.example.com", "example.com"]),
    ],
)
def test_the_domains_of_a_name(name: str, expected: list[str]) -> None:
    assert domains(from_text(name)) == [from_text(each) for each in expected]


# What one domain's names look like, and how many of them have places beside one other question, of 160.
FLOODS = {
    "below two labels": ("n{}.example.org", 79),
    "two random labels": ("a{}.b{}.example.org", 79),
    "below three labels": ("n{}.www.example.org", 79),
    "below four labels": ("n{}.a.www.example.org", 79),
    "below a public suffix": ("n{}.victim.co.uk", 79),
    "reverse": ("{}.0.0.10.in-addr.arpa", 79),
}
OTHERS = ["www.example.net", "other.org", "n1.other.co.uk", "org", "4.3.2.192.ip6.arpa"]


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("clients", [1, 100])
def test_one_domain_has_no_more_than_half_of_the_table_beside_others(flood: str, clients: int) -> None:
    form, most = FLOODS[flood]
    shares = Shares(MOST)
    first = ask("first.example")
    assert shares.take(first, Client(), {}, 0.0) is None
    assert not shares.held, "nothing is counted while the table is nearly empty"
    table = {first: Slow(), **{ask(f"quiet{n}.test"): Slow() for n in range(9)}}
    refused = 0
    for n in range(500):
        question = ask(form.format(n, n))
        reason = shares.take(question, Client((n % clients).to_bytes(4)), table, 0.0)
        if reason is None:
            table[question] = Slow()
        else:
            refused += 1
            assert reason.code == "forward-domain-share"
    assert len(table) <= most + 10
    assert refused >= 500 - most
    for other in OTHERS:
        assert shares.take(ask(other), Client((7).to_bytes(4)), table, 0.0) is None, other


def test_domains_beside_each_other_below_a_public_suffix_are_not_taken_for_one() -> None:
    shares, table = Shares(MOST), {ask(f"{n}.test"): Slow() for n in range(10)}
    taken = []
    for n in range(90):
        question = ask(f"n{n}.victim.co.uk")
        if shares.take(question, None, table, 0.0) is None:
            table[question] = Slow()
            taken.append(question)
    while len(taken) > 19:
        shares.leave(taken.pop())
    for n in range(61):  # the table is as full as before, of names below many domains
        assert shares.take(ask(f"b{n}.test"), None, table, 0.0) is None
    assert shares.take(ask("more.victim.co.uk"), None, table, 0.0) is None
    assert shares.take(ask("again.victim.co.uk"), None, table, 0.0) is not None, "it has its eighth"
    assert shares.take(ask("www.honest.co.uk"), None, table, 0.0) is None, "co.uk has not its quarter"


@pytest.mark.parametrize(
    ("addresses", "limited"),
    [
        ([b"\x0a\0\0\1"], False),  # all alone: an honest burst
        ([b"\x0a\0\0\1", b"\x0a\0\0\2"], True),
        ([bytes(7) + b"\1" + n.to_bytes(8) for n in range(150)], False),  # one IPv6 network is one client
        ([bytes(7) + b"\1" + n.to_bytes(8) for n in range(150)] + [b"\x0a\0\0\2"], True),
    ],
)
def test_a_client_is_limited_beside_others_only(addresses: list[bytes], limited: bool) -> None:
    """The last address asks once; the others ask 160 names of as many domains."""
    shares = Shares(MOST)
    table = {ask(f"first{n}.x{n}.test"): Slow(Client(addresses[0])) for n in range(10)}
    if len(addresses) > 1:
        table[ask("last.test")] = Slow(Client(addresses[-1]))
    asking = itertools.cycle(addresses[: max(1, len(addresses) - 1)])
    refused = Counter[str]()
    for n in range(MOST):
        question = ask(f"n{n}.test{n}")
        reason = shares.take(question, Client(next(asking)), table, 0.0)
        if reason is None:
            table[question] = Slow()
        else:
            refused[reason.code] += 1
    assert (refused == {}) is not limited
    assert set(refused) <= {"forward-client-share"}
    assert shares.take(ask("new.test"), Client(b"\x0a\0\0\x63"), table, 0.0) is None


def test_places_that_are_given_back_leave_nothing_behind() -> None:
    shares, table = Shares(MOST), {ask(f"{n}.test"): Slow() for n in range(10)}
    questions = [ask(f"n{n}.example.org") for n in range(60)]
    for question in questions:
        assert shares.take(question, Client(), table, 0.0) is None
    assert len(shares.held) == 70
    for question in [*questions, *table]:
        shares.leave(question)
        shares.leave(question)  # a question ends once, but who ends it need not know whether it was counted
    assert not shares.held


# ---- with upstreams


async def test_random_names_below_a_silent_domain_leave_the_others_their_upstreams(clock: LoopbackClock) -> None:
    lively = answers("{} 300 IN A 192.0.2.1")

    async def script(query: Query) -> None:
        if not query.name.lower().endswith("silent.org."):
            await lively(query)

    attackers = [Client(n.to_bytes(4)) for n in range(50)]
    victim = Client(b"\x0a\0\0\2")
    async with upstream(script) as server, forwarder(route(server), limits=Limits(in_flight=MOST)) as forward:
        with events() as logged:
            begin_for(forward, ask("slow.first.silent.org"), Client(b"\x0a\0\0\3"))
            for n in range(2_000):
                begin_for(forward, ask(f"n{n}.silent.org"), attackers[n % 50])
                if n % 20 == 0:
                    begin_for(forward, ask(f"www.site{n}.net"), victim)
                    await trio.sleep(0.01)
            await trio.sleep(0.5)
            assert victim.reasons == {"forwarded": 100}
            assert {outcome.rcode for outcome in victim.outcomes} == {0}
            refused = sum(attacker.reasons["forward-domain-share"] for attacker in attackers)
            assert refused > 1_500
            assert forward.statistics().dropped == refused
            await trio.sleep(3)
        assert sum(len(attacker.outcomes) for attacker in attackers) == 2_000
        assert forward.statistics().in_flight == 0
        for n in range(MOST):  # alone now: what was counted is forgotten
            begin_for(forward, ask(f"again{n}.silent.org"), attackers[0])
        assert (forward.statistics().in_flight, forward.statistics().dropped) == (MOST, refused)
    assert len(logged) == 1, "once a minute"


async def test_who_is_over_its_share_gets_what_is_held_first(clock: LoopbackClock) -> None:
    awake = True

    async def script(query: Query) -> None:
        if awake:
            await answers("{} 1 IN A 192.0.2.1")(query)

    async with (
        upstream(script) as server,
        forwarder(route(server), cache=CacheSettings(renew_hits=0), limits=Limits(in_flight=MOST)) as forward,
    ):
        known = ask("www.silent.org")
        await wait_outcome(forward, known)
        awake = False
        clock.jump(5)
        begin_for(forward, ask("www.other.net"), OwnQuestion(lambda _: None))
        for n in range(MOST):
            begin_for(forward, ask(f"n{n}.silent.org"), Client())
        client = Client()
        begin_for(forward, known, client)
        await trio.sleep(0.01)
        assert client.reasons == {"stale": 1}
        assert shown(known, client.outcomes[0]) == ["www.silent.org. 30 IN A 192.0.2.1"]


async def test_alone_on_the_server_one_domain_may_fill_the_table(clock: LoopbackClock) -> None:
    client = Client()
    async with upstream(silent) as dumb, forwarder(route(dumb), limits=Limits(in_flight=MOST)) as forward:
        for n in range(MOST):
            begin_for(forward, ask(f"n{n}.example.org"), client)
        assert forward.statistics().in_flight == MOST
        await trio.sleep(0.01)
        assert client.outcomes == []


async def test_a_question_that_cannot_be_sent_gives_its_place_back(clock: LoopbackClock) -> None:
    unsendable = UpstreamSpec("255.255.255.255", 53)  # a socket without SO_BROADCAST cannot be connected to it
    async with (
        upstream(silent) as dumb,
        forwarder(route(dumb), route(unsendable, domain="example.org"), limits=Limits(in_flight=MOST)) as forward,
    ):
        for n in range(MOST // 4):
            begin_for(forward, ask(f"n{n}.x{n}.test"), Client())
        failed = Client()
        for n in range(2 * MOST):
            begin_for(forward, ask(f"n{n}.example.org"), failed)
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.1)
        assert failed.reasons == {"upstream-unreachable": 2 * MOST}
