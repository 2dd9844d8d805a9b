"""What CoreDNS 1.14.7 does not start with, as the program itself was asked; and what it does start with beside it."""

import pytest

from dnsserver.config.corefile import CorefileError
from dnsserver.config.corefile.grammar import PLUGINS as GRAMMAR
from tests.config.corefile.plugins import PLUGINS, shortest
from tests.config.corefile.reading import imported


def root(directive: str) -> str:
    """A Corefile of one block for all names, in whose second line a directive begins."""
    return f". {{\n{directive}\n}}\n"


def block(plugin: str, *lines: str) -> str:
    """A directive with a block, whose first line is line 3 of `root`."""
    return "\n".join([f"{plugin} {{", *(f" {line}" for line in lines), "}"])


def refused(text: str) -> list[str]:
    with pytest.raises(CorefileError) as error:
        imported(text)
    return str(error.value).splitlines()


# A directive, the line that is named, and what is said.
REFUSED: list[tuple[str, int, str]] = [
    # plugins
    ("kubernets cluster.local", 2, "kubernets: there is no such plugin of CoreDNS; did you mean kubernetes?"),
    ("forwrad . 192.0.2.1", 2, "did you mean forward?"),
    ("Errors", 2, "did you mean errors?"),
    ("quux a b", 2, "there is no such plugin of CoreDNS; remove the line if it is a plugin that you built in yourself"),
    ("pods insecure", 2, "pods: there is no such plugin; it is an option of kubernetes, within its { }"),
    ("errors\nerrors", 3, "errors: expected once in a server block; it is already in line 2"),
    ("k8s_external a.example", 2, "expected the plugin kubernetes in the same server block"),
    # words
    ("any x", 2, "any: found x, expected nothing after it"),
    ("forward .", 2, "forward: expected a word after it"),
    ("bufsize 100", 2, "expected a whole number from 512 to 4096"),
    ("cancel 5", 2, "expected a duration above 0"),
    ("health 8080", 2, "expected HOST:PORT or :PORT"),
    ("ready a b", 2, "found a, expected HOST:PORT or :PORT"),
    ("reload 1s", 2, "expected a duration of 2s or more"),
    ("loadbalance random", 2, "expected round_robin or weighted"),
    ("loadbalance round_robin x", 2, "expected nothing after round_robin"),
    ("loadbalance weighted", 2, "expected the file with the weights"),
    ("errors stderr", 2, "expected stdout"),
    ("multisocket 0", 2, "expected a whole number from 1 to 1024"),
    ("template IN", 2, "expected a record type"),
    ("template in A", 2, "found in, expected a class such as IN or ANY"),
    ("bind", 2, "expected a word after it"),
    ("tls", 2, "expected a certificate and a key after it, or acme with a domain in a block"),
    ("tls a", 2, "found one word, expected a certificate and a key"),
    (block("tls", "acme"), 3, "expected a word after it"),
    ("bind 999.1.1.1", 2, "expected an IP address, or the name of an interface"),
    ("cache 0", 2, "expected a TTL of 1 second or more"),
    ("forward a..b 192.0.2.1", 2, "found a..b, expected a domain"),
    ("forward . 8.8.8", 2, "found 8.8.8, expected an address, a hostname or a file"),
    ("forward . quic://192.0.2.1", 2, "expected dns://, tls:// or https://"),
    ("forward . tsl://192.0.2.1", 2, "did you mean tls?"),
    ("forward . https://192.0.2.1/dns-query", 2, "expected no path"),
    (f"forward . {' '.join(f'192.0.2.{n}' for n in range(16))}", 2, "found 16 upstreams, expected at most 15"),
    ("kubernetes in-addr.arpa", 2, "found only reverse zones"),
    ("timeouts", 2, "expected at least one of read, write, idle and maxtcpqueries"),
    ("header", 2, "expected at least one line such as `response set ra`"),
    ("transfer", 2, "expected `to` in its block"),
    ("secondary a.example", 2, "expected `transfer from` in its block"),
    # options
    (block("forward . 192.0.2.1", "max_fail 3"), 3, "max_fail: forward has no such option; did you mean max_fails?"),
    (block("kubernetes cluster.local", "podz insecure"), 3, "did you mean pods?"),
    (block("kubernetes cluster.local", "errors"), 3, "errors is a plugin, not an option of kubernetes; is a } missing"),
    (block("health", "xyzzy"), 3, "health has no such option; it has lameduck"),
    (block("loop", "a"), 3, "loop takes no block"),
    (block("kubernetes cluster.local", "pods verifed"), 3,
     "found verifed, expected disabled, insecure or verified; did you mean verified?"),
    (block("kubernetes cluster.local", "pods"), 3, "expected disabled, insecure or verified after it"),
    (block("kubernetes cluster.local", "ttl 3601"), 3, "expected a whole number from 0 to 3600"),
    (block("kubernetes cluster.local", "labels a in (b"), 3, "expected a label selector"),
    (block("kubernetes cluster.local", "namespaces a", "namespace_labels b=c"), 4, "found together with namespaces"),
    (block("kubernetes cluster.local", "zonal", "noendpoints"), 4, "found together with zonal"),
    (block("kubernetes cluster.local", "multicluster a.example"), 3, "is not one of the zones of this plugin"),
    (block("forward . 192.0.2.1", "policy rand"), 3, "round_robin or sequential; did you mean random?"),
    (block("forward . 192.0.2.1", "max_fails -1"), 3, "expected a whole number from 0"),
    (block("forward . 192.0.2.1", "expire 5"), 3, "expected a duration such as 30s"),
    (block("forward . 192.0.2.1", "expire 10s", "max_age 5s"), 4, "expected at least the value of expire"),
    (block("forward . 192.0.2.1", "health_check 5s norec"), 3, "did you mean no_rec?"),
    (block("forward . 192.0.2.1", "failover NOERROR"), 3, "expected rcodes of failures"),
    (block("forward . 192.0.2.1", "next NXDOMIAN"), 3, "expected an rcode such as NXDOMAIN"),
    (block("forward . 192.0.2.1", "resolver a.example"), 3, "expected an IP address, with or without a port"),
    (block("cache 30", "success many"), 3, "expected a whole number"),
    (block("cache 30", "prefetch 1 1m 95%"), 3, "expected a percentage from 10% to 90%"),
    (block("cache 30", "serve_stale 1h later"), 3, "expected immediate or verify"),
    (block("cache 30", "serve_stale 1h immediate 30s 5s 1s"), 3, "expected no more words after immediate"),
    (block("cache 30", "serve_stale_policy prefer_positive"), 3, "expected serve_stale in the same block"),
    (block("cache 30", "servfail 6m"), 3, "expected a duration up to 5m"),
    (block("cache 30", "disable succes"), 3, "did you mean success?"),
    (block("hosts", "fallthrough", "10.0.0.1 a.example"), 4, "stands below fallthrough"),
    (block("hosts", "ttl 0"), 3, "expected a whole number from 1 to 65535"),
    (block("hosts", "fallthrough_unsupported"), 3, "expected fallthrough in the same block"),
    (block("errors", 'consolidate 5m "("'), 3, "expected a regular expression"),
    (block("log", "class errors"), 3, "did you mean error?"),
    (block("prometheus", "runtime"), 3, "did you mean runtime_metrics?"),
    (block("timeouts", "read 5d"), 3, "expected a duration from 1s to 24h"),
    (block("timeouts", "maxtcpqueries 0"), 3, "expected -1, or a whole number of 1 or more"),
    (block("header", "response set xx"), 3, "expected aa, ra or rd"),
    (block("template IN A", "rcode nxdomain"), 3, "expected an rcode in upper case"),
    (block("template IN A", "expr true"), 3, "template has no such option"),
    (block("acl", "alow net 10.0.0.0/8"), 3, "did you mean allow?"),
    (block("acl", "allow nets 10.0.0.0/8"), 3, "expected type or net; did you mean net?"),
    (block("acl", "block type a"), 3, "expected a record type in upper case, or *"),
    (block("acl", "block type"), 3, "expected something after type"),
    (block("acl", "block net 10.0.0"), 3, "expected an address or network, or *"),
    # rewrites
    ("rewrite", 2, "found nothing, expected one of name, class"),
    ("rewrite names a b", 2, "did you mean name?"),
    ("rewrite name a", 2, "found 1 words, expected 2, or 3 with one of exact"),
    ("rewrite name sufix .a .b", 2, "did you mean suffix?"),
    ("rewrite name regex ( b", 2, "is not a regular expression in RE2 syntax"),
    ("rewrite name regex a b{1}", 2, "b{1} has {1}, for which a has no group"),
    ("rewrite name suffix .a .b ansewr auto", 2, "expected nothing or answer; did you mean answer?"),
    ("rewrite name suffix .a .b answer sometimes", 2, "expected auto or name or value"),
    ("rewrite name suffix .a .b answer name a", 2, "expected two words after name"),
    ("rewrite type ANY FOO", 2, "expected two words, as in ANY HINFO: the old one and the new one"),
    ("rewrite class CH", 2, "expected two words, as in CH IN: the old one and the new one"),
    ("rewrite edns0 set local 0xffee 0x61", 2, "expected local or nsid or subnet, and one of set"),
    ("rewrite edns0 local sett 0xffee 0x61", 2, "did you mean set?"),
    ("rewrite ttl a x", 2, "expected a number of seconds, or a range"),
    ("rewrite rcode a FOO NOERROR", 2, "expected an rcode such as NXDOMAIN"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("directive", "line", "text"), REFUSED, ids=[f"{row[0]}".replace("\n", " ") for row in REFUSED]
)
def test_what_coredns_refuses_is_refused_with_its_line(directive: str, line: int, text: str) -> None:
    found = refused(root(directive))
    assert found[0].startswith(f"Corefile:{line}: ")
    assert text in found[0]


SERVER_BLOCKS = [
    ("a..b {\n log\n}", "Corefile:1: a..b: expected a domain, or a network, with or without :PORT"),
    (".:99999 {\n log\n}", "Corefile:1: .:99999: expected a domain"),
    (". . {\n log\n}", "Corefile:1: .: this zone and port are already in Corefile:1; expected once"),
    (". {\n log\n}\n.:53 {\n errors\n}", "Corefile:4: .:53: this zone and port are already in Corefile:1"),
    (
        "10.0.0.0/8 {\n log\n}\n10.in-addr.arpa {\n errors\n}",
        "Corefile:4: 10.in-addr.arpa: this zone and port are already in Corefile:1",
    ),
]


@pytest.mark.parametrize(("text", "message"), SERVER_BLOCKS)
def test_keys_of_server_blocks(text: str, message: str) -> None:
    assert refused(text)[0].startswith(message)


TAKEN = [
    *(shortest(plugin) for plugin in PLUGINS if plugin not in {"k8s_external", "view"}),
    "forward . 192.0.2.1:5353 [::1]:53 ::1 tls://192.0.2.1%dns.example fe80::1%eth0 dns.example",
    block(
        "forward . /etc/resolv.conf",
        "health_check 5s no_rec domain a.example",
        "max_age 20s",
        "expire 10s",
        "next NXDOMAIN",
    ),
    block(
        "cache 30 a.example", "serve_stale 1h VERIFY 1s 30s 5s", "serve_stale_policy prefer_positive", "success 100 5 1"
    ),
    block("hosts", "10.0.0.1 a.example", "nonsense", "fallthrough", "no_reverse"),
    block("acl", "Allow net 10.0.0.1 fd00::/8", "block type A AAAA net *", "filter"),
    block("header", "Response Set RA", "query clear rd"),
    block("header", "set ra", "clear aa rd"),  # up to 1.12.3
    block("timeouts", "read 5", "idle 1m"),
    block("errors", 'consolidate 5m ".*" warning show_first', "stacktrace"),
    block("rewrite stop", "name regex (.*)\\.a {1}.b", "answer name (.*)\\.b {1}.a"),
    "rewrite name suffix .a .b answer auto",
    "rewrite edns0 local set 0xffee 0x61",
    "rewrite ttl exact a.example 30-60",
    "rewrite rcode a.example NXDOMAIN NOERROR",
    "any {\n}",
    # Versions before 1.14 took these.
    block("kubernetes cluster.local", "upstream", "resyncperiod 5m", "transfer to *"),
    block("file /db a.example", "no_reload", "transfer to *"),
    # Of people who build CoreDNS themselves, or gone from it.
    "fanout . 192.0.2.1",
    "proxy . 192.0.2.1",
]


@pytest.mark.parametrize("directive", TAKEN)
def test_what_coredns_starts_with_is_taken(directive: str) -> None:
    imported(root(directive))


def test_the_grammar_has_every_plugin_of_a_standard_build() -> None:
    assert set(GRAMMAR) == set(PLUGINS)


def test_every_mistake_is_told_at_once() -> None:
    found = refused(
        ". {\n kubernets a.local\n forward . 192.0.2.1 {\n  max_fail 3\n  policy rand\n }\n}\nb..c {\n loop x\n}\n"
    )
    assert [line.split(": ")[0] for line in found] == [f"Corefile:{number}" for number in (2, 4, 5, 8, 9)]


def test_a_variable_that_is_not_set_here_is_named_beside_what_it_leaves() -> None:
    (found,) = refused(root("forward . {$UPSTREAM}"))
    assert found.startswith("Corefile:2: forward: found an empty word, expected an address")
    assert "; {$UPSTREAM} is not set where you run the import" in found


def test_mistakes_of_an_imported_file_have_its_name() -> None:
    with pytest.raises(CorefileError, match=r"a\.conf:2: forward max_fail: "):
        imported(root("import a.conf"), {"a.conf": "forward . 192.0.2.1 {\n max_fail 3\n}\n"})


@pytest.mark.parametrize("word", ["²", "--5", "9" * 5000])
def test_a_word_that_is_nearly_a_number_is_a_name_of_the_cache(word: str) -> None:
    imported(root("\n".join((f"cache {word}", block("hosts", "10.0.0.1 a.example")))))
