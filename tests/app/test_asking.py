"""One question: its answer is what a client gets, its sources are named, and no counter changes."""

from pathlib import Path

import dns.message
import msgspec
import pytest

from dnsserver.explain.report import Answered
from tests.app.explaining import Explaining, explaining
from tests.cluster import endpoint, endpoints, namespace, service
from tests.forward.scripted import upstream
from tests.messages import d
from tests.running import ask_udp, port_of
from tests.upstream import answering_from

THINGS = [
    namespace("shop"),
    service("web", "10.9.0.1", "fd00:9::1"),
    service("db"),
    endpoints("db", endpoint("10.1.0.1", "db-0"), name="db-abc"),
    endpoints("db", endpoint("10.1.0.2", ready=False), name="db-def"),
    service("mail", external="www.example.com"),
    service("loop", external="loop.shop.svc.cluster.local"),
]
CONFIG = """
static = ["{folder}/corp.zone"]
local = {{ domains = ["kept.example"] }}

[[rewrite]]
name = "old.example"
to = "web.shop.svc.cluster.local"

[[answer]]
name = "blocked.example"
rcode = "NXDOMAIN"

[[answer]]
name = "dropped.example"
rcode = "DROP"

[[hosts]]
entries = ["192.0.2.5 five.example"]

[[hosts]]
file = "{folder}/hosts"
"""
ENDPOINTS = "1 ready addresses, 1 endpoints not ready"
ZONE = "$ORIGIN corp.example.\n@ 60 IN SOA ns h 1 2 3 4 5\nwww 60 IN A 192.0.2.9\n"
HOSTS = "# nothing\n192.0.2.6 six.example # here\n192.0.2.7 seven.example other.six.example\n"


def sources(answer: Answered) -> list[str]:
    return [f"{source.kind}: {source.text}" for source in answer.sources]


def prepared(folder: Path) -> str:
    (folder / "corp.zone").write_text(ZONE)
    (folder / "hosts").write_text(HOSTS)
    return CONFIG.format(folder=folder)


@pytest.mark.parametrize(
    ("name", "rcode", "reason", "expected"),
    [
        (
            "web.shop.svc.cluster.local",
            "NOERROR",
            "found",
            ["cluster: Service shop/web, ClusterIP 10.9.0.1, fd00:9::1"],
        ),
        (
            "db.shop.svc.cluster.local",
            "NOERROR",
            "found",
            [f"cluster: Service shop/db, headless: {ENDPOINTS} in EndpointSlice db-abc, db-def"],
        ),
        ("nobody.shop.svc.cluster.local", "NXDOMAIN", "service-missing", ["cluster: no Service shop/nobody"]),
        ("web.nowhere.svc.cluster.local", "NXDOMAIN", "namespace-missing", ["cluster: no Namespace nowhere"]),
        ("x.cluster.local", "NXDOMAIN", "not-a-cluster-name", ["cluster: the cluster's domain itself"]),
        (
            "old.example",
            "NOERROR",
            "found",
            ["rule: [[rewrite]] number 1", "cluster: Service shop/web, ClusterIP 10.9.0.1, fd00:9::1"],
        ),
        ("blocked.example", "NXDOMAIN", "rule-nxdomain", ["rule: [[answer]] number 1"]),
        ("dropped.example", "no reply", "rule-dropped", ["rule: [[answer]] number 2"]),
        ("five.example", "NOERROR", "hosts", ["rule: [[hosts]] number 1"]),
        ("six.example", "NOERROR", "hosts", ["rule: [[hosts]] number 2, file {folder}/hosts line 2"]),
        ("www.corp.example", "NOERROR", "found", ["zone file: zone file {folder}/corp.zone"]),
        ("none.corp.example", "NXDOMAIN", "name-missing", ["zone file: zone file {folder}/corp.zone"]),
        ("x.kept.example", "NXDOMAIN", "local-domain", ["special: a name that is never forwarded"]),
        ("x.invalid", "NXDOMAIN", "special-use-name", ["special: a name that is never forwarded"]),
    ],
)
async def test_what_is_here(tmp_path: Path, name: str, rcode: str, reason: str, expected: list[str]) -> None:
    async with explaining(tmp_path, THINGS, prepared(tmp_path)) as made:
        answer = await made.answer(name)
        assert (answer.rcode, answer.reason) == (rcode, reason)
        assert sources(answer) == [text.format(folder=tmp_path) for text in expected]


