"""The index: its counts, and the keys that a change names: exactly those whose answers change."""

import tracemalloc

import msgspec
import pytest

from dnsserver.zone.index import Index, address_reader, pack
from dnsserver.zone.model import EndpointSlice, Kind, Namespace, Pod, Service
from dnsserver.zone.record import Key
from tests.cluster import Thing, decoded, endpoint, endpoints, namespace, pod, service
from tests.kube import generated

HTTP = ("http", "TCP", 80)
WEB = (b"shop", b"web")


def a(text: str) -> bytes:
    packed = pack(text)
    assert packed is not None
    return packed


class Changes:
    """An index that tells, of each step, what has changed."""

    def __init__(self, *things: Thing) -> None:
        self.index = Index()
        for thing in things:
            self.put(thing)

    def put(self, thing: Thing) -> set[Key]:
        match decoded(thing):
            case Namespace() as obj:
                self.index.put_namespace(obj)
            case Service() as obj:
                self.index.put_service(obj)
            case EndpointSlice() as obj:
                self.index.put_slice(obj)
            case Pod() as obj:
                self.index.put_pod(obj)
        return self.taken()

    def taken(self) -> set[Key]:
        changed, self.index.changed = self.index.changed, set()
        return changed


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ((), namespace("shop"), {(b"shop",)}),
        ((), service("web", "10.96.0.1"), {WEB, a("10.96.0.1")}),
        ((), service("web"), {WEB}),
        ((), endpoints("web", "10.1.0.1"), {WEB, a("10.1.0.1")}),
        ((), endpoints("", "10.1.0.1"), set()),
        ((), pod("one", "10.2.0.1", "fd00::1"), {a("10.2.0.1"), a("fd00::1")}),
        ((), pod("one", "10.2.0.1", phase="Failed"), set()),
        (
            (service("web", "10.96.0.1"),),
            service("web", "10.96.0.2"),
            {WEB, a("10.96.0.1"), a("10.96.0.2")},
        ),
        # The endpoints' reverse names hang on there being a service that is no alias.
        ((endpoints("web", "10.1.0.1"),), service("web"), {WEB, a("10.1.0.1")}),
        ((endpoints("web", "10.1.0.1"), service("web")), service("web", external="x."), {WEB, a("10.1.0.1")}),
        # One address more: the others keep their reverse names.
        ((endpoints("web", "10.1.0.1"),), endpoints("web", "10.1.0.1", "10.1.0.2"), {WEB, a("10.1.0.2")}),
        ((endpoints("web", "10.1.0.1"),), endpoints("web", endpoint("10.1.0.1", "h")), {WEB, a("10.1.0.1")}),
        ((endpoints("web", "10.1.0.1"),), endpoints("web", "10.1.0.1", ports=[HTTP]), {WEB}),
        ((endpoints("web", "10.1.0.1"),), endpoints("api", "10.1.0.1", name="web-1"),
         {WEB, (b"shop", b"api"), a("10.1.0.1")}),
        ((pod("one", "10.2.0.1"),), pod("one", "10.2.0.2"), {a("10.2.0.1"), a("10.2.0.2")}),
    ],
)  # fmt: skip
def test_a_change_names_the_keys_that_it_touches(before: tuple[Thing, ...], after: Thing, keys: set[Key]) -> None:
    changes = Changes(*before)
    assert changes.put(after) == keys
    assert changes.put(after) == set()


def test_removals_name_them_too_and_leave_nothing_behind() -> None:
    changes = Changes(
        namespace("shop"),
        service("web", "10.96.0.1", "fd00:96::1", ports=[HTTP]),
        endpoints("web", "10.1.0.1", ports=[HTTP]),
        endpoints("web", "fd00:1::1", name="web-6", family="IPv6"),
        pod("one", "10.2.0.1", "fd00::1"),
    )
    index = changes.index
    assert [index.count(kind) for kind in Kind] == [1, 1, 2, 1]
    index.remove_slice((b"shop", b"web-1"))
    assert changes.taken() == {WEB, a("10.1.0.1")}
    index.remove_service(WEB)
    assert changes.taken() == {WEB, a("10.96.0.1"), a("fd00:96::1"), a("fd00:1::1")}
    index.remove_slice((b"shop", b"web-6"))
    assert changes.taken() == {WEB, a("fd00:1::1")}
    index.remove_pod((b"shop", b"one"))
    assert changes.taken() == {a("10.2.0.1"), a("fd00::1")}
    index.remove_namespace(b"shop")
    assert changes.taken() == {(b"shop",)}
    assert [index.count(kind) for kind in Kind] == [0, 0, 0, 0]
    assert [len(held) for held in (index.entries, index.by_cluster_ip, index.by_endpoint)] == [0, 0, 0]


