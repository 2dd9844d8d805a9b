"""An explanation as lines for people."""

import msgspec
import pytest

from dnsserver.explain.client import Client
from dnsserver.explain.report import (
    Answered,
    Asked,
    Explanation,
    RecordText,
    Source,
    ToldError,
    Way,
    notes,
    telling,
    verdict,
    why_not,
)
from dnsserver.explain.text import lines

CLIENT = Client("a pod", ("10.96.0.10",), ("svc.c", "c"), ("ndots:5", "rotate"), here="yes")
OK = Answered(
    "web.svc.c.",
    "A",
    "NOERROR",
    tuple(RecordText("web.svc.c.", "A", 5, f"10.0.0.{number}") for number in range(10)),
    found=True,
    sources=(Source("cluster", "Service shop/web"),),
    octets=600,
)
MISSING = Answered(
    "web.c.",
    "A",
    "NXDOMAIN",
    reason="service-missing",
    meaning="there is none",
    advice="Make one.",
    text="there is no such Service",
    errors=(ToldError(0, "Other", "there is no such Service"), ToldError(22, "", "more")),
    sources=(Source("cache", "web.c. from the cache", upstream="192.0.2.1:53", age=1.26, place="c.toml:3"),),
)
SILENT = Answered("web.", "A", "no reply", sources=(Source("upstream", "asked now", seconds=0.0123),))
BEFORE = "because of the search list, 1 question went before the right one"
LARGE = "over UDP, without EDNS, 512 fit, so that the resolver asks again over TCP; musl before 1.2.4 takes what fits"
FOUR = "10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3"


def asked(*answers: Answered) -> tuple[Asked, ...]:
    return tuple(Asked(each.name, (each.type,), "because", each.found) for each in answers)


def test_a_name_that_resolves_with_one_resolver_only() -> None:
    ways = (
        Way("glibc", asked(MISSING, OK), "found"),
        Way("go", asked(MISSING, OK), "found"),
        Way("musl", asked(MISSING), "failed", "it waits"),
    )
    questions = (MISSING, OK)
    resolves, sentence = verdict("web", CLIENT, ways, questions)
    found = Explanation(
        "web",
        ("A",),
        CLIENT,
        5,
        ways,
        questions,
        ("wab.svc.c",),
        notes(CLIENT, ways, questions),
        None,
        resolves,
        sentence,
    )
    assert list(lines(found)) == [
        "web (A) for a pod",
        "",
        "nameservers  10.96.0.10 (this server)",
        "search       svc.c c",
        "options      ndots:5 rotate",
        "",
        "glibc and Go ask:",
        "  1. web.c.  A NXDOMAIN  (because)",
        "  2. web.svc.c.  A 10 found  (because)",
        "  found",
        "musl asks:",
        "  1. web.c.  A NXDOMAIN  (because)",
        "  failed: the name may exist, but no answer came (it waits)",
        "",
        "web.c. A: NXDOMAIN",
        "  from web.c. from the cache (upstream 192.0.2.1:53, 1.3 s old, c.toml:3)",
        "  why: service-missing: there is no such Service",
        "  EDE 0 (Other)",
        "  EDE 22 (not known here): more",
        "",
        "web.svc.c. A: NOERROR",
        *(f"    web.svc.c. 5 A 10.0.0.{number}" for number in range(8)),
        "    and 2 more",
        "  from Service shop/web",
        "",
        f"note: {BEFORE}: web.svc.c., with the dot at the end, takes 1",
        "note: musl does not find it, glibc does: it waits",
        f"note: the answer for web.svc.c. A has 600 octets: {LARGE}",
        "similar: wab.svc.c",
        "",
        f"web resolves with glibc and Go as web.svc.c. to {FOUR} and 6 more, but not with musl: it waits",
    ]


def test_a_name_that_does_not_resolve() -> None:
    ways = (Way("glibc", asked(MISSING, SILENT), "failed"),)
    why = telling((MISSING, SILENT), "web.")
    assert why is MISSING
    resolves, sentence = verdict("web", CLIENT, ways, (MISSING, SILENT), (), why)
    assert (resolves, sentence) == (False, "web does not resolve: web.c. A: there is no such Service")
    found = Explanation("web", ("A",), CLIENT, 5, ways, (MISSING, SILENT), (), (), ("web.c.", "A"), resolves, sentence)
    shown = list(lines(found))
    assert "  do: Make one." in shown
    assert "  from asked now (after 12.3 ms)" in shown