@pytest.mark.parametrize(
    ("name", "type_", "command"),
    [
        ("nobody.shop.svc.cluster.local", "A", "`kubectl get services -n shop`"),
        ("_no._tcp.web.shop.svc.cluster.local", "SRV", "`kubectl describe service web -n shop`"),
        ("x.db.shop.svc.cluster.local", "A", "`kubectl get endpointslices -n shop -o yaml`"),
        ("10-9-9-9.shop.pod.cluster.local", "A", "`kubectl get pods -n shop -o wide`"),
    ],
)
async def test_what_to_do_is_said_with_the_names_that_are_known(
    tmp_path: Path, name: str, type_: str, command: str
) -> None:
    async with explaining(tmp_path, THINGS, 'pods = "verified"\n') as made:
        assert command in (await made.answer(name, type_)).advice


@pytest.mark.parametrize(
    ("name", "place"),
    [("old.example", "c.toml:9: rewrite[0]"), ("dropped.example", "c.toml:17: answer[1]"), ("six.example", "hosts[1]")],
)
async def test_a_rule_is_told_with_its_place(tmp_path: Path, name: str, place: str) -> None:
    async with explaining(tmp_path, THINGS, prepared(tmp_path)) as made:
        found = (await made.answer(name)).sources[0].place
        assert found.startswith(str(tmp_path))
        assert found.endswith(place)


async def test_an_upstream_is_named_with_its_time_and_the_cache_with_its_age(tmp_path: Path) -> None:
    async with upstream(answering_from()) as outside, explaining(tmp_path, THINGS, port=outside.port) as made:
        first, again = await made.answer("www.example.com"), await made.answer("www.example.com")
        alias = await made.answer("mail.shop.svc.cluster.local")
        name = f"127.0.0.1:{outside.port}"
        (asked,), (kept,) = first.sources, again.sources
        assert (asked.kind, asked.upstream, asked.age) == ("upstream", name, None)
        assert asked.seconds is not None
        assert 0 < asked.seconds < 5
        assert (kept.kind, kept.upstream, kept.seconds) == ("cache", name, None)
        assert kept.age is not None
        assert 0 <= kept.age < 5
        assert [source.kind for source in alias.sources] == ["cluster", "cache"]
        assert len(outside.queries) == 1


async def test_a_failure_and_one_that_is_remembered(tmp_path: Path) -> None:
    async with explaining(tmp_path, THINGS, port=1) as made:  # where nobody listens
        failed, again = await made.answer("www.example.com"), await made.answer("www.example.com")
    assert failed.rcode == again.rcode == "SERVFAIL"
    assert (failed.reason, again.reason) == ("upstream-unreachable", "failure-cached")
    assert [error.code for error in again.errors][:1] == [13]
    assert sources(again) == ["failure: www.example.com. A failed a short time ago, and is not asked again yet"]


NAMES = [
    ("web.shop.svc.cluster.local", "A"),
    ("web.shop.svc.cluster.local", "MX"),
    ("db.shop.svc.cluster.local", "SRV"),
    ("mail.shop.svc.cluster.local", "AAAA"),
    ("loop.shop.svc.cluster.local", "A"),
    ("none.shop.svc.cluster.local", "A"),
    ("www.example.com", "A"),
    ("nobody.example.com", "A"),
    ("example.com", "NS"),
    ("cluster.local", "SOA"),
    ("1.0.9.10.in-addr.arpa", "PTR"),
    ("old.example", "A"),
    ("six.example", "A"),
]


@pytest.mark.parametrize("ipv6", ["on", "off"])
async def test_it_is_what_a_client_gets_and_no_client_is_counted(tmp_path: Path, ipv6: str) -> None:
    async with (
        upstream(answering_from()) as outside,
        explaining(tmp_path, THINGS, f'ipv6 = "{ipv6}"\n' + prepared(tmp_path), port=outside.port) as made,
    ):
        for name, type_ in NAMES:
            before = numbers(made)
            told = await made.answer(name, type_)
            assert numbers(made) == before, name
            (wire,) = await ask_udp(port_of(made.server), [d(name, type_, use_edns=0).to_wire()])
            reply = dns.message.from_wire(wire)
            assert told.rcode == dns.rcode.to_text(reply.rcode()), name
            got = sorted(f"{rrset.name.to_text()} {rdata.to_text()}" for rrset in reply.answer for rdata in rrset)
            assert sorted(f"{record.name} {record.data}" for record in told.records) == got, name
            options = [(option.code, option.text or "") for option in reply.options if hasattr(option, "text")]
            assert [(error.code, error.text) for error in told.errors] == options, name


def numbers(made: Explaining) -> bytes:
    """Return all that is counted of clients' questions, replies and caches."""
    dns_service = made.server.dns
    cache = dns_service.forwarder.statistics().cache
    counts = [
        (table.protocol, sorted(table.traffic().replies.items()), table.durations.counts)
        for table in dns_service.replies.tables
    ]
    known = msgspec.structs.asdict(cache)
    for key in ("entries", "size", "denials", "failed"):  # what was learnt of upstreams is kept
        del known[key]
    return msgspec.json.encode([repr(counts), known, dns_service.replies.statistics()])
