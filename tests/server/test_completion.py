"""Outside names that a pod's search list has made: which candidate is meant, and how long the answer is kept."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsserver.forward.outcome import FORWARDED, UPSTREAM_TIMEOUT, Outcome, Question
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.reply import whole_body
from dnsserver.zone.model import Kind
from tests.cluster import namespace, service
from tests.outside import rrset
from tests.server.unplugged import ADDRESS, EXPANDED, SOA, WWW, Server, is_authoritative, said


@pytest.fixture
def server() -> Server:
    return Server()


NEAR = "www.example.com.corp.example."
PREFER_NEAR = ("corp.example",)
_A, _AAAA, _MX = "192.0.2.3", "2001:db8::3", "10 mail.corp.example."
NOTHING: dict[str, str] = {}


class World:
    """The outside: the records of each name by type. Other names do not exist; a str is a failure."""

    def __init__(self, server: Server, names_: dict[str, dict[str, str] | str]) -> None:
        self.server = server
        self.names = names_

    def ask(self, name: str, type_: str) -> dns.message.Message:
        """Return the reply to a question; the outside answers late whatever it is asked."""
        server = self.server
        server.start(name, type_)
        for _ in range(20):
            if not server.outside.waiting:
                return server.late()
            self._answer()
        raise AssertionError("asks on and on")

    def _answer(self) -> None:
        asked, type_ = self.server.outside.open[0].split()
        known = self.names.get(asked)
        if isinstance(known, str):
            self.server.outside.fail()
        elif known is None:
            self.server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN)
        elif type_ in known:
            self.server.outside.answer(f"{asked} 60 IN {type_} {known[type_]}")
        else:
            self.server.outside.answer(authority=[SOA])


# Of the node's domain, of the name itself: which of them is meant, None for neither, a str for the failure.
CANDIDATES: dict[str, tuple[dict[str, str] | str | None, dict[str, str] | str | None, str | None]] = {
    "the first has A": ({"A": _A}, {"A": _A, "AAAA": _AAAA}, NEAR),
    "the first has AAAA only": ({"AAAA": _AAAA}, {"A": _A}, NEAR),
    "the first has both": ({"A": _A, "AAAA": _AAAA}, None, NEAR),
    "the first is empty": (NOTHING, {"A": _A}, WWW),
    "the first has only an MX": ({"MX": _MX}, {"A": _A, "MX": _MX}, WWW),
    "the first is not there": (None, {"AAAA": _AAAA}, WWW),
    "the first fails": ("SERVFAIL", {"A": _A}, "SERVFAIL"),
    "the second fails": (None, "SERVFAIL", "SERVFAIL"),
    "both are empty": (NOTHING, {"MX": _MX}, None),
    "neither is there": (None, None, None),
}


@pytest.mark.parametrize("type_", ["A", "AAAA", "MX", "TXT", "SRV", "HTTPS", "CNAME", "ANY"])
@pytest.mark.parametrize("case", CANDIDATES)
def test_all_types_speak_of_the_first_candidate_that_has_an_address(case: str, type_: str) -> None:
    near, far, meant = CANDIDATES[case]
    server = Server(node_domains=PREFER_NEAR)
    names_ = {name: known for name, known in ((NEAR, near), (WWW, far)) if known is not None}
    reply = World(server, names_).ask(EXPANDED, type_)
    if meant is None:
        assert said(reply) == ("NXDOMAIN", [])
        assert [found.name.to_text() for found in reply.authority] == ["cluster.local."]
        return
    if meant == "SERVFAIL":
        assert said(reply) == ("SERVFAIL", [])
        return
    known = names_[meant]
    assert isinstance(known, dict)
    if type_ == "ANY":
        assert said(reply) == ("NOERROR", [f'{EXPANDED} 3789 IN HINFO "RFC8482" ""'])
        return
    data = [f"{meant} 60 IN {type_} {known[type_]}"] if type_ in known else []
    assert said(reply) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {meant}", *data])
    assert is_authoritative(reply)


def test_a_candidate_in_the_cluster_is_judged_by_what_it_leads_to() -> None:
    # `db.prod` is an ExternalName whose target exists and has no address; `db.prod.corp.example` has one.
    expanded = "db.prod.shop.svc.cluster.local."
    things = (namespace("shop"), namespace("prod"), service("db", namespace="prod", external="far.example.com"))
    server = Server(*things, node_domains=PREFER_NEAR)
    world = World(server, {"far.example.com.": NOTHING, "db.prod.corp.example.": {"A": _A}})
    assert said(world.ask(expanded, "A"))[1][0] == f"{expanded} 5 IN CNAME db.prod.corp.example."
    world.names["far.example.com."] = {"AAAA": _AAAA}
    assert said(world.ask(expanded, "AAAA"))[1] == [
        f"{expanded} 5 IN CNAME db.prod.svc.cluster.local.",
        "db.prod.svc.cluster.local. 5 IN CNAME far.example.com.",
        f"far.example.com. 60 IN AAAA {_AAAA}",
    ]


def test_what_is_asked_to_find_the_candidate_is_not_asked_again(server: Server) -> None:
    server.start(EXPANDED)
    assert server.outside.open == [f"{WWW} A"]
    server.outside.answer(f"{WWW} 0 IN A 192.0.2.1")  # of which nothing can be kept
    assert said(server.late()) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {WWW}", f"{WWW} 0 IN A 192.0.2.1"])


def test_an_expanded_name_is_an_alias_of_what_is_found_outside(server: Server) -> None:
    server.keep(EXPANDED, ADDRESS)
    reply = server.at_once(EXPANDED)
    assert said(reply) == ("NOERROR", [f"{EXPANDED} 5 IN CNAME {WWW}", ADDRESS])
    assert is_authoritative(reply)


def test_a_kept_completion_lasts_as_long_as_all_that_it_was_worked_out_of() -> None:
    server = Server(node_domains=PREFER_NEAR)
    now = server.now
    for known, type_, answer, lasts in ((NEAR, m.A, "", 300), (NEAR, m.AAAA, "", 20), (WWW, m.A, ADDRESS, 300)):
        ask = Question(names.from_text(known), type_)
        body = whole_body(ask.name, [rrset(answer)] if answer else [], [] if answer else [rrset(SOA)])
        server.outside.known[ask] = Outcome(0, body, False, FORWARDED, now, now + lasts)
    assert said(server.at_once(EXPANDED))[1] == [f"{EXPANDED} 5 IN CNAME {WWW}", ADDRESS]
    server.outside.known.clear()
    server.now += 19
    assert said(server.at_once(EXPANDED))[0] == "NOERROR"
    server.now += 2  # and from here on the first candidate may have an address
    server.start(EXPANDED)


def test_an_expanded_name_that_is_not_found_does_not_exist_as_long_as_the_outside_says_so(server: Server) -> None:
    server.start(EXPANDED)
    server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN, lasts=60)
    reply = server.late()
    assert said(reply) == ("NXDOMAIN", [])
    assert is_authoritative(reply)
    server.now += 59
    assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
    server.now += 2
    server.start(EXPANDED)


@pytest.mark.parametrize("rcode", [m.SERVFAIL, m.REFUSED, m.FORMERR, m.NOTIMP])
def test_a_failure_of_the_outside_is_no_word_about_an_expanded_name(server: Server, rcode: int) -> None:
    server.start(EXPANDED)
    server.outside.answer(rcode=rcode, reason=UPSTREAM_TIMEOUT)
    reply = server.late()
    assert said(reply) == ("SERVFAIL", [])
    assert [option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)] == [22]
    server.start(EXPANDED)  # nothing is kept of it


def test_a_walk_that_would_never_end_is_a_failure() -> None:
    server = Server(node_domains=[f"d{number}.example" for number in range(40)])
    server.start(EXPANDED)
    asked = 0
    while server.outside.waiting:
        asked += 1
        server.outside.answer(authority=[SOA])
    assert asked == 64
    assert said(server.late()) == ("SERVFAIL", [])


def test_a_walk_takes_as_many_domains_as_a_kubelet_gives_a_pod() -> None:
    server = Server(node_domains=[f"d{number}.example" for number in range(29)])
    server.start(EXPANDED)
    for _ in range(2 * 29):
        server.outside.answer(authority=[SOA])
    server.outside.answer(ADDRESS)
    assert said(server.late())[0] == "NOERROR"


def test_a_candidate_that_comes_to_be_while_a_later_one_is_asked_is_seen_and_nothing_old_is_kept() -> None:
    expanded = "db.prod.shop.svc.cluster.local."
    server = Server(namespace("shop"), namespace("prod"), node_domains=PREFER_NEAR)
    server.start(expanded)
    server.put(service("db", namespace="prod", external="far.example.com"))
    server.outside.answer(authority=[SOA], rcode=m.NXDOMAIN)  # what was asked is not what is looked for any more
    assert server.outside.open == ["far.example.com. A"]
    server.outside.answer("far.example.com. 60 IN A 192.0.2.9")
    assert said(server.late())[1][1] == "db.prod.svc.cluster.local. 5 IN CNAME far.example.com."


def test_an_expanded_name_that_is_a_services_meanwhile(server: Server) -> None:
    for _ in range(2):
        server.start(EXPANDED)
        server.put(service("com", "10.9.0.8"))
        server.outside.answer(ADDRESS)
        assert said(server.late()) == ("NXDOMAIN", [])  # too many labels left of a service
        assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
        server.remove(Kind.SERVICES, "com")


def test_an_expanded_name_that_is_completed_in_the_cluster_meanwhile(server: Server) -> None:
    name = "db.prod.shop.svc.cluster.local."
    server.start(name)
    server.put(namespace("prod"), service("db", "10.9.0.5", namespace="prod"))
    server.outside.answer("db.prod. 300 IN A 192.0.2.4")
    found = [f"{name} 5 IN CNAME db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. 5 IN A 10.9.0.5"]
    assert said(server.late()) == ("NOERROR", found)
    assert said(server.at_once(name)) == ("NOERROR", found)


def test_a_kept_completion_goes_with_the_namespace_and_comes_back(server: Server) -> None:
    server.keep(EXPANDED, ADDRESS)
    server.remove(Kind.NAMESPACES, "shop", "")
    assert said(server.at_once(EXPANDED)) == ("NXDOMAIN", [])
    server.put(namespace("shop"))
    server.start(EXPANDED)


def test_a_kept_completion_depends_on_the_names_that_come_before_it(server: Server) -> None:
    name = "db.prod.shop.svc.cluster.local."
    server.keep(name, "db.prod. 300 IN A 192.0.2.4")
    server.put(namespace("prod"), service("db", "10.9.0.5", namespace="prod"))
    found = [f"{name} 5 IN CNAME db.prod.svc.cluster.local.", "db.prod.svc.cluster.local. 5 IN A 10.9.0.5"]
    assert said(server.at_once(name)) == ("NOERROR", found)
