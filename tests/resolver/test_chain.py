"""Where a question's answer comes from: the cluster, fixed names, zone files, or the outside."""

from collections.abc import Sequence

import pytest

from dnsserver.resolver.chain import Chain, Source
from dnsserver.resolver.search import Search
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text, to_text
from dnsserver.wire.zonefile import read_zone
from dnsserver.zone.cluster import Cluster
from dnsserver.zone.model import Put
from dnsserver.zone.record import Answer, Key, name_key, names_of
from dnsserver.zone.static import SpecialNames, StaticZone
from tests.cluster import Thing, decoded, endpoint, endpoints, listed, namespace, service

DOMAIN = from_text("cluster.local")
ZONE = """\
$ORIGIN corp.example.
@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60
db.stage 300 IN A 192.0.2.1
web 300 IN CNAME web.shop.svc.cluster.local.
far 300 IN CNAME www.example.com.
far2 300 IN CNAME far
one 300 IN CNAME two.other.example.
around 300 IN CNAME around.shop.svc.cluster.local.
circle 300 IN CNAME circle.other.example.
*.apps 300 IN CNAME web.shop.svc.cluster.local.
own.apps 300 IN A 192.0.2.2
*.out 300 IN CNAME far
"""
OTHER = """\
$ORIGIN other.example.
@ 300 IN SOA ns hostmaster 1 7200 1800 86400 60
two 300 IN CNAME web.corp.example.
circle 300 IN CNAME circle.corp.example.
"""
# Aliases to and fro between two zones: a.1 leads to the address over as many as there may be, a.0 over one more.
for step in range(m.MAX_CHAIN + 1):
    line = f"a.{step} 300 IN CNAME a.{step + 1}.{'corp' if step % 2 else 'other'}.example.\n"
    ZONE, OTHER = (ZONE, OTHER + line) if step % 2 else (ZONE + line, OTHER)
OTHER += f"a.{m.MAX_CHAIN + 1} 300 IN A 192.0.2.3\n"
REVERSE = """\
$ORIGIN 10.in-addr.arpa.
@ 300 IN SOA ns.corp.example. hostmaster.corp.example. 1 7200 1800 86400 60
1.0.9 300 IN PTR host.corp.example.
*.8 300 IN PTR pool.corp.example.
"""
WEB = "web.shop.svc.cluster.local."
THINGS = (
    namespace("shop"),
    namespace("prod"),
    service("web", "10.9.0.1"),
    service("db", "10.9.0.2", namespace="prod"),
    service("around", external="around.corp.example"),
    service("outward", external="far2.corp.example"),
    service("local", external="x.localhost"),
)


def chain(
    *things: Thing,
    node_domains: Sequence[str] = (),
    search: bool = True,
) -> Chain:
    cluster = Cluster()
    for event in listed([*THINGS, *things]):
        cluster.apply(event, 0, 1)
    zones: list[Source] = [StaticZone(read_zone(text)) for text in (ZONE, OTHER, REVERSE)]
    completion = Search(DOMAIN, [from_text(domain) for domain in node_domains]) if search else None
    return Chain([cluster, SpecialNames(), *zones], completion)


def ask(to: Chain, name: str, type_: int = m.A) -> Answer:
    return to.answer(from_text(name), type_)


def said(answer: Answer) -> tuple[str, list[str]]:
    """Return rcode, and of each record its owner and what an alias is for, or the type."""
    return m.rcode_name(answer.rcode), [
        f"{to_text(rrset.name)} {to_text(rrset.rdatas[0]) if rrset.type == m.CNAME else m.type_name(rrset.type)}"
        for rrset in answer.answer
    ]


def follow(answer: Answer) -> str | None:
    return None if answer.follow is None else to_text(answer.follow)


def hangs_on(answer: Answer) -> tuple[tuple[Key, ...], list[str]]:
    """Return what of the cluster an answer depends on, and the names that it was led to."""
    assert answer.depends is not None
    led = list(names_of(answer.depends))
    return tuple(key for key in answer.depends if key not in map(name_key, led)), list(map(to_text, led))


def test_a_name_that_nobody_here_knows_is_for_the_outside() -> None:
    answer = ask(chain(), "www.example.com")
    assert (follow(answer), answer.aa, answer.answer, answer.depends) == ("www.example.com.", False, (), ())


