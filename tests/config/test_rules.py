"""Rules that are not valid are refused with the reason and the place; valid rules mean what they say."""

# ruff: noqa: E501 - a case stands on one line
from pathlib import Path

import pytest

from dnsserver.config import Config, ConfigError, load, render
from dnsserver.config.rules import rule_set
from dnsserver.resolver.matching import Prefix
from dnsserver.wire.name import from_text
from tests.ruled import config_of

TO = "to = 'x.test'"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (f"[[rewrite]]\n{TO}", ["1: rewrite[0]: does not say which names it is for; expected one of name, prefix, suffix and regex"]),
        (f"[[rewrite]]\nname = 'a'\nsuffix = 'b'\n{TO}", ["1: rewrite[0]: has name and suffix; expected one of name, prefix, suffix and regex"]),
        ("[[rewrite]]\nname = 'a'", ["1: rewrite[0].to: is missing"]),
        ("[[rewrite]]\nname = 'a'\nto = 'b..c'", ['3: rewrite[0].to: found "b..c", expected a domain name, as in "cluster.local"']),
        ("[[rewrite]]\nname = 'a'\nto = '*.b'", ['3: rewrite[0].to: found "*.b", a pattern; expected "b", which covers all names below it']),
        (f"[[rewrite]]\nsuffix = 'a..b'\n{TO}", ['2: rewrite[0].suffix: found "a..b", expected a domain name, as in "cluster.local"']),
        (f"[[rewrite]]\nprefix = ''\n{TO}", ["2: rewrite[0].prefix: is empty, expected the beginning of the names"]),
        (f"[[rewrite]]\nprefix = 'a..b'\n{TO}", ['2: rewrite[0].prefix: found "a..b", expected the beginning of a name: ']),
        ("[[rewrite]]\nprefix = 'a'\nto = 'b..c'", ['3: rewrite[0].to: found "b..c", expected the beginning of a name: ']),
        (f"[[rewrite]]\nregex = '('\n{TO}", ["2: rewrite[0].regex: is not a regular expression in RE2 syntax: missing ): ("]),
        (f"[[rewrite]]\nregex = '(?=a)'\n{TO}", ["2: rewrite[0].regex: is not a regular expression in RE2 syntax: invalid perl operator: (?="]),
        (f"[[rewrite]]\nregex = '{'a' * 1001}'\n{TO}", ["2: rewrite[0].regex: has 1001 characters, expected at most 1000"]),
        ("[[rewrite]]\nregex = '(a)(?P<b>c)'\nto = '{3}.x'", ['3: rewrite[0].to: found "{3}" in "{3}.x", expected "{0}" or "{1}" or "{2}" or "{b}"']),
        ("[[rewrite]]\nregex = 'a'\nto = '{1.x'", ['3: rewrite[0].to: found "{1.x", a single "{"; for a brace write it twice']),
        ("[[rewrite]]\nregex = 'a'\nto = ''", ['3: rewrite[0].to: found "", expected a domain name']),
        ("[[rewrite]]\nregex = '(a)'\nto = '{1}..b'", ['3: rewrite[0].to: found "a..b", expected a domain name']),
        (f"[[rewrite]]\nregex = '(a)'\nto = '{{1}}.{'x' * 64}'", ["3: rewrite[0].to: found "]),
        ("[[rewrite]]\nregex = '(a)'\nto = '{1}.b\u00fccher'", ['3: rewrite[0].to: found "']),
        ("[[rewrite]]\nregex = 'a'\nto = '*.b'", ['3: rewrite[0].to: found "*.b", a pattern']),
        (f"[[rewrite]]\nname = '*.a'\n{TO}", ['2: rewrite[0].name: found "*.a", a pattern; expected "a", which covers all']),
        (f"[[rewrite]]\nname = 'b\u00fccher'\n{TO}", ['2: rewrite[0].name: found "b\u00fccher"; expected the name as DNS clients ask for it, "xn--bcher-kva"']),
        ("[[answer]]\nname = '*.a'\nrcode = 'DROP'", ['2: answer[0].name: found "*.a", a pattern; expected "a", which covers all']),
        ("[[answer]]\nname = 'a'\nrecords = ['@ CNAME b', '@ CNAME c']", ['3: answer[0].records[0]: found "@ CNAME b", an alias of a name that has other records']),
        ("[[answer]]\nname = 'a'\nrecords = ['@ A 192.0.2.1', '@ CNAME c']", ['3: answer[0].records[1]: found "@ CNAME c", an alias of a name that has other records']),
        ("[[answer]]\nname = 'a'\nrecords = ['@ CNAME b', 'b CNAME c', 'b A 192.0.2.1']", ['3: answer[0].records[1]: found "b CNAME c", an alias of a name that has other records']),
        ("[[rewrite]]\nname = 'a.b'\nbelow = ['c']\nto = 'x'", ["3: rewrite[0].below: name is in none of these domains: the rule matches no name"]),
        ("[[rewrite]]\nsuffix = 'a.b'\nbelow = ['c', '*.b']\nto = 'x'", ['3: rewrite[0].below[1]: found "*.b"', "3: rewrite[0].below: suffix is in none"]),
        ("[[rewrite]]\nname = 'a'\nto = 'b'\nanswers = 'all'", ['4: rewrite[0].answers: found "all", expected "owner" or "names"']),
        ("[[answer]]\nrcode = 'NXDOMAIN'", ["1: answer[0]: does not say which names it is for; expected name, regex or below"]),
        ("[[answer]]\nname = 'a'", ["1: answer[0]: has neither records nor rcode; expected one of the two"]),
        ("[[answer]]\nname = 'a'\nregex = 'a'\nrcode = 'DROP'", ["1: answer[0]: has name and regex; expected only one of them"]),
        ("[[answer]]\nname = 'a'\nrecords = ['@ A 192.0.2.1']\nrcode = 'DROP'", ["1: answer[0]: has records and rcode; expected one of the two"]),
        ("[[answer]]\nname = 'a'\nrcode = 'SERVFAIL'", ['3: answer[0].rcode: found "SERVFAIL", expected "NODATA", "NXDOMAIN", "REFUSED" or "DROP"']),
        ("[[answer]]\nname = 'a'\nrecords = ['@ A 192.0.2.1', '@ A 192.0.2']", ["3: answer[0].records[1]: A 192.0.2: not an address"]),
        ("[[answer]]\nname = 'a'\nrecords = ['@ B 1']", ["3: answer[0].records[0]: there is no type B"]),
        ("[[answer]]\nname = 'a'\nrecords = ['@ CH A 192.0.2.1']", ["3: answer[0].records[0]: a. is of class CH, expected IN"]),
        ("[[answer]]\nname = 'a'\nrecords = ['']", ["3: answer[0].records[0]: 0 records, expected one"]),
        ("[[answer]]\nname = 'a'\nrecords = ['b A 192.0.2.1']", ['3: answer[0].records[0]: found "b A 192.0.2.1", which is about a name other']),
        ("[[answer]]\nbelow = ['a']\nrecords = ['b.a. A 192.0.2.1']", ['3: answer[0].records[0]: found "b.a. A 192.0.2.1", which is about a name other']),
        ("[[answer]]\nname = 'a'\ntypes = ['AAAA']\nrecords = ['@ A 192.0.2.1']", ["4: answer[0].records[0]: is of type A, which is not among the types"]),
        ("[[answer]]\nname = 'a'\ntypes = ['ANY']\nrcode = 'DROP'", ['3: answer[0].types[0]: found "ANY", expected a record type']),
        ("[[answer]]\nname = 'a'\ntypes = ['TYPE0']\nrcode = 'DROP'", ['3: answer[0].types[0]: found "TYPE0", expected a record type']),
        ("[[answer]]\nname = 'a'\nrecords = ['@ A {1}.0.0.1']", ['3: answer[0].records[0]: found "{1}" in "@ A {1}.0.0.1", expected "{name}"']),
        ("[[answer]]\nregex = 'a(b)'\nrecords = ['@ A {1}.x']", ["3: answer[0].records[0]: A 1.x: not an address"]),
        ("[[hosts]]\nttl = 5", ["1: hosts[0]: has neither entries nor a file, expected one of them"]),
        ("[[hosts]]\nentries = ['nas 192.0.2.9']", ['2: hosts[0].entries[0]: found "nas", expected an address and its names']),
        ("[[hosts]]\nentries = ['192.0.2.9']", ["2: hosts[0].entries[0]: found 192.0.2.9 alone, expected names after it"]),
        ("[[hosts]]\nentries = ['# 192.0.2.9 x']", ["2: hosts[0].entries[0]: is empty, expected an address"]),
        ("[[hosts]]\nentries = ['192.0.2.9 a..b']", ["2: hosts[0].entries[0]: the label in front of a dot has 0 octets"]),
        ("[[hosts]]\nentries = ['192.0.2.9 b\u00fccher']", ['2: hosts[0].entries[0]: found "b\u00fccher", expected a name of letters']),
        ("[[hosts]]\nfile = 'x'\nauthoritative_below = ['*.a']", ['3: hosts[0].authoritative_below[0]: found "*.a", a pattern; expected "a"']),
        ("[[forward]]\ndomain = 'a'\nupstreams = []\nexcept = ['b.a', 'a', 'b']", ['4: forward[0].except[1]: "a" is not below "a"', '4: forward[0].except[2]: "b" is not below "a"']),
        ("[rewrite]\nname = 'a'\nto = 'b'", ["1: rewrite: found a table, expected a list; write [[rewrite]] in double brackets"]),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_says_why(tmp_path: Path, text: str, messages: list[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    found = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    assert len(found) == len(messages), found
    for told, wanted in zip(found, messages, strict=True):
        assert told.startswith(wanted)


EVERYTHING = r"""
[[rewrite]]
name = "A.example."
to = "b.example."
[[rewrite]]
suffix = ".c.example"
to = ".d.example"
answers = "names"
[[rewrite]]
prefix = "www.e-"
to = ""
below = ["example"]
[[rewrite]]
regex = '^(.*)\.f\.example\.$'
to = "{1}.g.example"
[[answer]]
regex = "^x"
below = ["h.example"]
types = ["aaaa", "TYPE257", "CAA"]
rcode = "NODATA"
[[answer]]
name = "i.example"
records = ["@ 5 IN TXT \"{{x}}\""]
[[hosts]]
entries = ["fe80::1%eth0 j.example"]
ttl = 0
[[forward]]
domain = "k.svc.cluster.local"
upstreams = ["tls://192.0.2.53#dns.example", "192.0.2.54"]
policy = "round_robin"
except = ["l.k.svc.cluster.local"]
max_in_flight = 7
"""


def test_rules_are_what_they_are_written_as() -> None:
    rules = rule_set(config_of(EVERYTHING))
    name, suffix, prefix, regex = rules.rewrites
    assert (name.condition.name, name.to, name.deep) == (from_text("a.example"), from_text("b.example"), False)
    assert (suffix.condition.suffix, suffix.condition.inside) == (from_text("c.example"), True)
    assert (suffix.to, suffix.deep) == (from_text("d.example"), True)
    assert (prefix.condition.prefix, prefix.to) == (Prefix(b"\x03www", b"e-"), Prefix(b"", b""))
    assert (regex.condition.regex, regex.to) == (r"^(.*)\.f\.example\.$", "{1}.g.example")
    some, fixed = rules.answers
    assert some.condition.types == {28, 257}
    assert some.rcode == "NODATA"
    assert fixed.records == ('@ 5 IN TXT "{{x}}"',)
    assert rules.handed_over == (from_text("k.svc.cluster.local"),)
    assert rule_set(Config()) == type(rules)()


def test_what_check_prints_of_rules_loads_back() -> None:
    config = config_of(EVERYTHING)
    assert config_of(render(config)) == config
