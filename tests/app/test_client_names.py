"""The owner of an address according to the present objects: a pod, several pods, a Service, or nobody."""

from socket import AF_INET, AF_INET6, inet_pton

from dnsserver.app.client_names import ClientNames, Owners
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, Put, Remove
from tests.cluster import decoded, endpoints, namespace, pod, service


def packed(text: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in text else AF_INET, text)


NODE, WEB, SIX, ALONE, STRANGER = map(packed, ("10.0.0.9", "10.1.0.1", "fd00::1", "10.1.0.2", "10.9.9.9"))


def cluster() -> Cluster:
    found = Cluster(pods="verified")
    for thing in (
        namespace("shop"),
        service("web"),
        endpoints("web", "10.1.0.1", "10.1.0.3"),
        pod("web-0", "10.1.0.1", "fd00::1"),
        pod("ended", "10.1.0.2", phase="Succeeded"),
        pod("agent-1", "10.0.0.9"),
        *(pod(f"agent-{number}", "10.0.0.9", namespace="system") for number in range(4)),
    ):
        found.apply(Put(decoded(thing)), 0, 1)
    return found


def test_each_address_has_its_owners() -> None:
    names = ClientNames(cluster().index)
    for _ in range(2):  # the second time from memory
        assert names.owners([NODE, WEB, SIX, ALONE, STRANGER]) == {
            NODE: Owners(("shop/agent-1", "system/agent-0", "system/agent-1")),
            WEB: Owners(("shop/web-0",), ("shop/web",)),
            SIX: Owners(("shop/web-0",)),
            ALONE: Owners(),
            STRANGER: Owners(),
        }


def test_what_changes_is_seen_at_once() -> None:
    zone = cluster()
    names = ClientNames(zone.index)
    assert names.owners([WEB, ALONE])[WEB].pods == ("shop/web-0",)
    zone.apply(Remove(Kind.PODS, "shop", "web-0"), 0, 1)
    zone.apply(Put(decoded(pod("new", "10.1.0.2"))), 0, 1)
    zone.apply(Put(decoded(pod("web-1", "10.1.0.1", namespace="other"))), 0, 1)
    assert names.owners([WEB, ALONE]) == {
        WEB: Owners(("other/web-1",), ("shop/web",)),
        ALONE: Owners(("shop/new",)),
    }
    zone.apply(Put(decoded(pod("web-2", "10.1.0.1"))), 0, 1)
    assert names.owners([WEB])[WEB].pods == ("other/web-1", "shop/web-2")


def test_addresses_that_are_asked_for_once_are_not_remembered_for_ever() -> None:
    names = ClientNames(cluster().index)
    for number in range(3000):
        names.owners([number.to_bytes(4, "big")])
    assert names.owners([WEB])[WEB].pods == ("shop/web-0",)