def test_what_clients_are_told_besides_records_is_shown_too() -> None:
    stale = ToldError(3, "Stale Answer", "no word from the Kubernetes API for more than 5 min")
    answer = msgspec.structs.replace(OK, records=OK.records[:1], errors=(stale, ToldError(22, "", "")))
    ways = (Way("glibc", asked(answer), "found"),)
    found = Explanation("web", ("A",), CLIENT, 5, ways, (answer,), (), (), None, True, "it resolves")
    shown = list(lines(found))
    assert shown[shown.index("web.svc.c. A: NOERROR") :] == [
        "web.svc.c. A: NOERROR",
        "    web.svc.c. 5 A 10.0.0.0",
        "  from Service shop/web",
        "  EDE 3 (Stale Answer): no word from the Kubernetes API for more than 5 min",
        "  EDE 22 (not known here)",
        "",
        "it resolves",
    ]


def test_a_name_of_the_clients_own_hosts_file() -> None:
    client = Client("a pod", hosts=(("DB", "192.0.2.7"),))
    ways = (Way("glibc", asked(MISSING), "not-found"),)
    assert verdict("db.", client, ways, (MISSING,)) == (
        True,
        "db. resolves to 192.0.2.7: the client's own /etc/hosts has it, and no question is asked",
    )


@pytest.mark.parametrize(
    ("types", "hosts", "told"),
    [
        (("A", "AAAA"), ("192.0.2.7",), "192.0.2.7"),
        (("A", "AAAA"), ("2001:db8::7",), "2001:db8::7"),
        (("A", "AAAA"), ("192.0.2.7", "2001:db8::7"), "192.0.2.7, 2001:db8::7"),
        (("AAAA",), ("192.0.2.7", "2001:db8::7"), "2001:db8::7"),
        (("AAAA",), ("192.0.2.7",), None),
        (("A",), ("2001:db8::7",), None),
        (("MX",), ("192.0.2.7", "2001:db8::7"), None),
        (("SRV",), ("192.0.2.7",), None),
    ],
)
def test_a_hosts_file_has_addresses_and_nothing_else(
    types: tuple[str, ...], hosts: tuple[str, ...], told: str | None
) -> None:
    client = Client("a pod", hosts=tuple(("db", address) for address in hosts))
    questions = tuple(msgspec.structs.replace(MISSING, type=type_) for type_ in types)
    resolves, sentence = verdict("db", client, (Way("glibc", asked(*questions), "not-found"),), questions)
    assert resolves == (told is not None)
    assert sentence.startswith(f"db resolves to {told}: " if told else "db does not resolve")


def test_what_an_upstream_says_in_words() -> None:
    said = Answered("x.", "AAAA", "NXDOMAIN", reason="forwarded")
    assert why_not(said) == "the upstream says that there is no such name"
    said = Answered("x.", "AAAA", "NOERROR", reason="forwarded-no-data")
    assert why_not(said) == "the upstream says that the name exists, but has no AAAA"


@pytest.mark.parametrize(
    ("reason", "alias"),
    [
        ("service-missing", "it is an alias of c.: "),
        ("upstream-servfail", "it is an alias of c.: "),
        ("cname-loop", ""),
    ],
)
def test_of_an_alias_it_is_told_what_name_the_reason_is_about(reason: str, alias: str) -> None:
    records = tuple(RecordText(owner, "CNAME", 5, target) for owner, target in (("a.", "b."), ("b.", "c.")))
    why = Answered("a.", "A", "NXDOMAIN", records, reason=reason, text="it fails")
    ways = (Way("glibc", asked(why), "not-found"),)
    assert verdict("a.", CLIENT, ways, (why,), (), why) == (False, f"a. does not resolve: a. A: {alias}it fails")


def test_which_failure_tells_most() -> None:
    def failed(name: str, reason: str, rcode: str = "NXDOMAIN") -> Answered:
        return Answered(name, "A", rcode, reason=reason)

    junk, outside = failed("a.b.c.", "not-a-cluster-name"), failed("a.b.", "forwarded")
    broken, unready = failed("a.b.c.d.", "upstream-servfail", "SERVFAIL"), failed("a.x.", "no-ready-endpoints")
    assert telling((junk, outside), "a.b") is outside
    assert telling((junk, outside), "a.b", "a.b.c.") is junk
    assert telling((junk, unready, outside), "a.b") is unready
    assert telling((junk, unready, broken), "a.b") is broken
    there = msgspec.structs.replace(unready, sources=(Source("cluster", "Service x/a, headless", "Service x/a"),))
    assert telling((junk, there, broken), "a.b") is there
    deleted = failed("a.b.svc.c.", "service-missing")
    assert telling((junk, deleted, broken), "a.b", lost="a.b.svc.c.") is deleted
    assert telling((junk, deleted, broken), "a.b", "a.b.svc.c.") is broken
    assert telling((), "a") is None
    of_one_label = failed("a.", "upstream-timeout", "SERVFAIL")
    assert telling((junk, of_one_label), "a") is junk
