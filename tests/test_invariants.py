"""After any events in any order, the zone is that of one list of the objects, and no cached reply is older than it."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsserver.zone.model import Event, ListDone, ListStarted, Put, Remove
from dnsserver.zone.rrsets import of_services
from tests.answering import Answering
from tests.cluster import listed
from tests.universe import BASE, PACKETS, QUESTIONS, Truth, events, normal, puts, removes, with_denied, zone

SYNCED = listed(BASE)


def assert_same(one: Answering, other: Answering) -> None:
    for (name, type_), packet in zip(QUESTIONS, PACKETS, strict=True):
        ours, theirs = one.ask(packet), other.ask(packet)
        assert ours == theirs or normal(ours) == normal(theirs), f"{name} {type_}"


def fresh(truth: Truth, pods: str = "verified") -> Answering:
    """What one list of the present objects gives."""
    answering = Answering(zone(pods))
    truth.fill(answering.cluster)
    return answering


def sync(answering: Answering, truth: Truth) -> None:
    """Give both the first list, and ask all questions before any event."""
    for event in SYNCED:
        answering.apply(event)
        truth.apply(event)
    for _ in range(2):
        assert_same(answering, fresh(truth))


@settings(deadline=None, max_examples=100)
@given(st.lists(with_denied, max_size=12), st.sampled_from(["verified", "insecure"]), st.booleans())
def test_any_interleaving_of_events_ends_in_the_zone_of_one_list(drawn: list[Event], pods: str, based: bool) -> None:
    answering, truth = Answering(zone(pods)), Truth()
    for event in [*(SYNCED if based else ()), *drawn]:
        answering.apply(event)
        truth.apply(event)
    assert_same(answering, fresh(truth, pods))


@settings(deadline=None, max_examples=40)
@given(st.lists(events, min_size=1, max_size=12))
def test_no_cached_reply_is_older_than_the_zone(drawn: list[Event]) -> None:
    answering, truth = Answering(zone()), Truth()
    sync(answering, truth)
    for event in drawn:
        answering.apply(event)
        truth.apply(event)
        now = fresh(truth)
        for _ in range(2):  # what does not exist is kept when it is asked a second time
            assert_same(answering, now)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(events, st.floats(0.1, 0.9)), min_size=1, max_size=12))
def test_no_cached_reply_is_older_than_a_zone_with_a_grace(drawn: Sequence[Event | float]) -> None:
    answering, truth = Answering(zone(grace=1.0)), Truth()
    now = 0.0
    sync(answering, truth)
    for step in drawn:
        if isinstance(step, float):
            now += step
            answering.replies.drop(answering.cluster.expire(now, 1))
        else:
            answering.apply(step, now)
            truth.apply(step)
        uncached = Answering(answering.cluster)
        for _ in range(2):
            assert_same(answering, uncached)
    answering.replies.drop(answering.cluster.expire(now + 1.0, 1))
    assert answering.cluster.next_expiry is None
    assert_same(answering, fresh(truth))


@settings(deadline=None, max_examples=100)
@given(st.lists(events, max_size=10), st.lists(events, max_size=6))
def test_an_event_twice_changes_nothing(drawn: list[Event], more: list[Event]) -> None:
    cluster = zone()
    for event in [*SYNCED, *drawn, *more]:
        cluster.apply(event, 0, 1)
        if not isinstance(event, ListStarted | ListDone):
            assert cluster.apply(event, 0, 1) == set(), event


def namespace_of(event: Event) -> str:
    match event:
        case Put(object=thing):
            return thing.metadata.namespace
        case Remove(namespace=namespace):
            return namespace
    return ""


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(puts, removes).filter(lambda event: namespace_of(event) == "b"), min_size=1, max_size=12))
def test_nothing_in_one_namespace_changes_a_name_of_another(drawn: list[Event]) -> None:
    cluster = zone()
    for event in SYNCED:
        cluster.apply(event, 0.0, 0.0)
    before = list(of_services(cluster, b"a"))
    assert before
    for event in drawn:
        cluster.apply(event, 0.0, 0.0)
    assert list(of_services(cluster, b"a")) == before
