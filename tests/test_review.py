"""What a stranger's reading of the whole found wrong once: each test is one sentence of the contract."""

import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.resolver.reply_cache import Reply, ReplyCache
from dnsserver.wire import name as names
from dnsserver.wire.message import FormatError
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Kind, ListDone, Put, Remove
from dnsserver.zone.ordered import Ordered
from tests.answering import Answering
from tests.clock import LoopbackClock
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, service
from tests.forward.scripted import answers, forwarder, route, shown, upstream
from tests.forward.scripted import ask as outside

SHOP = namespace("shop")
APEXES = {"10.in-addr.arpa", "d.f.ip6.arpa", "9.2.0.192.in-addr.arpa"}


def answering(*things: Thing, cluster: Cluster | None = None) -> Answering:
    """A synced zone that holds these objects."""
    made = Answering(cluster or Cluster())
    for event in listed([SHOP, *things]):
        made.apply(event)
    return made


def put(made: Answering, *things: Thing) -> None:
    for thing in things:
        made.apply(Put(decoded(thing)))


def ask(made: Answering, name: str, type_: str = "A") -> list[str]:
    """Return what is answered, records first or else the rcode; asked so often that the reply is a kept one."""
    packet = dns.message.make_query(name, type_, id=0).to_wire()
    wires = [made.ask(packet) for _ in range(3)]
    reply = dns.message.from_wire(wires[-1])
    found = sorted(rdata.to_text() for rrset in reply.answer for rdata in rrset)
    return found or [dns.rcode.to_text(reply.rcode())]


def ask_address(made: Answering, address: str) -> list[str]:
    return ask(made, dns.reversename.from_address(address).to_text(), "PTR")


def test_a_reverse_name_known_outside_is_the_clusters_as_soon_as_a_service_has_the_address() -> None:
    made = answering()
    assert ask_address(made, "10.9.0.1") == ["NXDOMAIN"]  # which the outside says, and may be kept for an hour
    put(made, service("web", "10.9.0.1"))
    assert ask_address(made, "10.9.0.1") == ["web.shop.svc.cluster.local."]
    made.apply(Remove(Kind.SERVICES, "shop", "web"))
    assert ask_address(made, "10.9.0.1") == ["NXDOMAIN"]


def test_what_was_asked_outside_before_the_first_sync_is_asked_here_after_it() -> None:
    made = Answering(Cluster())
    put(made, SHOP, service("web", "8.8.4.4"))
    assert ask_address(made, "8.8.4.4") == ["NXDOMAIN"]
    for kind in Kind:
        made.apply(ListDone(kind))
    assert ask_address(made, "8.8.4.4") == ["web.shop.svc.cluster.local."]


def test_an_address_that_gets_another_hostname_has_another_ptr() -> None:
    made = answering(service("db"), endpoints("db", endpoint("10.1.0.1", "db-0"), endpoint("10.1.0.2", "db-1")))
    assert ask_address(made, "10.1.0.2") == ["db-1.db.shop.svc.cluster.local."]
    put(made, endpoints("db", endpoint("10.1.0.2", "db-0"), endpoint("10.1.0.3", "db-1")))
    assert ask_address(made, "10.1.0.2") == ["db-0.db.shop.svc.cluster.local."]


def test_endpoints_of_a_service_that_becomes_an_alias_have_no_ptr() -> None:
    made = answering(service("db"), endpoints("db", "10.1.0.1"))
    assert ask_address(made, "10.1.0.1") == ["10-1-0-1.db.shop.svc.cluster.local."]
    put(made, service("db", external="www.example.com"))
    assert ask_address(made, "10.1.0.1") == ["NXDOMAIN"]


