"""Corefiles: each is refused with its line, or becomes a configuration that can be read."""

import random

from dnsserver.config.corefile import CorefileError, NotACorefileError
from tests.config.corefile.plugins import PLUGINS
from tests.config.corefile.reading import config, imported
from tests.config.corefile.test_any_corefile import OPTIONS, QUOTED, VALUES
from tests.fuzz.pieces import separated
from tests.fuzz.quick import remember_fields

_IMPORTED = {"a.example": "errors\n"}
_MOST = 2_000  # octets of a sentence

remember_fields()
_WORDS = (*VALUES, *(f'"{text}"' for text in QUOTED))
# Directives that are right, with most of what can be said in each.
_RIGHT = """
kubernetes cluster.local in-addr.arpa ip6.arpa { ; pods verified ; ttl 30 ; fallthrough in-addr.arpa ip6.arpa ; }
kubernetes cs.local 10.0.0.0/8 { ; namespaces a b ; endpoint_pod_names ; noendpoints ; }
kubernetes cluster.local { ; labels a=b ; namespace_labels x in (y, z) ; ignore empty_service ; multicluster clusterset.local ; }
kubernetes cluster.local { ; endpoint https://192.0.2.1 ; tls cert key ca ; kubeconfig /etc/k context ; }
forward . 192.0.2.1 tls://9.9.9.9 { ; tls_servername dns.example ; policy sequential ; health_check 5s domain a.example ; }
forward . /etc/resolv.conf { ; except a.example b.example ; max_concurrent 1000 ; force_tcp ; expire 10s ; max_fails 3 ; }
forward a.example 192.0.2.1:5353 192.0.2.2 { ; prefer_udp ; policy round_robin ; next NXDOMAIN ; failover SERVFAIL ; tls c k ; }
cache 30 cluster.local { ; success 9984 30 5 ; denial 9984 5 ; prefetch 10 1m 10% ; serve_stale 1h immediate ; servfail 5s ; }
cache { ; disable success cluster.local ; disable denial ; keepttl ; }
hosts /etc/hosts a.example { ; 192.0.2.1 h.example h2.example ; ::1 h6.example ; ttl 60 ; no_reverse ; reload 5s ; fallthrough ; }
hosts { ; 192.0.2.1 h.example ; fallthrough a.example ; }
rewrite name exact a.example b.example
rewrite stop { ; name suffix .old.example .new.example answer auto ; }
rewrite continue name regex (.*)\\.a\\.example {1}.b.example answer name (.*)\\.b\\.example {1}.a.example
rewrite name prefix x- y-
rewrite name substring old new
rewrite type ANY HINFO
rewrite class CH IN
rewrite ttl exact a.example 30-60
rewrite rcode exact a.example SERVFAIL NOERROR
rewrite edns0 local set 0xffee 0x61
rewrite cname exact a.example b.example
template IN A b.example { ; match ^(?P<x>.*)[.]b[.]example[.]$ ; answer "{{ .Name }} 60 IN A 192.0.2.4" ; fallthrough ; }
template ANY ANY { ; rcode NXDOMAIN ; authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 60 60 60 60" ; }
template IN AAAA { ; rcode NOERROR ; ederror 17 "no" ; }
file db.example a.example { ; reload 0 ; fallthrough ; }
auto a.example { ; directory /zones (.*) {1} ; reload 10s ; }
log . "{remote} {name}" { ; class denial error ; }
log a.example
errors { ; consolidate 5m ".*timeout" warning ; stacktrace ; }
health 0.0.0.0:8080 { ; lameduck 5s ; }
ready :8181
prometheus :9153
bind 127.0.0.1 eth0 { ; except 127.0.0.2 ; }
acl a.example { ; allow net 10.0.0.0/8 ; block type ANY net * ; drop net 192.0.2.0/24 ; filter ; }
autopath @kubernetes
loadbalance weighted w.conf
bufsize 1232
minimal
local
any
nsid x
dns64 64:ff9b::/96 { ; translate_all ; allow_ipv4 ; }
view x { ; expr incidr(client_ip(), '10.0.0.0/8') ; }
tls cert.pem key.pem ca.pem
header { ; response set aa ; }
timeouts { ; read 5s ; write 5s ; idle 30s ; }
reload 10s 5s
import a.example
import missing*
loop
erratic { ; drop 3 ; }
secondary a.example { ; transfer from 192.0.2.1 ; }
k8s_external x.example { ; apex dns ; ttl 5 ; }
""".strip().splitlines()
_HEADS = (
    "{} {{", "{}:53 {{", "{} a.example {{", "tls://{} {{", "(snip) {{", "a.example:5353, {} {{", "{}", "cluster.local {{",
)  # fmt: skip


def _directive(chance: random.Random) -> bytes:
    """Return a directive that is right, one that hardly is, or the head or end of a server block."""
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(_RIGHT).replace(" ; ", "\n").encode()
    if kind < 0.7:
        return chance.choice(
            (chance.choice(_HEADS).format(chance.choice(VALUES)), "}", "}\n. {", "import snip")
        ).encode()
    words = [chance.choice(PLUGINS if kind < 0.8 else OPTIONS if kind < 0.9 else _WORDS)]
    words += [chance.choice(_WORDS) for _ in range(chance.randrange(4))]
    words += ["{"] if chance.random() < 0.3 else []
    return " ".join(words).encode()


PIECES = separated(b"\n", _directive)


def run(data: bytes) -> None:
    """Import a text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        result = imported(text, _IMPORTED)
    except (CorefileError, NotACorefileError):
        return
    config(result)
    for finding in result.findings:
        assert finding.text.strip()
        assert len(finding.text) <= _MOST
        assert finding.source.line >= 0
