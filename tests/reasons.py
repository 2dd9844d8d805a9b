"""All reasons that an answer can have: for each a question that brings it, and what the client is told then (RFC 8914).

`EXAMPLES` is the one list of them, which a test asks of a server that runs. docs/failing-names.md has a table that is
made of it: `python -m tests.reasons` writes it.
"""

import re
from typing import Any

import dns.message
import dns.opcode

from dnsserver import advice
from dnsserver.forward import outcome as o
from tests.deployment import ROOT
from tests.scenes import LONG, UP, Example

# What nobody is told, as there is no reply; tests/server/test_backlog.py brings it.
NEVER_TOLD = ("given-up",)


def _opcode(query: dns.message.Message) -> bytes:
    query.set_opcode(dns.opcode.NOTIFY)
    return query.to_wire()


def _version(query: dns.message.Message) -> bytes:
    query.use_edns(1)
    return query.to_wire()


def _cluster(code: str, question: str, text: str, *, ede: int = 0, **more: Any) -> Example:
    return Example(code, f"{question}.cluster.local", errors=((ede, text),), **more)


def _servfail(code: str, question: str, text: str, *, ede: int = 0, **more: Any) -> Example:
    return Example(code, question, "SERVFAIL", ((ede, text),), **more)


LABEL = "externalName: the label in front of a dot has 0 octets, expected 1 to 63"
OLD = f"expired more than 2 min ago; upstream {UP}: silent for 1800 ms"
BY_RULE = "a rule of this server answers so"
SILENT = f"upstream {UP}: silent for 2000 ms"
EXAMPLES = (
    # what was hoped for, and what the name simply does not have: nothing is told
    Example("found", "web.shop.svc.cluster.local", "NOERROR"),
    Example("forwarded", "ok.example", "NOERROR"),
    Example("forwarded-no-data", "ok.example AAAA", "NOERROR"),
    Example("search-completed", "ok.example.shop.svc.cluster.local CNAME", "NOERROR", scene="search"),
    Example("hosts", "nas.home.example", "NOERROR", scene="rules"),
    Example("rule-records", "fixed.example", "NOERROR", scene="rules"),
    Example("any-outside", "ok.example ANY", "NOERROR"),
    Example("no-data", "web.shop.svc.cluster.local TXT", "NOERROR"),
    Example("no-data", "shop.svc.cluster.local", "NOERROR"),
    Example("no-address-of-family", "web.shop.svc.cluster.local AAAA", "NOERROR"),
    Example("above-ports", "_tcp.web.shop.svc.cluster.local", "NOERROR"),
    Example("no-ports", "bare.shop.svc.cluster.local SRV", "NOERROR"),
    Example("hosts-no-data", "nas.home.example AAAA", "NOERROR", scene="rules"),
    Example("rule-no-data", "fixed.example TXT", "NOERROR", scene="rules"),
    Example("special-use-name", "localhost", "NOERROR"),
    # the cluster
    _cluster("namespace-missing", "web.nowhere.svc", "there is no such namespace"),
    _cluster("service-missing", "nobody.shop.svc", "there is no such Service in the namespace"),
    _cluster("no-ready-endpoints", "slow.shop.svc", "none of 2 endpoints is ready"),
    _cluster("no-ready-endpoints", "idle.shop.svc", "the Service has no endpoints"),
    _cluster("port-unknown", "_smtp._tcp.web.shop.svc", "the Service has no port of this name and protocol"),
    _cluster("endpoint-missing", "db-9.db.shop.svc", "the Service has no ready endpoint of this name"),
    _cluster("below-external-name", "x.alias.shop.svc", "nothing is below a Service of type ExternalName"),
    _cluster(
        "external-name-is-address",
        "numbered.shop.svc",
        "externalName 192.0.2.1 is an IP address, expected a domain name",
        ede=24,
    ),
    _cluster("external-name-invalid", "spelled.shop.svc", LABEL, ede=24),
    _cluster("too-many-labels", "a.b.c.web.shop.svc", "no name of the cluster has so many labels"),
    _cluster("not-a-cluster-name", "somewhere.else", "no name of the cluster is of this form"),
    _cluster("pods-disabled", "10-1-0-9.shop.pod", "names of pods are off", scene="pods off"),
    _cluster(
        "pod-missing", "10-1-0-8.shop.pod", "no running pod of the namespace has this address", scene="pods verified"
    ),
    _cluster("not-an-address", "web-0.shop.pod", "the first label is not an address"),
    Example(
        "address-unknown",
        "9.9.9.10.in-addr.arpa PTR",
        errors=((0, "nothing in the cluster has this address"),),
        scene="reverse",
    ),
    Example(
        "name-too-long",
        f"{'s' * 63}.{'n' * 63}.svc.{LONG} SRV",
        "NOERROR",
        ((24, "the name would have more than 255 octets"),),
        scene="long names",
    ),
    _servfail(
        "not-ready",
        "web.shop.svc.cluster.local",
        "waiting for the Kubernetes API: endpointslices, namespaces, services",
        ede=14,
        scene="no API server",
    ),
    Example("cname-loop", "one.shop.svc.cluster.local", "NOERROR", ((0, "the aliases lead back to each other"),)),
    _servfail("cname-chain-too-long", "step-0.shop.svc.cluster.local", "more than 16 CNAMEs"),
    _servfail(
        "search-too-long",
        "back.example.com.shop.svc.cluster.local",
        "the search list takes too many questions",
        scene="search",
    ),
    # rules, hosts, zone files
    Example("name-missing", "x.corp.example", errors=((0, "the zone file does not have the name"),), scene="rules"),
    Example(
        "hosts-name-missing", "x.home.example", errors=((0, "the hosts table does not have the name"),), scene="rules"
    ),
    Example("rule-nodata", "empty.example", "NOERROR", ((15, BY_RULE),), scene="rules"),
    Example("rule-nxdomain", "blocked.example", errors=((15, BY_RULE),), scene="rules"),
    Example("rule-refused", "refused.example", "REFUSED", ((18, BY_RULE),), scene="rules"),
    Example("rule-dropped", "dropped.example", "no reply", scene="rules"),
    _servfail(
        "rule-record-invalid",
        "ip-999.example",
        "the answer of a rule is not a valid record for this name",
        ede=24,
        scene="rules",
    ),
    _servfail(
        "rewrite-not-a-name",
        f"{'y' * 60}.{'z' * 60}.short.example",
        "a rule rewrites the name into an invalid name",
        ede=24,
        scene="rules",
    ),
    Example(
        "service-missing",
        "old.example",
        errors=((0, "there is no such Service in the namespace (looked up as gone.shop.svc.cluster.local.)"),),
        scene="rules",
    ),
    Example("special-use-name", "x.invalid", errors=((0, "a special-use name, which is never forwarded"),)),
    Example(
        "local-domain",
        "x.internal",
        errors=((0, "the configuration keeps the names of this domain from the upstreams"),),
        scene="rules",
    ),
    Example(
        "ipv6-off",
        "ok.example AAAA",
        "NOERROR",
        ((17, "this server hides AAAA records of outside names"),),
        scene="no IPv6",
    ),
    # the outside
    Example(
        "no-upstreams",
        "ok.example",
        "REFUSED",
        ((20, "no upstream is configured for this name"),),
        scene="nobody outside",
    ),
    _servfail(
        "upstreams-unknown",
        "ok.example",
        "FOLDER/none.conf cannot be read: No such file or directory",
        ede=22,
        scene="a file that is not there",
    ),
    _servfail("upstream-timeout", "silent.example", SILENT, ede=22),
    _servfail(
        "upstream-unreachable",
        "ok.example",
        f"upstream {UP}: unreachable: Connection refused",
        ede=23,
        scene="a closed port",
    ),
    _servfail(
        "upstream-closed",
        "closes.example",
        f"upstream tcp://{UP}: it closes connections without an answer",
        ede=23,
        scene="over TCP",
    ),
    _servfail("upstream-servfail", "servfail.example", f"upstream {UP}: SERVFAIL"),
    _servfail("upstream-servfail", "notimp.example", f"upstream {UP}: NOTIMP"),
    _servfail("upstream-refused", "refused.example", f"upstream {UP}: REFUSED"),
    _servfail("upstream-lame", "refers.example", f"upstream {UP}: a referral, so it does not resolve for others"),
    _servfail(
        "upstream-format",
        "junk.example",
        f"upstream tcp://{UP}: sent what cannot be read",
        ede=24,
        scene="over TCP",
    ),
    _servfail("answer-too-large", "huge.example", f"upstream {UP}: the answer has too many records"),
    _servfail("chain-too-long", "chain.example", f"upstream {UP}: the CNAME chain is too long or a loop"),
    _servfail("failure-cached", "servfail.example", f"upstream {UP}: SERVFAIL", ede=13, again=0.1),
    Example(
        "stale",
        "once.example",
        "NOERROR",
        ((3, OLD),),
        again=200.0,
    ),
    _servfail(
        "loop",
        "ok.example",
        f"upstream {UP}: the question came back, so it forwards to this server",
        scene="a loop",
    ),
    _servfail(
        "forward-overload",
        "ok.busy.example",
        "too many questions wait for the upstreams",
        scene="few at once",
        meanwhile="silent.busy.example",
    ),
    _servfail("forward-domain-share", "www.example.com", o.DOMAIN_SHARE.text, told=o.DOMAIN_SHARE),
    _servfail("forward-client-share", "www.example.com", o.CLIENT_SHARE.text, told=o.CLIENT_SHARE),
    _servfail("forward-internal-error", "www.example.com", "internal error", told=o.BUG),
    # what an upstream says itself
    Example("upstream-servfail", "bogus.example", "SERVFAIL", ((0, f"upstream {UP}: SERVFAIL"), (6, f"{UP}: no key"))),
    Example("forwarded", "filtered.example", errors=((17, f"{UP}: malware"), (0, f"{UP}: Prohibited"))),
    # clients and their packets
    Example(
        "client-not-allowed",
        "web.shop.svc.cluster.local",
        "REFUSED",
        ((18, "your address may not ask here"),),
        scene="strangers",
    ),
    Example("client-rate", "web.shop.svc.cluster.local", "NOERROR", ((0, "rate"),), scene="a rate", again=0.01),
    Example(
        "client-in-flight",
        "slow.example",
        "NOERROR",
        ((0, "queue"),),
        scene="one that waits",
        meanwhile="silent.example",
    ),
    Example("class-refused", "version.bind TXT CH", "REFUSED", ((21, ""),)),
    Example("transfer-refused", "cluster.local AXFR", "REFUSED", ((21, ""),)),
    Example("edns-version", "web.shop.svc.cluster.local", "BADVERS", alter=_version),
    Example("opcode-not-implemented", "web.shop.svc.cluster.local", "NOTIMP", alter=_opcode),
    Example("format-error", "web.shop.svc.cluster.local", "FORMERR", alter=lambda query: query.to_wire()[:20]),
    _servfail("internal-error", "www.example.com", "internal error", told=o.FORWARDED),
)


# ---- the table in the documentation

PAGE = ROOT / "docs" / "failing-names.md"
_BEGIN, _END = "<!-- reasons: begin -->\n\n", "\n<!-- reasons: end -->"


def table() -> str:
    """Return the table of reasons for docs/failing-names.md."""
    lines = ["| reason | EDE | the answer says | what to do |", "|---|---|---|---|"]
    for code in dict.fromkeys((*(example.code for example in EXAMPLES), *NEVER_TOLD)):
        told = (error for each in EXAMPLES if each.code == code for error in each.errors)
        codes = sorted({number for number, text in told if not text.startswith(f"{UP}: ")})  # what upstreams say is not
        lines.append(f"| `{code}` | {', '.join(map(str, codes))} | {advice.meaning(code)} | {advice.advice(code)} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """Return the table as the page has it."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}{table()}{_END}", text, flags=re.DOTALL))