def test_a_change_costs_what_it_changes_and_not_its_square() -> None:
    cluster = Cluster(grace=1.0)
    made = answering(service("db"), cluster=cluster)
    parts = [
        endpoints("db", *(f"10.{part}.{n // 250}.{n % 250}" for n in range(1000)), name=f"db-{part}")
        for part in range(10)
    ]
    put(made, *parts)
    for part in parts:  # with a walk over all that is held for each endpoint this took a minute
        made.apply(Remove(Kind.ENDPOINTSLICES, "shop", part["metadata"]["name"]), 0)
    assert cluster.held == 10_000
    assert ask(made, "10-9-3-249.db.shop.svc.cluster.local") == ["10.9.3.249"]
    made.replies.drop(cluster.expire(1.0, 1))
    assert cluster.held == 0
    assert ask(made, "db.shop.svc.cluster.local") == ["NXDOMAIN"]


@pytest.mark.parametrize("text", ["\\", "a\\", "a\\1", "a\\12", "a\\1x2", "a\\256"])
def test_a_broken_escape_is_a_format_error(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        names.from_text(text)
    assert "escape" in str(caught.value)


def test_a_name_that_is_none_in_a_slice_of_names_is_left_out() -> None:
    made = answering(service("alias"), endpoints("alias", "a\\", "www.example.com", family="FQDN"))
    assert ask(made, "alias.shop.svc.cluster.local", "CNAME") == ["www.example.com."]


def test_what_is_no_label_is_no_hostname() -> None:
    found = [endpoint("10.1.0.1", "x" * 64), endpoint("10.1.0.2", "y" * 300), endpoint("10.1.0.3", "z" * 63)]
    made = answering(service("db"), endpoints("db", *found, ports=[("http", "TCP", 80)]))
    labels = ["10-1-0-1", "10-1-0-2", "z" * 63]
    assert ask(made, "db.shop.svc.cluster.local", "SRV") == [f"0 33 80 {n}.db.shop.svc.cluster.local." for n in labels]
    for number, label in enumerate(labels, 1):
        assert ask_address(made, f"10.1.0.{number}") == [f"{label}.db.shop.svc.cluster.local."]


@pytest.mark.parametrize("name", ["n" * 64, "n" * 256])
def test_a_service_that_no_name_can_stand_for_has_no_ptr(name: str) -> None:
    assert ask_address(answering(service(name, "10.9.0.1")), "10.9.0.1") == ["NXDOMAIN"]


def test_what_an_error_tells_fits_into_the_reply() -> None:
    made = answering(service("long", external="x" * 100_000))
    packet = dns.message.make_query("long.shop.svc.cluster.local", "A", use_edns=0, payload=512, id=0).to_wire()
    wire = made.ask(packet)
    assert len(wire) < 512
    assert "externalName" in dns.message.from_wire(wire).options[0].to_text()


@pytest.mark.parametrize("target", ["", "."])
def test_the_root_is_nobodys_alias(target: str) -> None:
    made = answering(service("alias"), endpoints("alias", target, family="FQDN"))
    assert ask(made, "alias.shop.svc.cluster.local", "CNAME") == ["NXDOMAIN"]


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("1.10.in-addr.arpa", "NOERROR"),
        ("10.in-addr.arpa", "NOERROR"),
        ("2.10.in-addr.arpa", "NXDOMAIN"),
        ("01.10.in-addr.arpa", "NXDOMAIN"),
        ("7.1.0.1.10.in-addr.arpa", "NXDOMAIN"),
        ("1.0.0.0.0.0.d.f.ip6.arpa", "NOERROR"),
        ("d.f.ip6.arpa", "NOERROR"),
        ("2.0.0.0.0.0.d.f.ip6.arpa", "NXDOMAIN"),
        ("00.d.f.ip6.arpa", "NXDOMAIN"),  # two digits are no nibble, whatever is below 0.0.d.f
        ("1.0.00.0.0.d.f.ip6.arpa", "NXDOMAIN"),
        ("9.2.0.192.in-addr.arpa", "NOERROR"),  # a network of one address, whose name is a zone's
        ("1.9.2.0.192.in-addr.arpa", "NXDOMAIN"),
    ],
)
def test_reverse_names_above_addresses(name: str, rcode: str) -> None:
    cluster = Cluster(reverse_networks=["10.0.0.0/8", "fd00::/8", "192.0.2.9/32"])
    made = answering(service("web", "10.1.0.1", "fd00:1::1"), cluster=cluster)
    for _ in range(2):
        assert ask(made, name, "PTR") == [rcode]
        made.apply(Remove(Kind.SERVICES, "shop", "web"))
        assert ask(made, name, "PTR") == ["NOERROR" if name in APEXES else "NXDOMAIN"]
        put(made, service("web", "10.1.0.1", "fd00:1::1"))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 255)), max_size=200), st.data())
