"""What stands in one server block together: which names it is for, and what a plugin does to the answers of others."""

from typing import Any

import pytest

from tests.config.corefile.reading import root, written

HOSTS = {"entries": ["192.0.2.1 a.example"], "file": "/etc/hosts"}
INNER = """b.a.example {
 acl . {
  block type TXT
 }
 acl a.example {
  block type MX
 }
 template IN AAAA . {
  rcode NOERROR
 }
 template IN A a.example {
  answer "{{ .Name }} 60 IN CNAME x.{{ .Zone }}"
 }
 template IN TXT c.example {
  rcode NXDOMAIN
 }
 hosts /h a.example {
  fallthrough
 }
 forward . 10.0.0.1
}
"""
SIBLINGS = """.:5301 {
 forward . tls://9.9.9.9 {
  tls_servername a.example
 }
}
.:5302 {
 forward . tls://8.8.8.8 {
  tls_servername b.example
 }
}
.:53 {
 forward . 127.0.0.1:5301 localhost:5302
}
"""
BOTH = ["0.0.0.0:53", "[::]:53", "0.0.0.0:1053", "[::]:1053"]
TO_1053 = " 127.0.0.1:1053\n}\n"
LEAVING = """a.example {
 rewrite name suffix a.example b.example
 rewrite name regex (x) {1}.c.example
 forward . 10.0.0.1
}
"""