@pytest.mark.parametrize(
    ("name", "rcode", "records"),
    [
        ("web.shop.svc.cluster.local", "NOERROR", ["web.shop.svc.cluster.local. A"]),
        ("web.corp.example", "NOERROR", [f"web.corp.example. {WEB}", f"{WEB} A"]),
        ("x.localhost", "NOERROR", ["x.localhost. A"]),
        ("local.shop.svc.cluster.local", "NOERROR", ["local.shop.svc.cluster.local. x.localhost.", "x.localhost. A"]),
        ("x.invalid", "NXDOMAIN", []),
        ("gone.corp.example", "NXDOMAIN", []),
        ("x.y.apps.corp.example", "NOERROR", [f"x.y.apps.corp.example. {WEB}", f"{WEB} A"]),
        ("own.apps.corp.example", "NOERROR", ["own.apps.corp.example. A"]),
        ("x.own.apps.corp.example", "NXDOMAIN", []),
        (
            "one.corp.example",  # through three zones of ours
            "NOERROR",
            [
                "one.corp.example. two.other.example.",
                "two.other.example. web.corp.example.",
                "web.corp.example. web.shop.svc.cluster.local.",
                "web.shop.svc.cluster.local. A",
            ],
        ),
    ],
)
def test_what_is_known_here_is_answered_here(name: str, rcode: str, records: list[str]) -> None:
    answer = ask(chain(), name)
    assert said(answer) == (rcode, records)
    assert follow(answer) is None
    assert answer.aa


def test_what_a_wildcard_leads_to_hangs_on_the_cluster() -> None:
    answer = ask(chain(), "x.apps.corp.example")
    assert hangs_on(answer) == (((b"shop", b"web"),), [WEB])
    assert answer.depends is not None
    assert answer.depends[0] == (b"shop", b"web"), "it counts for the namespace"
    outside = ask(chain(), "x.out.corp.example")
    assert said(outside)[1] == ["x.out.corp.example. far.corp.example.", "far.corp.example. www.example.com."]
    assert follow(outside) == "www.example.com."
    pool = ask(chain(), "7.7.8.10.in-addr.arpa", m.PTR)
    assert said(pool) == ("NOERROR", ["7.7.8.10.in-addr.arpa. PTR"])
    assert pool.depends == (bytes((10, 8, 7, 7)),)  # the cluster's, as soon as a service has it


def test_an_alias_that_leaves_through_a_zone_file() -> None:
    answer = ask(chain(), "outward.shop.svc.cluster.local")
    assert said(answer)[1] == [
        "outward.shop.svc.cluster.local. far2.corp.example.",
        "far2.corp.example. far.corp.example.",
        "far.corp.example. www.example.com.",
    ]
    assert follow(answer) == "www.example.com."
    assert answer.aa
    assert hangs_on(answer) == (((b"shop", b"outward"),), ["far2.corp.example.", "www.example.com."])


@pytest.mark.parametrize(("name", "rcode"), [("a.1.other.example", "NOERROR"), ("a.0.corp.example", "SERVFAIL")])
def test_an_answer_has_as_many_aliases_over_zones_as_within_one(name: str, rcode: str) -> None:
    answer = ask(chain(), name)
    assert said(answer)[0] == rcode
    assert (answer.reason.code == "cname-chain-too-long") == (rcode == "SERVFAIL")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("around.shop.svc.cluster.local.", "around.corp.example."),
        ("around.corp.example.", "around.shop.svc.cluster.local."),
        ("circle.corp.example.", "circle.other.example."),
    ],
)
def test_aliases_of_two_zones_that_point_at_each_other_end(one: str, other: str) -> None:
    answer = ask(chain(), one)
    assert said(answer) == ("NOERROR", [f"{one} {other}", f"{other} {one}"])
    assert answer.reason.code == "cname-loop"
    assert answer.reason.ede is not None
    assert [rrset.type for rrset in answer.authority] == [m.SOA]
    assert follow(answer) is None


@pytest.mark.parametrize(
    "name", ["web.shop.svc.cluster.local", "x.localhost", "corp.example", "db.stage.corp.example", "far.corp.example"]
)
def test_any_says_that_a_name_exists_and_no_more(name: str) -> None:
    answer = ask(chain(), name, m.ANY)
    assert said(answer) == ("NOERROR", [f"{name}. HINFO"])
    assert follow(answer) is None