def test_addresses_are_in_order_whatever_comes_and_goes(changes: list[tuple[bool, int]], data: st.DataObject) -> None:
    present: dict[bytes, None] = {}
    ordered = Ordered(4, [present])
    for is_there, number in changes:
        address = bytes((10, 0, 0, number))
        if is_there != (address in present):
            if is_there:
                present[address] = None
            else:
                del present[address]
            ordered.note(address, is_there=is_there)
        if data.draw(st.integers(0, 20)) == 0:
            low, high = sorted(bytes((10, 0, 0, data.draw(st.integers(0, 255)))) for _ in range(2))
            assert ordered.has_between(low, high) == any(low <= one <= high for one in present)


def test_what_a_client_can_make_up_is_not_counted_apart() -> None:
    made = answering(service("web", "10.9.0.1"))
    for number in range(1000, 1500):
        for name, klass in (("web.shop.svc.cluster.local", "IN"), ("x.shop.svc.cluster.local", "IN"), ("x.", "CH")):
            made.ask(dns.message.make_query(name, dns.rdatatype.RdataType(number), klass).to_wire())
    traffic = made.table.traffic()
    assert set(traffic) == {(0, 0, "no-data"), (0, 3, "service-missing"), (0, 5, "class-refused")}
    assert sum(traffic.values()) == 1500


@pytest.mark.parametrize("count", [1, 60, 70, 500])
def test_what_many_replies_depend_on_drops_them_all_and_only_them(count: int) -> None:
    cache = ReplyCache()
    table = cache.add_table("udp", "1")
    shared, own = (b"com",), (b"shop", b"com")
    for number in range(count):
        cache.keep(table, b"%d" % number, Reply(b"", (1, 0, "found"), (shared, own) if number % 2 else (shared,)))
    cache.keep(table, b"other", Reply(b"", (1, 0, "found"), ((b"net",),)))
    for number in range(0, count, 3):
        cache.discard(table, b"%d" % number)
    cache.drop({own})
    left = {b"%d" % number for number in range(count) if number % 3 and not number % 2}
    assert set(table.replies) == {b"other"} | left
    cache.drop({shared})
    assert set(table.replies) == {b"other"}
    assert cache.statistics().replies == 1


def test_an_endpoint_that_leaves_again_is_held_for_the_whole_grace_again() -> None:
    cluster = Cluster(grace=1.0)
    made = answering(service("db"), endpoints("db", "10.1.0.1"), cluster=cluster)
    gone, there = (Put(decoded(endpoints("db", *found))) for found in ([], ["10.1.0.1"]))
    for event, now in ((gone, 0.0), (there, 0.5), (gone, 0.9)):
        made.apply(event, now)
    for now, expected in ((1.0, ["10.1.0.1"]), (1.8, ["10.1.0.1"]), (1.9, ["NXDOMAIN"])):
        made.replies.drop(cluster.expire(now, 1))
        assert ask(made, "db.shop.svc.cluster.local") == expected


async def test_what_another_routes_upstream_said_earlier_is_as_old_as_it_is(clock: LoopbackClock) -> None:
    async with (
        upstream(answers("{} 300 IN CNAME www.example.com.")) as corp,
        upstream(answers("{} 300 IN A 192.0.2.1")) as rest,
        forwarder(route(corp, domain="corp.example"), route(rest)) as forward,
    ):
        await forward.wait_outcome(outside("www.example.com"))
        clock.jump(100)
        asked = outside("a.corp.example")
        assert shown(asked, await forward.wait_outcome(asked)) == [
            "a.corp.example. 300 IN CNAME www.example.com.",
            "www.example.com. 200 IN A 192.0.2.1",
        ]