TOGETHER: list[tuple[str, dict[str, Any]]] = [
    # What a block has is for no name of another block
    (root("acl a.example {\n allow\n}", "acl {\n block type TXT\n}")
     + "b.example {\n errors\n}\nx.b.example {\n errors\n}",
     {"answer": [{"below": ["."], "except": ["b.example", "a.example"], "types": ["TXT"], "rcode": "REFUSED"}],
      "forward": [{"domain": "b.example", "upstreams": []}, {"domain": "x.b.example", "upstreams": []}]}),
    (root("hosts /h", "template ANY ANY {\n rcode NXDOMAIN\n}") + "cluster.local {\n kubernetes\n}",
     {"domain": "cluster.local", "pods": "disabled",
      "answer": [{"below": ["."], "except": ["cluster.local"], "rcode": "NXDOMAIN"}],
      "hosts": [{"file": "/h", "authoritative_below": ["."], "except": ["cluster.local"]}]}),
    (root("rewrite name prefix x y", "rewrite name a.b.example c.d", "template IN A b.example {\n rcode REFUSED\n}")
     + "b.example {\n rewrite name suffix .example .test\n forward . 10.0.0.1\n}",
     {"rewrite": [{"prefix": "x.", "to": "y.", "except": ["b.example"]},
                  {"suffix": ".example", "to": "test", "below": ["b.example"]}],
      "forward": [{"domain": domain, "upstreams": ["10.0.0.1"], "trusted": True} for domain in ("b.example", "test")]}),
    # Hosts and files, whose TTLs `cache` shortened for clients
    (root("cache 30 {\n success 9984 20\n}", "hosts /h", "kubernetes cluster.local {\n pods insecure\n ttl 25\n}",
          "forward . 192.0.2.1"),
     {"domain": "cluster.local", "pods": "insecure", "ttl": 20, "cache": {"ttl_cap": 20, "negative_cap": 30},
      "hosts": [{"file": "/h", "ttl": 20, "authoritative_below": ["."]}]}),
    (root("cache 30 cluster.local {\n disable success cluster.local\n}", "hosts /h {\n ttl 60\n fallthrough\n}",
          "kubernetes cluster.local {\n pods insecure\n ttl 45\n}"),
     {"domain": "cluster.local", "pods": "insecure", "ttl": 45,
      "hosts": [{"file": "/h", "ttl": 60}]}),
    (root("cache 30", "template IN A a.example {", ' answer "@ 15 A 192.0.2.1"', ' answer "@ A 192.0.2.2"', "}"),
     {"answer": [{"below": ["a.example"], "types": ["A"], "records": ["@ 15 IN A 192.0.2.1", "@ 30 IN A 192.0.2.2"]}]}),
    (root("cache 3", "kubernetes cluster.local"), {"domain": "cluster.local", "pods": "disabled", "ttl": 3}),
    (root("cache 30") + "a.example {\n cache 5\n forward . 10.0.0.1\n}",  # nothing outside has the cache of the root
     {"cache": {"ttl_cap": 5, "negative_cap": 5},
      "forward": [{"domain": "a.example", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    # A hosts file of which only some names fall through, or that is no file
    (root("hosts {", " 192.0.2.1 a.example", " fallthrough b.example in-addr.arpa", "}"),
     {"hosts": [HOSTS, {**HOSTS, "authoritative_below": ["."], "except": ["b.example", "in-addr.arpa"]}]}),
    (root("hosts /h a.example {", " fallthrough b.a.example", "}"),
     {"hosts": [{"file": "/h", "below": ["a.example"]},
                {"file": "/h", "below": ["a.example"], "authoritative_below": ["a.example"],
                 "except": ["b.a.example"]}]}),
    (root("hosts /h a..b"), {}),
    (root("hosts /dev/null {", " 192.0.2.1 a.example", " fallthrough", "}"),
     {"hosts": [{"entries": ["192.0.2.1 a.example"]}]}),
    # Zones that do not lie within those of their block
    (INNER + root("forward . 192.0.2.1"),
     {"upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": "b.a.example", "upstreams": ["10.0.0.1"], "trusted": True}],
      "answer": [{"below": ["b.a.example"], "types": ["TXT"], "rcode": "REFUSED"},
                 {"below": ["b.a.example"], "types": ["MX"], "rcode": "REFUSED"},
                 {"below": ["b.a.example"], "types": ["AAAA"], "rcode": "NODATA"},
                 {"below": ["b.a.example"], "types": ["A"], "records": ["@ 60 IN CNAME x.a.example."]}],
      "hosts": [{"file": "/h", "below": ["b.a.example"], "reverse": False}]}),
    # Several blocks for the same names, at other ports or in other ways
    ("tls://.:853 {\n forward . 10.0.0.1\n}\n.:5301 {\n forward . 10.0.0.2\n}\n" + root("forward . 192.0.2.1"),
     {"upstreams": ["192.0.2.1"]}),
    ("https://.:443 {\n forward . 10.0.0.1\n}\n.:5353 {\n forward . 10.0.0.2\n}",
     {"upstreams": ["10.0.0.2"], "listen": ["0.0.0.0:5353", "[::]:5353"]}),
    (SIBLINGS, {"upstreams": ["tls://9.9.9.9#a.example", "tls://8.8.8.8#b.example"]}),
    (root("forward . dns://10.0.0.1 dns://127.0.0.1:5301") + ".:5301 {\n forward . 10.0.0.2\n}\n",
     {"upstreams": ["10.0.0.1", "10.0.0.2"]}),
    (root("forward . 127.0.0.1:5301") + ".:5301 {\n forward . [::1]:5302 10.0.0.1\n}\n"
     ".:5302 {\n forward . 127.0.0.1:5301\n}\n", {"upstreams": ["127.0.0.1:5301", "10.0.0.1"]}),
    # A block at another port that is imported for names of its own too
    ("a.example {\n forward ." + TO_1053 + ".:1053 {\n forward . tls://10.0.0.1 {\n  tls_servername b.example\n }\n}",
     {"listen": BOTH, "upstreams": ["tls://10.0.0.1#b.example"], "forwarding": {"trusted": True},
      "forward": [{"domain": "a.example", "upstreams": ["tls://10.0.0.1#b.example"], "trusted": True}]}),
    (root("forward a.example" + TO_1053.rstrip("}\n"), "forward . 192.0.2.1")
     + "a.example:1053 {\n forward . 10.0.0.1 {\n  policy sequential\n }\n}",
     {"listen": BOTH, "upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": "a.example", "upstreams": ["10.0.0.1"], "policy": "sequential", "trusted": True}]}),
    (root("forward b.a.example 127.0.0.1:1053 10.0.0.2", "forward . 192.0.2.1")
     + "a.example:1053 {\n forward . 10.0.0.1 {\n  tls /ca\n }\n}",
     {"listen": BOTH, "upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": domain, "upstreams": upstreams, "authorities": "/ca", "trusted": True}
                  for domain, upstreams in (("b.a.example", ["10.0.0.1", "10.0.0.2"]), ("a.example", ["10.0.0.1"]))]}),
    (root("forward b.a.example 127.0.0.1:1053", "forward . 192.0.2.1") + "a.example:1053 {\n hosts /h\n}",
     {"listen": BOTH, "upstreams": ["192.0.2.1"],
      "forward": [{"domain": domain, "upstreams": []} for domain in ("b.a.example", "a.example")],
      "hosts": [{"file": "/h", "below": ["a.example"], "authoritative_below": ["a.example"], "reverse": False}]}),
    (root("forward cluster.local 127.0.0.1:1053", "forward . 192.0.2.1") + ".:1054 {\n errors\n}\n"
     "cluster.local local:1053 {\n kubernetes cluster.local\n forward . 10.0.0.1\n}",
     {"listen": BOTH, "domain": "cluster.local", "pods": "disabled", "upstreams": ["192.0.2.1"],
      "forwarding": {"trusted": True},
      "forward": [{"domain": "local", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    (root("forward ." + TO_1053.rstrip("}\n")) + "a.example:1053 {\n forward . 127.0.0.1\n}",
     {"listen": BOTH, "upstreams": [], "forward": [{"domain": "a.example", "upstreams": []}]}),
    (root("bind 192.0.2.9", "forward . 127.0.0.1"),  # another server of this machine
     {"listen": ["192.0.2.9:53"], "upstreams": ["127.0.0.1"]}),
    # A reverse zone within one of the cluster's
    ("cluster.local 10.in-addr.arpa {\n kubernetes\n}\n64.10.in-addr.arpa {\n forward . 10.0.0.1\n}\n",
     {"upstreams": [], "domain": "cluster.local", "pods": "disabled",
      "reverse_zones": ["10.0.0.0/10", "10.65.0.0/16", "10.66.0.0/15", "10.68.0.0/14", "10.72.0.0/13", "10.80.0.0/12",
                        "10.96.0.0/11", "10.128.0.0/9"],
      "forward": [{"domain": "64.10.in-addr.arpa", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    # A cluster without a domain
    (root("kubernetes {\n pods verified\n ttl 30\n}"), {"upstreams": [], "pods": "verified", "ttl": 30}),
    (root("forward . 127.0.0.53"), {"upstreams": ["127.0.0.53"]}),
    # Where blocks listen that name an interface, or differ in where they listen
    (".:5353 {\n bind lo\n}", {"upstreams": [], "listen": ["0.0.0.0:5353", "[::]:5353"]}),
    (root("bind lo"), {"upstreams": []}),
    (root("errors") + "a.example:1053 {\n bind lo\n}",
     {"listen": BOTH, "upstreams": [], "forward": [{"domain": "a.example", "upstreams": []}]}),
    (root("bind 10.0.0.1", "forward . 192.0.2.1") + root("bind 192.0.2.9 eth0", "forward . 192.0.2.2"),
     {"listen": ["192.0.2.9:53", "10.0.0.1:53"], "upstreams": ["192.0.2.1"]}),
    (root("bind 10.0.0.1") + "a.example:53 a.example:54 {\n bind lo\n}",
     {"listen": ["0.0.0.0:53", "[::]:53", "0.0.0.0:54", "[::]:54"], "upstreams": [],
      "forward": [{"domain": "a.example", "upstreams": []}]}),
    (root("bind 10.0.0.1") + ".:5353 {\n bind 10.0.0.2\n}", {"listen": ["10.0.0.1:53"], "upstreams": []}),
    # The same cluster under two domains, each in a block of its own
    ("a.local {\n kubernetes a.local in-addr.arpa\n}\nb.local {\n kubernetes\n forward . 10.0.0.1\n}",
     {"upstreams": [], "domain": "a.local", "pods": "disabled", "ttl": 5,
      "rewrite": [{"suffix": "b.local", "to": "a.local", "answers": "names"}]}),
    # Plugins of former versions
    (root("proxy . 10.0.0.1 {", " policy round_robin", "}"),
     {"upstreams": ["10.0.0.1"], "forwarding": {"policy": "round_robin"}}),
    ("a.example {\n hosts /h {\n  fallthrough\n }\n forward . 10.0.0.1\n}",
     {"upstreams": [], "hosts": [{"file": "/h", "below": ["a.example"], "reverse": False}],
      "forward": [{"domain": "a.example", "upstreams": ["10.0.0.1"], "trusted": True}]}),
    # Rules of acl, one after the other
    (root("acl a.example {\n filter type AAAA\n Block type TXT Net *\n allow type MX\n block type MX A\n}"),
     {"answer": [{"below": ["a.example"], "types": [rtype], "rcode": rcode}
                 for rtype, rcode in (("AAAA", "NODATA"), ("TXT", "REFUSED"), ("A", "REFUSED"))]}),
    (root("acl a.example {\n filter type AAAA\n drop\n}"),
     {"answer": [{"below": ["a.example"], "types": ["AAAA"], "rcode": "NODATA"},
                 {"below": ["a.example"], "rcode": "DROP"}]}),
    (root("acl {\n block type TXT\n allow\n block\n}"),
     {"answer": [{"below": ["."], "types": ["TXT"], "rcode": "REFUSED"}]}),
    # What a forward excepts is for the next one
    (root("forward a.example 10.0.0.1 {\n except b.a.example c.a.example d.a.example\n}",
          "forward d.a.example 10.0.0.3", "forward . 192.0.2.1 {\n except c.a.example\n}"),
     {"upstreams": ["192.0.2.1"], "forwarding": {"trusted": True},
      "forward": [{"domain": "a.example", "upstreams": ["10.0.0.1"], "trusted": True},
                  {"domain": "d.a.example", "upstreams": ["10.0.0.3"], "trusted": True},
                  {"domain": "b.a.example", "upstreams": ["192.0.2.1"], "trusted": True},
                  {"domain": "c.a.example", "upstreams": []}]}),
    # Rewrites that lead out of their block
    (LEAVING,
     {"upstreams": [],
      "rewrite": [{"suffix": "a.example", "to": "b.example", "below": ["a.example"]},
                  {"regex": "(x)", "to": "{1}.c.example.", "below": ["a.example"]}],
      "forward": [{"domain": domain, "upstreams": ["10.0.0.1"], "trusted": True}
                  for domain in ("a.example", "b.example", "c.example")]}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TOGETHER)
def test_what_is_taken_over_of_a_block(text: str, expected: dict[str, Any]) -> None:
    without = () if "upstreams" in expected else ("upstreams",)
    assert written(text, without=without) == expected
