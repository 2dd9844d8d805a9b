"""Any Corefile is imported or refused, and no part of it is ignored without a report."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsserver.config.corefile import CorefileError, NotACorefileError
from dnsserver.config.corefile.grammar import PLUGINS as GRAMMAR
from dnsserver.config.corefile.parser import parse
from tests.config.corefile.plugins import PLUGINS
from tests.config.corefile.reading import config, imported

OPTIONS = """
pods ttl namespaces labels namespace_labels fallthrough endpoint tls kubeconfig multicluster noendpoints ignore zonal
except policy max_concurrent force_tcp prefer_udp expire health_check max_fails tls_servername next failover success
denial prefetch serve_stale servfail disable keepttl reload no_reverse lameduck class consolidate match answer rcode
additional authority ederror expr var allow block drop filter expr response query name suffix prefix regex
""".split()  # noqa: SIM905 - a list of so many quotes hides them
VALUES = """
. cluster.local in-addr.arpa ip6.arpa example.org a.example corp.example 10.0.0.0/8 fd00::/8 10.0.0.0/12 0.0.0.0/0 ::/0
192.0.2.1 192.0.2.1:53 [::1]:53 tls://9.9.9.9 tls://9.9.9.9%dns.example https://9.9.9.9 dns://192.0.2.2 /etc/resolv.conf
insecure verified disabled 30 5s 1h 0 -1 99999999999999999999 random sequential round_robin NXDOMAIN SERVFAIL NOERROR IN
CH ANY A AAAA TXT MX stop continue name exact suffix prefix substring regex answer auto value type net * net success
denial immediate verify 10% @kubernetes @ {1} {remote} (.*) ^(.*)\\.a\\.example\\.$ (?P<x>.+)[.]$ [ ( \\ ' ~ é x\x7f
{{.Name}} {$UNSET} {%UNSET%} % # weighted empty_service .old.example .new.example cs.local -name- a..b *.example
""".split()  # noqa: SIM905 - a list of so many quotes hides them
QUOTED = ["{{ .Name }} 60 IN A 1.2.3.4", "{{ .Name }} IN A {{ .Group.x }}", "{{ if }}", "a b", "", '\\"', "a\nb"]

words = st.sampled_from(VALUES) | st.sampled_from(QUOTED).map(lambda text: f'"{text}"')
lines = st.builds(
    lambda option, rest: " ".join([option, *rest]), st.sampled_from(OPTIONS) | words, st.lists(words, max_size=4)
)


@st.composite
def directives(draw: st.DrawFn) -> str:
    name = draw(
        st.sampled_from(PLUGINS) | st.sampled_from(["quux", "import", "kubernetes", "forward", "cache", "hosts"])
    )
    head = " ".join([name, *draw(st.lists(words, max_size=4))])
    if not draw(st.booleans()):
        return head
    return "\n".join([f"{head} {{", *(f"    {line}" for line in draw(st.lists(lines, max_size=5))), "}"])


# A few words of each kind of `grammar`, all of which are right.
RIGHT = {
    "duration": ["5s", "1h30m"], "time": ["0s", "1h"], "positive": ["2s"], "interval": ["30s"], "jitter": ["0", "15s"],
    "failure": ["5s", "0s", "5m"], "timeout": ["5s", "24h"], "queries": ["-1", "10"], "integer": ["-3", "100"],
    "number": ["1.5"], "percentage": ["10%"], "regex": ["^(.*)$", "a"], "network": ["10.0.0.0/8", "fd00::/8"],
    "address": ["127.0.0.1", "::1"], "endpoint": [":8080", "localhost:9153"], "server": ["192.0.2.1:53", "::1"],
    "rcode": ["NXDOMAIN", "servfail"], "upper_rcode": ["NXDOMAIN", "NOERROR"], "class": ["IN", "ANY"],
    "type": ["A", "ANY", "SRV"], "selector": ["app=web"],
    "word": ["a.example", "192.0.2.1", "/a.example", "@kubernetes"],
}  # fmt: skip


@st.composite
def right_words(draw: st.DrawFn, expected: str) -> list[str]:
    """Words that fit a line of the grammar."""
    words: list[str] = []
    for part in expected.split():
        name, how = (part[:-1], part[-1]) if part[-1] in "?*+" else (part, "")
        if how in {"?", "*"} and not draw(st.booleans()):
            break
        if "|" in name:
            choices = name.split("|")
        elif ".." in name:
            choices = [name.partition("..")[0], name.rpartition("..")[2] or "7"]
        else:
            choices = RIGHT[name]
        words.append(draw(st.sampled_from(choices)))
    return words


@st.composite
def right_directives(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from([plugin for plugin in PLUGINS if plugin not in {"rewrite", "acl"}]))
    grammar = GRAMMAR[name]
    head = " ".join([name, *draw(right_words(grammar.words))])
    if not grammar.options or not draw(st.booleans()):
        return head
    options = draw(st.lists(st.sampled_from(sorted(grammar.options)), min_size=1, max_size=3, unique=True))
    body = [" ".join([option, *draw(right_words(grammar.options[option]))]) for option in options]
    return "\n".join([f"{head} {{", *(f"    {line}" for line in body), "}"])


@st.composite
def blocks(draw: st.DrawFn) -> str:
    ends = st.sampled_from(["", "", ":53", ":5353", ":99999"])
    keys = draw(st.lists(st.builds(lambda zone, port: zone + port, st.sampled_from(VALUES), ends), max_size=3))
    body = draw(st.lists(draw(st.sampled_from([directives, right_directives, right_directives]))(), max_size=6))
    return "\n".join([" ".join([*(keys or ["."]), "{"]), *body, "}"])


corefiles = st.lists(blocks(), max_size=4).map("\n".join)


@settings(max_examples=200)
@given(right_directives(), st.sampled_from([".", "a.example:53"]))
@example("view a.example", ".")
def test_words_that_fit_are_taken_over_or_their_loss_is_named(directive: str, key: str) -> None:
    """A refusal is then about a relation between lines, and random words rarely break one."""
    try:
        result = imported(f"{key} {{\n{directive}\n}}")
    except CorefileError as error:
        refused = str(error)
        if "has no such option" not in refused and "there is no such plugin" not in refused:
            return
        raise
    config(result)
    # What becomes of a view is said of its server block.
    assert any(finding.source.line > 1 or finding.what == "view" for finding in result.findings)


@settings(max_examples=150)
@given(corefiles)
def test_it_is_taken_over_or_its_loss_is_named(text: str) -> None:
    try:
        result = imported(text, {"a.example": "errors\n"})
    except (CorefileError, NotACorefileError):
        return
    config(result)  # raises if our own reader does not take it
    named = {(finding.source.file, finding.source.line) for finding in result.findings}
    dropped = any(finding.what in {"server block", "view"} for finding in result.findings)
    for block in parse(text, "Corefile", lambda *_: [], {}).blocks:
        for directive in block.directives:
            places = {directive.line, *(line.line for line in directive.lines)}
            assert dropped or any(("Corefile", line) in named for line in places), directive


@settings(max_examples=150)
@given(st.text(alphabet=st.sampled_from('.:{}"\\#\n\r\t ,()%$[]*é\x00\x7f') | st.characters(), max_size=200))
def test_any_text_is_taken_over_or_refused(text: str) -> None:
    try:
        config(imported(text))
    except (CorefileError, NotACorefileError):
        return


@settings(max_examples=100)
@given(corefiles, st.integers(0, 400), st.integers(0, 400))
def test_a_part_of_a_corefile_is_taken_over_or_refused(text: str, begin: int, end: int) -> None:
    try:
        config(imported(text[begin : begin + end]))
    except (CorefileError, NotACorefileError):
        return


@pytest.mark.parametrize("depth", [10, 10_000])
def test_blocks_in_each_other(depth: int) -> None:
    with pytest.raises(CorefileError):
        imported(". {\n" + "a {\n" * depth)
