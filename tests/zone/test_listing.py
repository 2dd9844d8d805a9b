"""An object that a list has not shown is gone at the end of the list, whatever happens during the list."""

import random

from dnsserver.zone.cluster import Cluster
from dnsserver.zone.index import Index
from dnsserver.zone.listing import Listing
from dnsserver.zone.model import (
    EndpointSlice,
    Kind,
    ListDone,
    ListStarted,
    Metadata,
    Namespace,
    Object,
    Pod,
    PodStatus,
    Put,
    Remove,
    Service,
    ServiceSpec,
)

Own = tuple[str, str]


def made(kind: Kind, own: Own) -> Object:
    namespace, name = own
    match kind:
        case Kind.NAMESPACES:
            return Namespace(Metadata(name))
        case Kind.SERVICES:
            return Service(Metadata(name, namespace), ServiceSpec(cluster_ips=["10.0.0.1"]))
        case Kind.ENDPOINTSLICES:
            return EndpointSlice(Metadata(name, namespace, labels={"kubernetes.io/service-name": "web"}))
        case Kind.PODS:
            return Pod(Metadata(name, namespace), PodStatus(pod_ip="10.0.0.1"))


def held(cluster: Cluster, kind: Kind) -> set[Own]:
    index = cluster.index
    return {
        (space.decode(), name.decode()) for space in index.namespaces_of(kind) for name in index.names_in(kind, space)
    }


def test_any_run_of_lists_and_changes_ends_as_said() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        kind = rng.choice(list(Kind))
        spaces = [""] if kind is Kind.NAMESPACES else ["a", "b", "c"]
        cluster = Cluster(pods="verified")
        there: set[Own] = set()  # what the zone is to have
        unseen: set[Own] | None = None  # of a list under way
        for _ in range(60):
            own = (rng.choice(spaces), f"n{rng.randrange(4)}")
            choice = rng.random()
            if choice < 0.55:
                cluster.apply(Put(made(kind, own)), 0, 0)
                there.add(own)
                unseen = None if unseen is None else unseen - {own}
            elif choice < 0.75:
                cluster.apply(Remove(kind, *own), 0, 0)
                there.discard(own)
            elif choice < 0.87:  # also a second time, after a list that broke off
                cluster.apply(ListStarted(kind), 0, 0)
                unseen = set(there)
            else:
                cluster.apply(ListDone(kind), 0, 0)
                there -= unseen or set()
                unseen = None
            assert held(cluster, kind) == there, (seed, kind)


def test_no_more_than_the_present_namespace_is_held() -> None:
    index = Index()
    everything = [(f"ns{space}", f"p{number}") for space in range(20) for number in range(50)]
    for own in everything:
        index.put_pod(Pod(Metadata(own[1], own[0])))
    listing = Listing(index, Kind.PODS)
    for namespace, name in everything[:-1]:
        listing.mark_seen(namespace.encode(), name.encode())
    assert list(listing.unseen()) == [(b"ns19", b"p49")]