@pytest.mark.parametrize("name", ["gone.shop.svc.cluster.local", "gone.corp.example", "x.invalid"])
def test_any_of_what_does_not_exist_is_nxdomain(name: str) -> None:
    assert said(ask(chain(), name, m.ANY)) == ("NXDOMAIN", [])


@pytest.mark.parametrize("name", ["www.example.com", "9.0.9.11.in-addr.arpa", ".", "com"])
def test_any_of_the_outside_is_answered_alike_and_not_asked_there(name: str) -> None:
    made = chain()
    answer = ask(made, name, m.ANY)
    assert said(answer) == ("NOERROR", [f"{to_text(from_text(name))} HINFO"])
    assert (follow(answer), answer.aa, answer.depends) == (None, False, None)


# --- search lists


def test_a_name_of_the_cluster_that_the_list_leads_to_is_found_without_asking() -> None:
    answer = ask(chain(), "db.prod.shop.svc.cluster.local")
    assert said(answer) == (
        "NOERROR",
        ["db.prod.shop.svc.cluster.local. db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. A"],
    )
    assert hangs_on(answer) == (((b"shop", b"prod"), (b"prod", b"db")), ["db.prod.svc.cluster.local."])


def test_an_outside_name_is_asked_outside_and_depends_on_all_that_was_tried() -> None:
    answer = ask(chain(), "www.example.com.shop.svc.cluster.local")
    assert said(answer) == ("NXDOMAIN", [])
    assert [to_text(name) for name in answer.search] == ["www.example.com."]
    tried = ["www.example.com.svc.cluster.local.", "www.example.com.cluster.local.", "www.example.com."]
    assert hangs_on(answer) == (((b"shop", b"com"), (b"com",)), tried)


def test_domains_of_the_nodes_are_searched_in_their_order() -> None:
    answer = ask(chain(node_domains=["far.example"]), "www.example.com.shop.svc.cluster.local")
    assert [to_text(name) for name in answer.search] == ["www.example.com.far.example.", "www.example.com."]


def test_a_zone_file_answers_for_a_domain_of_the_nodes() -> None:
    made = chain(node_domains=["corp.example"])
    answer = ask(made, "db.stage.shop.svc.cluster.local")
    assert said(answer)[1] == ["db.stage.shop.svc.cluster.local. db.stage.corp.example.", "db.stage.corp.example. A"]
    answer = ask(made, "www.example.com.shop.svc.cluster.local")  # which corp.example does not have
    assert [to_text(name) for name in answer.search] == ["www.example.com."]


def test_what_is_known_here_does_not_overtake_a_domain_of_the_nodes_that_is_not() -> None:
    answer = ask(chain(node_domains=["far.example"]), "db.stage.corp.example.shop.svc.cluster.local")
    assert [to_text(name) for name in answer.search] == ["db.stage.corp.example.far.example.", "db.stage.corp.example."]


@pytest.mark.parametrize("type_", [m.A, m.AAAA, m.TXT])
def test_a_name_that_is_known_here_to_have_no_address_is_passed_over(type_: int) -> None:
    empty = service("empty", "10.9.0.7", namespace="stage")  # empty.stage.svc exists, db.stage.svc does not
    made = chain(namespace("stage"), empty, node_domains=["corp.example"])
    answer = ask(made, "db.stage.shop.svc.cluster.local", type_)
    assert said(answer)[1][0] == "db.stage.shop.svc.cluster.local. db.stage.corp.example."
    stage = chain(node_domains=["corp.example"])  # stage.corp.example is there, with nothing but what is below it
    answer = ask(stage, "stage.corp.example.shop.svc.cluster.local", type_)
    assert said(answer) == ("NXDOMAIN", [])


def test_what_is_not_known_yet_is_no_reason_to_go_on() -> None:
    waiting = Cluster(from_text("corp.test"))  # before its first list
    cluster = Cluster()
    for event in listed(THINGS):
        cluster.apply(event, 0, 1)
    made = Chain([cluster, waiting], Search(DOMAIN, [from_text("shop.svc.corp.test"), from_text("corp.example")]))
    answer = ask(made, "www.example.shop.svc.cluster.local")
    assert said(answer) == ("SERVFAIL", [])
    assert answer.reason.ede is m.EDE.NOT_READY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.localhost", ["x.localhost. A"]),
        ("web.corp.example", ["web.corp.example. web.shop.svc.cluster.local.", "web.shop.svc.cluster.local. A"]),
    ],
)
def test_fixed_names_are_found_through_the_list(name: str, expected: list[str]) -> None:
    expanded = f"{name}.shop.svc.cluster.local"
    assert said(ask(chain(), expanded)) == ("NOERROR", [f"{expanded}. {name}.", *expected])