def test_what_is_not_there_can_be_removed() -> None:
    changes = Changes()
    changes.index.remove_slice((b"shop", b"web-1"))
    changes.index.remove_service(WEB)
    changes.index.remove_pod((b"shop", b"one"))
    changes.index.remove_namespace(b"shop")
    assert changes.taken() == set()


def test_an_address_of_two_services_belongs_to_the_other_when_one_goes() -> None:
    changes = Changes(service("web"), service("api"), endpoints("web", "10.1.0.1"), endpoints("api", "10.1.0.1"))
    assert set(changes.index.by_endpoint.get(a("10.1.0.1"))) == {WEB, (b"shop", b"api")}
    changes.index.remove_slice((b"shop", b"web-1"))
    assert changes.index.by_endpoint.get(a("10.1.0.1")) == ((b"shop", b"api"),)


def test_a_pods_address_is_its_namespaces_as_long_as_any_pod_has_it() -> None:
    changes = Changes(pod("one", "10.2.0.1"), pod("two", "10.2.0.1"), pod("one", "10.2.0.1", namespace="other"))
    changes.index.remove_pod((b"shop", b"one"))
    assert changes.index.has_pod(b"shop", a("10.2.0.1"))
    changes.put(pod("two", "10.2.0.1", phase="Succeeded"))
    assert not changes.index.has_pod(b"shop", a("10.2.0.1"))
    assert changes.index.has_pod(b"other", a("10.2.0.1"))


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("10.0.0.1", b"\x0a\0\0\1"),
        ("::1", bytes(15) + b"\1"),
        ("010.0.0.1", None),
        ("10.0.0", None),
        ("10.0.0.256", None),
        ("fe80::1%eth0", None),
        ("", None),
        ("web", None),
        ("10.0.0.1\0", None),
    ],
)
def test_addresses(text: str, packed: bytes | None) -> None:
    assert pack(text) == packed


@pytest.mark.parametrize(
    ("family", "addresses"),
    [
        ("IPv4", ["10.1.0.1", "10.1.0.2"]),
        ("IPv4", ["10.1.0.1"]),
        ("IPv6", ["fd00::1", "fd00::2"]),
        ("FQDN", ["one.example.", "another.example."]),
        ("", ["10.1.0.1", "fd00::1"]),  # of a type that is not known, or from a snapshot
        ("", ["10.1.0.1", "10.1.0.2"]),
        ("IPv4", []),
    ],
)
def test_a_slice_gives_its_addresses_back(family: str, addresses: list[str]) -> None:
    changes = Changes(endpoints("web", *(endpoint(each) for each in addresses), family=family))
    found = changes.index.slice_of((b"shop", b"web-1"))
    assert found is not None
    view = found[1]
    expected = tuple(filter(None, map(address_reader(family), addresses)))
    assert view.addresses == expected
    assert view.count == len(expected) == len(addresses)
    assert list(view.endpoints()) == [(each, None) for each in expected]
    assert view.fqdn == (family == "FQDN")
    assert bool(view.held) == bool(expected)


def test_an_object_takes_little_room() -> None:
    """The zone of a cluster with as many endpoints for each service as the scalability limits of Kubernetes have."""
    size = generated.Size(namespaces=10, services=1_000, slices=1_430, endpoints=5_720)
    services = [msgspec.convert(generated.service(number, size), Service) for number in range(size.services)]
    slices = [msgspec.convert(generated.endpoint_slice(number, size), EndpointSlice) for number in range(size.slices)]
    tracemalloc.start()
    index = Index()
    for each in services:
        index.put_service(each)
    for part in slices:
        index.put_slice(part)
    index.changed.clear()
    index.before.clear()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / size.services < 850  # octets: a service, its slice and a half, and their six endpoints
