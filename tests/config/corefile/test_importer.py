"""The result for each plugin of a Corefile: the TOML, and the report about each line."""

from pathlib import Path
from typing import Any

import pytest

from dnsserver.config.corefile import CorefileError, NotACorefileError
from tests.config.corefile.plugins import PLUGINS, shortest
from tests.config.corefile.reading import config, imported, losses, root, said, written

FOLDER = Path(__file__).parents[2] / "corefiles"


CLUSTER = "kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n fallthrough in-addr.arpa ip6.arpa\n}"

# A block for some questions only, and one behind it that turns away all others.
VIEW = ". {{\n view v {{\n  expr {}\n }}\n forward . {}\n}}\n"
NOBODY = ". {\n acl {\n  block\n }\n forward . 192.0.2.9\n}\n"

LOCAL = ["@ 604800 IN SOA localhost. root.localhost. 1 0 0 0 604800", "@ 604800 IN NS localhost."]

TAKEN_OVER: list[tuple[str, dict[str, Any]]] = [
    # kubernetes
    (root(CLUSTER), {"domain": "cluster.local", "pods": "insecure"}),
    (root("kubernetes k8s.example"), {"domain": "k8s.example", "pods": "disabled"}),
    (root("kubernetes cluster.local in-addr.arpa ip6.arpa"),
     {"domain": "cluster.local", "pods": "disabled", "reverse_zones": ["0.0.0.0/0", "::/0"]}),
    (root("kubernetes cluster.local 10.0.0.0/12 fd00::/8 {\n pods verified\n}"),
     {"domain": "cluster.local", "pods": "verified",
      "reverse_zones": [*(f"10.{n}.0.0/16" for n in range(16)), "fd00::/8"]}),
    ("cluster.local 10.0.0.0/8 {\n kubernetes\n}\n64.10.in-addr.arpa {\n forward . 10.0.0.1\n}\n",
     {"domain": "cluster.local", "pods": "disabled",
      "reverse_zones": ["10.0.0.0/10", "10.65.0.0/16", "10.66.0.0/15", "10.68.0.0/14", "10.72.0.0/13", "10.80.0.0/12",
                        "10.96.0.0/11", "10.128.0.0/9"],
      "forward": [{"domain": "64.10.in-addr.arpa", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    (root("kubernetes cluster.local 10.in-addr.arpa ip6.arpa {\n pods insecure\n fallthrough ip6.arpa\n}"),
     {"domain": "cluster.local", "pods": "insecure", "reverse_zones": ["10.0.0.0/8"]}),
    (root("kubernetes cluster.local {\n pods insecure\n ttl 30\n namespaces a b\n labels app=web\n}"),
     {"domain": "cluster.local", "pods": "insecure", "ttl": 30,
      "kubernetes": {"namespaces": ["a", "b"], "labels": "app=web"}}),
    (root("kubernetes cluster.local {\n pods insecure\n namespace_labels env in (a, b)\n kubeconfig /kc there\n}"),
     {"domain": "cluster.local", "pods": "insecure", "kubeconfig": "/kc", "context": "there",
      "kubernetes": {"namespace_labels": "env in (a, b)"}}),
    ("cluster.local:53 {\n kubernetes {\n  pods insecure\n }\n}", {"domain": "cluster.local", "pods": "insecure"}),
    (root("kubernetes cluster.local cluster.two {\n pods insecure\n}"),
     {"domain": "cluster.local", "pods": "insecure",
      "rewrite": [{"suffix": "cluster.two", "to": "cluster.local", "answers": "names"}]}),
    # Where it listens
    (root("errors"), {}),
    (".:5353 {\n errors\n}", {"listen": ["0.0.0.0:5353", "[::]:5353"]}),
    (root("bind 169.254.20.10 fd00::10"), {"listen": ["169.254.20.10:53", "[fd00::10]:53"]}),
    (root("bind 10.0.0.1 10.0.0.2 {\n except 10.0.0.1\n}"), {"listen": ["10.0.0.2:53"]}),
    (".:5353 {\n bind lo\n}\n", {"listen": ["0.0.0.0:5353", "[::]:5353"]}),
    (root("bind eth0") + "a.example:5353 {\n bind lo\n}\n",
     {"listen": ["0.0.0.0:53", "[::]:53", "0.0.0.0:5353", "[::]:5353"],
      "forward": [{"domain": "a.example", "upstreams": []}]}),
    (root("bind eth0 10.0.0.1"), {"listen": ["10.0.0.1:53"]}),
    (root("bind 10.0.0.1") + root("bind fd00::1"), {"listen": ["[fd00::1]:53", "10.0.0.1:53"]}),
    (root("bind 10.0.0.1") + ".:5301 {\n bind 127.0.0.1\n}\n", {"listen": ["10.0.0.1:53"]}),
    (root("bufsize 4096"), {"udp": {"size": 4096}}),
    (root("bufsize 512"), {"udp": {"size": 1232}}),
    (root("health {\n lameduck 20s\n}"), {"drain_min": 20.0}),
    (root("health :8080 {\n lameduck 1m30s\n}"), {"drain_min": 90.0, "drain": 90.0}),
    (root("health {\n lameduck 5s\n}", "ready", "prometheus :9153"), {}),
    # Who may ask
    (root("acl {\n allow net 10.0.0.0/8 fd00::/8\n block\n}"),
     {"clients": {"allow": ["10.0.0.0/8", "fd00::/8"], "excess": "refuse"}}),
    (root("acl {\n drop net 128.0.0.0/1\n}"), {"clients": {"allow": ["0.0.0.0/1", "::/0"], "excess": "drop"}}),
    (root("acl {\n allow net 10.1.0.0/16\n block net 10.0.0.0/9\n allow net 10.0.0.0/8\n block net *\n}"),
     {"clients": {"allow": ["10.1.0.0/16", "10.128.0.0/9"], "excess": "refuse"}}),
    (root("acl ads.example {\n filter type AAAA\n}"),
     {"answer": [{"below": ["ads.example"], "types": ["AAAA"], "rcode": "NODATA"}]}),
    # Cache
    (root("cache", "forward . 192.0.2.1"), {"cache": {"ttl_cap": 3600, "negative_cap": 1800}}),
    (root("cache 30", "forward . 192.0.2.1"), {"cache": {"ttl_cap": 30, "negative_cap": 30}}),
    (root("cache 30 {\n success 9984 60 5\n denial 9984 10\n prefetch 5 1m 10%\n}", "forward . 192.0.2.1"),
     {"cache": {"ttl_cap": 60, "negative_cap": 10, "ttl_floor": 5, "renew_hits": 5}}),
    (root("cache {\n serve_stale\n servfail 10s\n}", "forward . 192.0.2.1"),
     {"cache": {"ttl_cap": 3600, "negative_cap": 1800, "stale": 3600.0, "failure_ttl": 10.0}}),
    (root("cache {\n serve_stale 2h verify 500ms 30s\n servfail 2m\n}", "forward . 192.0.2.1"),
     {"cache": {"ttl_cap": 3600, "negative_cap": 1800, "stale": 7200.0, "stale_wait": 0.5, "failure_ttl": 120.0,
                "failure_cap": 120.0}}),
    # Views
    (VIEW.format("incidr(client_ip(), '10.0.0.0/8') || incidr(client_ip(), 'fd00::1/8')", "192.0.2.1") + NOBODY,
     {"upstreams": ["192.0.2.1"], "clients": {"allow": ["10.0.0.0/8", "fd00::/8"], "excess": "refuse"}}),
    (VIEW.format("type() == 'A'", "192.0.2.1") + NOBODY, {"upstreams": ["192.0.2.1"]}),
    (VIEW.format("type() == 'A'", "192.0.2.1") + NOBODY.replace("block", "block type * net *"),
     {"upstreams": ["192.0.2.1"]}),
    (VIEW.format("incidr(client_ip(), '10.0.0.0/8')", "192.0.2.1") + root("forward . 192.0.2.2"),
     {"upstreams": ["192.0.2.2"]}),
    # Hosts and files
    (root("hosts /h lab.example {\n ttl 60\n no_reverse\n reload 1s\n fallthrough\n}"),
     {"hosts": [{"file": "/h", "reverse": False, "ttl": 60, "below": ["lab.example"]}]}),
    (root("hosts {\n 192.0.2.1 a.example a\n 2001:db8::1 a.example\n fallthrough\n}"),
     {"hosts": [{"entries": ["192.0.2.1 a.example a", "2001:db8::1 a.example"], "file": "/etc/hosts"}]}),
    (root("hosts /h lab.example"),
     {"hosts": [{"file": "/h", "below": ["lab.example"], "authoritative_below": ["lab.example"]}]}),
    (root("root /zones", "file db.example example.org"), {"static": ["example.org=/zones/db.example"]}),
    ("example.org {\n file /a\n}\nb.example.org {\n file /b\n}", {"static": ["b.example.org=/b", "example.org=/a"]}),
    ("example.org {\n file /a\n}\na.example.org {\n errors\n}", {"static": ["example.org=/a"]}),
    ("a.example {\n file /a a.example\n file /a a.example\n}", {"static": ["a.example=/a"]}),
    (root("file /a a.example b.example", "file /a d.c.example"),
     {"static": ["d.c.example=/a", "a.example=/a", "b.example=/a"]}),
    # Rewrites
    (root("rewrite name old.example new.example"),
     {"rewrite": [{"name": "old.example", "to": "new.example", "answers": "names"}]}),
    (root("rewrite stop {\n name suffix .old.example .new.example\n answer auto\n}"),
     {"rewrite": [{"suffix": ".old.example", "to": "new.example", "answers": "names"}]}),
    (root("rewrite name prefix stage staging"), {"rewrite": [{"prefix": "stage.", "to": "staging."}]}),
    (root("rewrite name substring svc.west.example svc.east.example"),
     {"rewrite": [{"regex": r"^(.*)svc\.west\.example\.(.*)$", "to": "{1}svc.east.example.{2}"}]}),
    (root(r"rewrite name regex (.*)-(us-west-1)\.example\.org {1}.service.{2}.consul answer auto"),
     {"rewrite": [{"regex": r"(.*)-(us-west-1)\.example\.org", "to": "{1}.service.{2}.consul.", "answers": "names"}]}),
    (root(r"rewrite name regex ^(.*)\.a\.example\.$ {1}.svc.cluster.local answer name (.*) {1}.a.example"),
     {"rewrite": [{"regex": r"^(.*)\.a\.example\.$", "to": "{1}.svc.cluster.local."}]}),
    (root(r"rewrite name regex ^(.*)\.a\.example\.$ {1}.b.example answer value (.*)\.b {1}.a"),
     {"rewrite": [{"suffix": ".a.example", "to": "b.example", "answers": "names"}]}),
    (root(r"rewrite name regex (.*)\.a\.example {1}.b.example answer value (.*)\.b {1}.a"),
     {"rewrite": [{"regex": r"(.*)\.a\.example", "to": "{1}.b.example.", "answers": "names"}]}),
    # Templates
    (root("template ANY ANY legacy.example {\n rcode NXDOMAIN\n}"),
     {"answer": [{"below": ["legacy.example"], "rcode": "NXDOMAIN"}]}),
    (root(r"template IN A ip.example {", r' match "^ip-(?P<a>\d+)-(\d+)-3-4\.ip\.example\.$"',
          ' answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ index .Match 2 }}.3.4"', " fallthrough", "}"),
     {"answer": [{"regex": r"^ip-(?P<a>\d+)-(\d+)-3-4\.ip\.example\.$", "below": ["ip.example"], "types": ["A"],
                  "records": ["@ 60 IN A {a}.{2}.3.4"]}]}),
    (root("template IN MX a.example {", ' answer "{{ .Name }} 300 IN MX 10 mail.{{ .Name }}"', "}"),
     {"answer": [{"below": ["a.example"], "types": ["MX"], "records": ["@ 300 IN MX 10 mail.{name}"]}]}),
    (root("template IN TXT {", " match one two", ' answer "{{ .Name }} IN TXT {{ .Zone }}"', " fallthrough", "}"),
     {"answer": [{"regex": regex, "below": ["."], "types": ["TXT"], "records": ["@ 3600 IN TXT ."]}
                 for regex in ("one", "two")]}),
    # Forwards
    (root("forward . 192.0.2.1 192.0.2.2:5353 [2001:db8::1]:53 {\n policy round_robin\n max_concurrent 500\n}"),
     {"upstreams": ["192.0.2.1", "192.0.2.2:5353", "[2001:db8::1]:53"],
      "forwarding": {"policy": "round_robin", "in_flight": 500}}),
    (root("forward . tls://9.9.9.9 tls://1.1.1.1%one.example:853 {\n tls_servername dns.example\n}"),
     {"upstreams": ["tls://9.9.9.9#dns.example", "tls://1.1.1.1:853#one.example"]}),
    (root("forward . dns://192.0.2.1 {\n force_tcp\n tls /ca.pem\n}"),
     {"upstreams": ["tcp://192.0.2.1"], "forwarding": {"authorities": "/ca.pem"}}),
    (root("forward corp.example 10.0.0.1 {\n policy sequential\n max_concurrent 10\n}", "forward . 192.0.2.1"),
     {"upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": "corp.example", "upstreams": ["10.0.0.1"], "policy": "sequential", "max_in_flight": 10,
                   "trusted": True}]}),
    (root("forward . 192.0.2.1 {\n except corp.example lab.example\n}", "forward corp.example 10.0.0.1"),
     {"upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": "corp.example", "upstreams": ["10.0.0.1"], "trusted": True},
                  {"domain": "lab.example", "upstreams": []}]}),
    ("corp.example lab.example {\n forward . 10.0.0.1\n}",
     {"upstreams": [], "forward": [{"domain": domain, "upstreams": ["10.0.0.1"], "trusted": True}
                                   for domain in ("corp.example", "lab.example")]}),
    ("10.1.0.0/16 {\n forward . 10.0.0.1\n}",
     {"upstreams": [], "forward": [{"domain": "1.10.in-addr.arpa", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    ("cluster.local {\n forward . 10.0.0.1\n}",
     {"upstreams": [], "forward": [{"domain": f"{part}.cluster.local", "upstreams": ["10.0.0.1"], "trusted": True}
                                   for part in ("svc", "pod", "dns-version")]}),
    ("old.example {\n rewrite name suffix .old.example .new.example answer auto\n forward . 10.0.0.1\n}",
     {"upstreams": [],
      "forward": [{"domain": domain, "upstreams": ["10.0.0.1"], "trusted": True}
                  for domain in ("old.example", "new.example")],
      "rewrite": [{"suffix": ".old.example", "to": "new.example", "answers": "names", "below": ["old.example"]}]}),
    # The log of queries
    (root("log"), {"query_log": [{"classes": ["all"], "rate": 0, "format": "common"}]}),
    (root("log . {\n class denial error\n}"),
     {"query_log": [{"classes": ["denial", "error"], "rate": 0, "format": "common"}]}),
    (root("log {\n class denial\n class all\n}"),
     {"query_log": [{"classes": ["all"], "rate": 0, "format": "common"}]}),
    (root('log example.org example.net "{combined}" {\n class success\n}', "log {common}"),
     {"query_log": [
         {"classes": ["success"], "below": ["example.org", "example.net"], "rate": 0, "format": "combined"},
         {"classes": ["all"], "rate": 0, "format": "common"}]}),
    (root("log 10.1.0.0/16"),
     {"query_log": [{"classes": ["all"], "below": ["1.10.in-addr.arpa"], "rate": 0, "format": "common"}]}),
    (root("log . '{remote} {name}'"), {"query_log": [{"classes": ["all"], "rate": 0, "format": "common"}]}),
    ("a.example b.example {\n log\n forward . 10.0.0.1\n}",
     {"upstreams": [], "query_log": [{"classes": ["all"], "below": ["a.example", "b.example"], "rate": 0,
                                      "format": "common"}],
      "forward": [{"domain": domain, "upstreams": ["10.0.0.1"], "trusted": True}
                  for domain in ("a.example", "b.example")]}),
    # The rest
    (root("autopath @kubernetes"), {"search": {"enabled": True}}),
    (root("local {", " localhost_prefix off", "}"),
     {"local": {"domains": ["0.in-addr.arpa", "127.in-addr.arpa", "255.in-addr.arpa"]},
      "answer": [*({"name": f"{number}.in-addr.arpa", "records": LOCAL} for number in (0, 127, 255)),
                 {"name": "1.0.0.127.in-addr.arpa", "records": ["@ 604800 IN PTR localhost."]}]}),
    ("a.example {\n local\n forward . 10.0.0.1\n}",
     {"upstreams": [], "forward": [{"domain": "a.example", "upstreams": ["10.0.0.1"], "trusted": True}],
      "answer": [{"regex": r"^localhost\.[^.]", "below": ["a.example"],
                  "records": ["@ 604800 IN A 127.0.0.1", "@ 604800 IN AAAA ::1"]}]}),
    (root("kubernetes cluster.local {\n pods insecure\n}", "k8s_external ext.example"),
     {"domain": "cluster.local", "pods": "insecure", "local": {"domains": ["ext.example"]}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TAKEN_OVER)
def test_what_is_taken_over(text: str, expected: dict[str, Any]) -> None:
    without = () if "upstreams" in expected else ("upstreams",)
    assert written(text, without=without) == expected


ZONE = "$ORIGIN example.org.\n@ 60 IN SOA ns h 1 2 3 4 60\n"

LOST = [
    (root("dns64"), ["2 dns64"]),
    (root('log . "{remote} {name}"'), ["2 log"]),
    (root("log a..example b.example"), ["2 log"]),
    (root("kubernetes cluster.local {\n endpoint_pod_names\n noendpoints\n ignore empty_service\n}"),
     ["3 kubernetes endpoint_pod_names", "4 kubernetes noendpoints", "5 kubernetes ignore"]),
    (root("kubernetes cluster.local {\n zonal\n}"), ["3 kubernetes zonal"]),
    (root("kubernetes cluster.local {\n endpoint https://10.0.0.1\n tls a b c\n transfer to *\n}"),
     ["3 kubernetes endpoint", "4 kubernetes tls", "5 kubernetes transfer"]),
    (root("kubernetes cluster.local {\n fallthrough\n}"), ["3 kubernetes fallthrough"]),
    (root("kubernetes cluster.local cs.local {\n multicluster cs.local\n}"), ["2 kubernetes multicluster"]),
    (root("kubernetes a.local") + "b.local {\n kubernetes {\n  kubeconfig /b\n }\n}", ["5 kubernetes"]),
    (root("forward . https://9.9.9.9 9.9.9.9"), ["2 forward"]),
    (root("forward . 9.9.9.9 {\n next NXDOMAIN\n}"), []),  # CoreDNS does nothing for it without another `forward`
    (root("forward . 9.9.9.9 {\n next NXDOMAIN\n failover SERVFAIL NXDOMAIN\n resolver ::1\n}", "forward . 8.8.8.8"),
     ["3 forward next", "4 forward failover", "5 forward resolver"]),
    (root("forward . tls://9.9.9.9 {\n tls cert key ca\n}"), ["3 forward tls"]),
    (root("forward . /etc/resolv.conf {\n force_tcp\n}"), ["3 forward force_tcp"]),
    (root("forward . /etc/resolv.conf 9.9.9.9"), ["2 forward"]),
    (root("cache {\n disable success corp.example\n keepttl\n serve_stale_policy prefer_positive\n serve_stale\n}",
          "forward . 192.0.2.1"),
     ["3 cache disable", "4 cache keepttl", "5 cache serve_stale_policy"]),
    (root("cache 30", "forward . 192.0.2.1") + "a.example {\n cache 5\n forward . 10.0.0.1\n}", ["6 cache", "6 cache"]),
    (root("errors", "forward . 192.0.2.1") + "a.example {\n cache 5\n forward . 10.0.0.1\n}", ["6 cache", "6 cache"]),
    (root("hosts {\n nonsense\n fallthrough\n fallthrough_unsupported\n}"),
     ["3 hosts", "5 hosts fallthrough_unsupported"]),
    (root("rewrite class CH IN", "rewrite type ANY HINFO", "rewrite edns0 local set 0xffee 0x61",
          "rewrite ttl example.com 15", "rewrite cname exact a b", "rewrite rcode suffix .a NXDOMAIN NOERROR"),
     ["2 rewrite class", "3 rewrite type", "4 rewrite edns0", "5 rewrite ttl", "6 rewrite cname", "7 rewrite rcode"]),
    (root("rewrite continue name a.example b.example", "rewrite name c.example d.example"), ["2 rewrite continue"]),
    (root("rewrite name regex " + "a" * 1001 + " b.example"), ["2 rewrite name regex"]),
    (root('template IN A a.example {\n answer "{{ .Name }} IN A {{ .Remote }}"\n}'), ["3 template answer"]),
    (root("rewrite name suffix .a.example .b.example", "forward . 10.0.0.1") + "b.example {\n forward . 10.0.0.2\n}",
     ["2 rewrite"]),
    (root("rewrite name suffix .a.example .b.example", "forward . 10.0.0.1") + "c.example {\n forward . 10.0.0.2\n}",
     []),
    (root("rewrite name suffix .a.example .b.example", "forward b.example 10.0.0.5", "forward . 10.0.0.1"), []),
    (root("rewrite name a.example c.b.example", "forward b.example 10.0.0.5", "forward . 10.0.0.1"), []),
    ("a.example {\n rewrite name a.example b.example\n forward . 10.0.0.1\n}\nb.example {\n forward . 10.0.0.2\n}",
     ["2 rewrite"]),
    ("a.example {\n rewrite name regex (x).* {1}b.example\n forward . 10.0.0.1\n}", ["2 rewrite"]),
    ("a.example {\n rewrite name regex (x).* {1}b.a.example\n forward . 10.0.0.1\n}", []),
    (root("template CH TXT a.example {\n}"), ["2 template"]),
    (root('template IN A a.example {\n answer "{{ .Name }} IN A nonsense"\n}'), ["2 answer"]),
    (root("file /db.example example.org {\n fallthrough\n}"), ["3 file fallthrough"]),
    (root("file /db.example example.org", "file /other example.org"), ["3 file"]),
    (root("file /db.example svc.cluster.local"), ["2 file"]),
    (root("file /db.example example.org example.net"), ["2 file"]),
    (root("file /db.example example.org", "forward a.example.org 10.0.0.1"), ["3 forward"]),
    (root("file /db.example example.org") + "a.example.org {\n forward . 10.0.0.1\n}", ["5 forward"]),
    ("a.example.org {\n forward . 10.0.0.1\n}\nexample.org {\n file /db.example\n}", ["2 forward"]),
    (root("acl {\n block type A net 10.0.0.0/8\n allow\n}"), ["3 acl"]),
    (root("acl a.example {\n allow net 10.0.0.0/8\n block\n}"), ["3 acl", "4 acl"]),
    (root("acl a.example {\n allow type A\n block net 10.0.0.0/8\n filter type TXT\n block\n}"), ["4 acl", "6 acl"]),
    (root("loadbalance weighted /w {\n prefer 10.0.0.0/8\n}"), ["2 loadbalance weighted", "3 loadbalance prefer"]),
    (root("header {\n response set ra\n response clear aa\n}"), ["4 header"]),
    (root("header {\n set ra\n clear aa\n}"), ["4 header"]),
    (root("kubernetes {\n ttl 10\n}"), ["2 kubernetes"]),
    (root("bind eth0"), ["2 bind"]),
    (root("autopath /etc/resolv.conf"), ["2 autopath"]),
    ("tls://.:853 {\n forward . 9.9.9.9\n}", ["1 server block"]),
    (root("forward . 9.9.9.9") + ".:5353 {\n forward . 8.8.8.8\n}", ["4 server block"]),
    ("a.example {\n view v {\n  expr true\n }\n forward . 9.9.9.9\n}\na.example {\n forward . 8.8.8.8\n}", ["1 view"]),
    (VIEW.format("type() == 'A'", "9.9.9.9") + NOBODY, ["1 view", "7 server block"]),
    (VIEW.format("incidr(client_ip(), 'here')", "9.9.9.9") + NOBODY, ["1 view", "7 server block"]),
    (VIEW.format("not incidr(client_ip(), '10.0.0.0/8')", "9.9.9.9") + NOBODY, ["1 view", "7 server block"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LOST)
def test_what_is_lost_is_named_with_its_line(text: str, expected: list[str]) -> None:
    result = imported(text, {"/etc/resolv.conf": "nameserver 192.0.2.1\n", "/db.example": ZONE})
    config(result)
    assert losses(result) == expected
    assert all(len(finding.text) > 20 for finding in result.findings if finding.kind == "lost")


DEFAULTS = (
    "any", "cancel", "debug", "errors", "loadbalance", "loop", "minimal", "multisocket", "reload", "timeouts"
)  # fmt: skip


@pytest.mark.parametrize("plugin", DEFAULTS)
def test_what_is_so_without_a_setting(plugin: str) -> None:
    result = imported(root(plugin if plugin != "timeouts" else "timeouts {\n read 5s\n}"))
    assert not losses(result)
    assert any(line.startswith(f"2 {plugin}: ") for line in said(result, "default"))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_plugin_is_known(plugin: str) -> None:
    result = imported(root("kubernetes cluster.local" if plugin != "kubernetes" else "errors", shortest(plugin)))
    assert any(finding.source.line in {1, 3, 4} for finding in result.findings)


def test_the_line_behind_each_setting_stands_above_it() -> None:
    result = imported(root("kubernetes cluster.local {", " pods insecure", " ttl 30", "}", "forward . 192.0.2.1"))
    assert "# Corefile:4: ttl 30\nttl = 30\n" in result.toml
    assert '# Corefile:6: forward . 192.0.2.1\nupstreams = ["192.0.2.1"]\n' in result.toml


def test_of_two_blocks_that_of_all_names_counts() -> None:
    result = imported("a.example {\n cache 5\n forward . 10.0.0.1\n}\n" + root("cache 30", "forward . 192.0.2.1"))
    assert config(result).cache.ttl_cap == 30


@pytest.mark.parametrize("text", [". {\n errors\n", "(a) {\n}\n(a) {\n}\n. {\n}"])
def test_what_coredns_does_not_start_with(text: str) -> None:
    with pytest.raises(CorefileError):
        imported(text)


CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        import custom/*.override
        forward . 192.0.2.1
        dns64
    }
  more.override: |
    cache 7
"""


def test_a_config_map_with_a_corefile() -> None:
    result = imported(CONFIG_MAP, {"custom/a.override": "cache 9"})
    assert config(result).cache.ttl_cap == 9
    assert losses(result) == ["10 dns64"]  # the line of the file, not of what it holds


def test_a_list_of_config_maps_as_kubectl_prints_it() -> None:
    items = CONFIG_MAP.replace("\n", "\n    ").replace("    apiVersion", "  - apiVersion", 1)
    result = imported(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert losses(result) == ["13 dns64"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Secret\n", "Corefile: has no ConfigMap: expected a Corefile, or a ConfigMap with one"),
        ("kind: ConfigMap\ndata: {a: b}\n", "Corefile: expected a ConfigMap with the key Corefile, stubDomains or"),
        ("kind: [\n", "Corefile:"),
    ],
)
def test_objects_without_anything_to_import(text: str, message: str) -> None:
    with pytest.raises(NotACorefileError) as error:
        imported(text)
    assert str(error.value).startswith(message)


def kube_dns(**data: str) -> str:
    keys = "".join(f"  {key}: |\n    {value}\n" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-dns}}\n{'data:' if keys else ''}\n{keys}"


def test_the_config_map_of_kube_dns() -> None:
    text = kube_dns(stubDomains='{"corp.example": ["10.0.0.1:5353"]}', upstreamNameservers='["192.0.2.1"]')
    result = imported(text)
    assert not losses(result)
    got = config(result)
    assert [str(upstream) for upstream in got.upstreams] == ["192.0.2.1"]
    assert [(str(each.domain), str(each.upstreams[0]), each.trusted) for each in got.forward] == [
        ("corp.example", "10.0.0.1:5353", True)
    ]
    assert (got.ttl, got.pods) == (30, "insecure")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, []),
        ({"stubDomains": "nonsense"}, ["5 stubDomains"]),
        ({"stubDomains": '{"a.example": []}'}, ["5 stubDomains"]),
        ({"stubDomains": '{"a.example": ["not an address!"]}'}, ["5 stubDomains", "5 stubDomains"]),
        ({"upstreamNameservers": "[]"}, ["5 upstreamNameservers"]),
        ({"federations": "a=b"}, ["5 federations"]),
    ],
)
def test_what_of_kube_dns_is_lost(data: dict[str, str], expected: list[str]) -> None:
    result = imported(kube_dns(**data))
    config(result)
    assert losses(result) == expected