@pytest.mark.parametrize("name", ["x.invalid", "gone.corp.example", "x.onion"])
def test_fixed_names_that_do_not_exist_end_the_list(name: str) -> None:
    answer = ask(chain(), f"{name}.shop.svc.cluster.local")
    assert said(answer) == ("NXDOMAIN", [])
    assert not answer.search
    assert to_text(answer.authority[0].name) == "cluster.local."


@pytest.mark.parametrize(
    ("type_", "records"),
    [
        (m.A, ["db.prod.svc.cluster.local. A"]),
        (m.AAAA, []),
        (m.TXT, []),
        (m.SRV, ["db.prod.svc.cluster.local. SRV"]),
        (m.CNAME, []),
    ],
)
def test_all_types_speak_of_the_name_that_has_the_address(type_: int, records: list[str]) -> None:
    made = chain(service("db", "10.9.0.2", namespace="prod", ports=[("p", "TCP", 1)]))
    name = "db.prod.shop.svc.cluster.local."
    assert said(ask(made, name, type_)) == ("NOERROR", [f"{name} db.prod.svc.cluster.local.", *records])
    assert said(ask(made, name, m.ANY)) == ("NOERROR", [f"{name} HINFO"])


@pytest.mark.parametrize(
    "name",
    [
        "www.example.com.gone.svc.cluster.local",  # no such namespace
        "www.example.web.shop.svc.cluster.local",  # below a service
        "gone.shop.svc.cluster.local",
        "www.example.com.svc.cluster.local",  # a later step of the list: the first one was asked before
    ],
)
def test_what_no_pod_asks_first_is_not_searched_for(name: str) -> None:
    answer = ask(chain(), name)
    assert said(answer) == ("NXDOMAIN", [])
    assert not answer.search


def test_search_can_be_off() -> None:
    answer = ask(chain(search=False), "www.example.com.shop.svc.cluster.local")
    assert said(answer) == ("NXDOMAIN", [])
    assert not answer.search


def test_an_alias_to_a_missing_service_is_no_expansion() -> None:
    # The alias stands at a name of search shape, and it is its target's service that is missing.
    headless = service("ext", ports=[("http", "TCP", 80)])
    gone = endpoint("gone.shop.svc.cluster.local", "host")
    made = chain(headless, endpoints("ext", gone, ports=[("http", "TCP", 80)], family="FQDN"))
    for name in ("_http._tcp.ext.shop.svc.cluster.local", "host.ext.shop.svc.cluster.local"):
        answer = ask(made, name)
        assert said(answer) == ("NXDOMAIN", [f"{name}. gone.shop.svc.cluster.local."])
        assert not answer.search


# --- reverse names


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("9.0.9.10.in-addr.arpa", bytes((10, 9, 0, 9))),  # nobody's, so the outside's
        ("1.0.9.10.in-addr.arpa", bytes((10, 9, 0, 1))),  # a service's and not the zone file's
        ("1" + ".0" * 31 + ".ip6.arpa", bytes(15) + b"\1"),
        ("7.0.9.10.in-addr.arpa", bytes((10, 9, 0, 7))),  # what the zone file does not have
    ],
)
def test_every_answer_for_a_reverse_name_depends_on_its_address(name: str, address: bytes) -> None:
    assert ask(chain(), name, m.PTR).depends == (address,)


def test_a_reverse_name_of_a_zone_file_becomes_the_clusters() -> None:
    cluster = Cluster()
    for event in listed([namespace("shop")]):
        cluster.apply(event, 0, 1)
    made = Chain([cluster, StaticZone(read_zone(REVERSE))])
    before = ask(made, "1.0.9.10.in-addr.arpa", m.PTR)
    assert before.answer[0].rdatas == (from_text("host.corp.example"),)
    assert before.depends is not None
    changed = cluster.apply(Put(decoded(service("web", "10.9.0.1"))), 0, 1)
    assert changed >= set(before.depends)
    assert ask(made, "1.0.9.10.in-addr.arpa", m.PTR).answer[0].rdatas == (from_text("web.shop.svc.cluster.local"),)
