"""Parts of a Corefile that cannot be imported, or only with a difference: the line, and the consequence."""

import pytest

from tests.config.corefile.reading import config, imported, root, said

# The lines, of what kind the finding is, and what it says.
SAID: list[tuple[tuple[str, ...], str, str]] = [
    (("template CH TXT a.example {", ' answer "{{ .Name }} TXT x"', "}"), "lost", "questions of class CH are refused"),
    (("template IN A a..example {", ' answer "{{ .Name }} A 192.0.2.1"', "}"), "lost", "is not a zone name"),
    (("template IN A a.example {", ' answer "{{ .Name }} A 192.0.2.1"', ' additional "x A 192.0.2.2"', "}"), "lost",
     "replies have only records that answer the question"),
    (("template IN A a.example {", ' answer "{{ .Name }} A 192.0.2.1"', " ederror 21", "}"), "differs",
     "the extended error in the reply (RFC 8914) says that a rule answered"),
    (("template IN A a.example {", ' answer "{{ .Name }} A 192.0.2.1"', ' authority "a SOA a b 1 2 3 4 5"', "}"),
     "default", "a negative answer has an SOA of the rule's domain"),
    (("template IN A a.example {", ' answer "{{ .Name }} A 192.0.2.1"', " upstream", "}"), "default",
     "CoreDNS itself ignores it now"),
    (("template IN A a.example {", ' match "^x"', ' answer "{{ .Name }} A 192.0.2.1"', " fallthrough b.example", "}"),
     "differs", "names of all zones of the template fall through"),
    (("template IN A a.example {", ' match "^x"', ' answer "{{ .Name }} A 192.0.2.1"', "}"), "differs",
     "names that no expression matches are refused"),
    (("template IN A a.example {", ' answer "{{ .Name }} TXT {{ .Message.Id }}"', "}"), "lost",
     "computes more than [[answer]] can"),
    (("template IN A a.example {", ' answer "{{ .Name }} A {{"', "}"), "lost", "computes more than [[answer]] can"),
    (("template IN A a.example {", ' match "x"', ' answer "{{ .Name }} A {{ index .Match 0 }}"', "}"), "lost",
     "computes more than [[answer]] can"),
    (("template IN A a.example {", " rcode YXDOMAIN", "}"), "differs", "REFUSED instead of YXDOMAIN"),
    (("template IN A a.example {", " rcode NXDOMAIN", ' answer "{{ .Name }} A 192.0.2.1"', "}"), "lost",
     "a reply with rcode NXDOMAIN has no records"),
    (("template ANY ANY a.example {", ' answer "{{ .Name }} A 192.0.2.1"', "}"), "differs",
     "other types of these names are empty (NODATA)"),
    (("rewrite name a.example b(.example",), "lost", "cannot be written as one rule on whole labels"),
    (("rewrite name suffix .a.example .b.example answer name (.*) {1}.x",), "differs", "this same rule, and not"),
    (("rewrite name regex (.*)[.]a {1}.b answer value (.*)[.]b {1}.a",), "differs", "is changed back if it is the one"),
    (("rewrite name a.b c.d", "kubernetes cluster.local"), "differs", "an alias, such as an ExternalName, that leads"),
    (("forward . 192.0.2.1",), "differs", "names in localhost, resolver.arpa, invalid, onion, alt are answered here"),
    (("forward . 192.0.2.1", "forward b.example 192.0.2.2"), "differs", "no name reaches it"),
    (("cache 30 {", " success 500 60", "}", "forward . 10.0.0.1"), "default", "the cache is measured in octets"),
    (("hosts /h {", " reload 0", " fallthrough", "}"), "differs", "here the file is read again"),
    (("log",), "became", "lines go to standard error"),
    (('log . "{remote} {rcode}"',), "lost", "the custom format {remote} {rcode} is not supported"),
    (("log", "}", "b.example {", "forward . 10.0.0.1"), "differs", "queries of other server blocks"),
    (("errors", "}", "b.example {", "log a.example"), "differs", "none of these names reaches this block"),
    (("kubernetes cluster.local", "file /a a.cluster.local"), "lost", "a.cluster.local is the cluster's"),
    (("cache 30", "file /a a.example"), "differs", "records keep the TTLs of the file, which `cache` shortened"),
    (("kubernetes cluster.local 10.96.0.0/12 fd00::/8",), "differs", "outside of its reverse zones: CoreDNS asked for"),
    (("kubernetes cluster.local",), "differs", "no reverse zone: CoreDNS asked for reverse names of the cluster"),
    (("kubernetes cluster.local", "}", "10.0.0.0/14 {", "forward . 10.0.0.1"), "differs",
     "0.10.in-addr.arpa and 3 more zones: reverse names in them that the cluster knows are answered here"),
    (("cache 60", "forward . 10.0.0.2", "}", "b.example {", "forward . 10.0.0.1"), "default",
     "60 seconds at most, as Corefile:2 says"),
    (("cache 60",), "default", "no answer comes from outside"),
    (("errors",), "differs", "names of cluster.local, and of the addresses of Services and pods, are answered here"),
    (("kubernetes a.local", "}", "b.local {", "kubernetes b.local in-addr.arpa"), "differs", "no reverse zone"),
    (("template IN A b.example", "}", "a.b.example {", "template IN A b.example"), "became", 'below = ["a.b.example"]'),
    (("errors", "}", "a.example {", "hosts /h b.example"), "differs", "no name reaches it, because"),
    (("errors", "}", "a.example {", "acl b.example {", " block", "}"), "differs", "no name reaches it, because of its"),
    (("forward . 10.0.0.1", "}", ".:5301 {", "forward . 10.0.0.2"), "lost", "get none, as the server does not listen"),
    (("forward . 127.0.0.1:5301", "}", ".:5301 {", "hosts /h", "forward . 10.0.0.2"), "lost", "hosts of it are left"),
    (("forward . 127.0.0.1:5301", "}", ".:5301 {", "forward . 10.0.0.2"), "differs",
     "its upstreams are asked directly, in place of 127.0.0.1:5301"),
    (("bind eth0",), "lost", "the server listens at port 53 of all addresses; write those of eth0 into listen"),
    (("bind fe80::1%eth0",), "lost", "the server listens at port 53 of all addresses; write those of fe80::1%eth0"),
    (("bind eth0 10.0.0.1",), "lost", "write those of eth0 into listen, or no client is answered there"),
    (("forward . 127.0.0.1",), "lost", "127.0.0.1 is this server itself, and it does not ask itself"),
    (("forward b.example 127.0.0.1:54", "}", "b.example:54 {", "hosts /h"), "differs",
     "names below b.example are answered as Corefile:4 says, without a question to 127.0.0.1:54"),
    (("hosts /h", "forward . 10.0.0.1", "}", "b.example:54 {", "forward . 127.0.0.1"), "lost", "hosts of it are left"),
    (("header {", " set ra", "}"), "default", "RA is set in every reply if there are upstreams"),
    (("header {", " Clear AA", "}"), "lost", "clients that need `response clear aa` see another flag"),
    (("kubernetes",), "lost", "it has no domain: CoreDNS answers names such as kubernetes.default.svc for it"),
    (("hosts /h a..b",), "lost", "a..b is not a zone name"),
    (("hosts /dev/null",), "differs", "/dev/null has no names: left out"),
    (("proxy . 10.0.0.1",), "differs", "proxy, which CoreDNS no longer has, is imported like forward"),
    (("nodecache bind",), "lost", "`guard-node` does that, in manifests/node-local"),
    (("file /a",), "lost", "the root zone does not come from a file here"),
    (("}", "b.example {", "file /a a.example"), "differs", "file: no name reaches it, because of its server block"),
    (("}", "b.a.example {", "file /a a.example"), "differs", "all names of a.example come from the file, and not only"),
    (("auto",), "default", "it names no folder: CoreDNS answers nothing from it"),
    (("auto {", " directory /z (", "}"), "lost", "/z has no zone files on this machine: import where they are"),
    (("auto {", " directory /z ( {1}", "}"), "lost", "found (, expected a regular expression"),
    (("auto {", f" directory /z a{{{'9' * 30}}} {{1}}", "}"), "lost", "expected a regular expression: the repetition"),
    (("auto {", " directory /z", " reload 5s", "}"), "default", "a file that is named is read again"),
    (("file /a a.example", "file /b a.example"), "lost", "a.example already has a zone file"),
    (("file /a a.example {", " reload 5s", "}"), "default", "the file is read again whenever it changes"),
    (("file /a a.example {", " fallthrough", "}"), "lost", "that the file does not have gets NXDOMAIN"),
    (("file /a a.example {", " upstream", "}"), "default", "CoreDNS itself ignores it now"),
    # CoreDNS refuses what it does not know there, and sets up nothing of the rest
    (("whoami", "}", "{$ZONE} {", "health a b"), "default", "it has no zone: CoreDNS answers nothing from it"),
]  # fmt: skip

SOA = "@ 60 IN SOA ns h 1 2 3 4 60\n"
ORIGIN = "$ORIGIN a.example.\n"
ZONES = [
    (ORIGIN + SOA, ""),
    (SOA, ""),
    ("$ORIGIN A.Example.\n" + SOA + "b 60 IN CNAME @\n", ""),
    ("$ORIGIN b.example.\n" + SOA, "/z:2: the SOA is that of b.example., expected a.example.: the server does not"),
    (ORIGIN + SOA + "c 60 IN NS ns.c\n", "/z:3: c.a.example. NS is a delegation; zone files here have none"),
    (ORIGIN + SOA + "c 60 IN DNAME d\n", "/z:3: c.a.example. DNAME is not followed"),
    (ORIGIN, "/z: 0 SOA records, expected one: the server does not start with this file"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "text"), ZONES, ids=[row[1][:60] or row[0] for row in ZONES])
def test_what_is_said_of_a_zone_file(zone: str, text: str) -> None:
    found = said(imported("a.example {\n file /z\n}", {"/z": zone}), "lost")
    assert len(found) == bool(text)
    assert all(text in line for line in found)


AUTO = [
    ("directory /z", [], {"a.example": "/z/db.a.example", "x": "/z/deep/db.x"}),
    ("directory /z", ["a.example", "cluster.local"], {"a.example": "/z/db.a.example"}),
    (r"directory /z ^(?P<zone>.*)\.zone$ {zone}.test", [], {"b.test": "/z/b.zone"}),
    (r"directory /z ^(.*)\.zone$ {1}.test", [], {"b.test": "/z/b.zone"}),
    ("directory /z db\\.(.*)", [], {"a.example": "/z/db.a.example", "x": "/z/deep/db.x"}),
]


@pytest.mark.parametrize(("line", "zones", "expected"), AUTO)
def test_auto_is_the_files_that_are_there(line: str, zones: list[str], expected: dict[str, str]) -> None:
    files = [
        "/z/db.a.example",
        "/z/b.zone",
        "/z/deep/db.x",
        "/z/db.ns.cluster.local",
        "/other/db.c.example",
        "/z/db..y",
    ]
    result = imported(root(f"auto {' '.join(zones)} {{", f" {line}", "}"), dict.fromkeys(files, SOA))
    found = {str(file.zone): str(file.path) for file in config(result).static}
    assert found == expected
    assert bool(found) == any("comes into the folder later" in text for text in said(result, "differs"))


def test_a_mistake_of_a_file_is_said_once_for_all_its_zones() -> None:
    zones = [f"z{number}.example" for number in range(20)]
    found = said(imported(root(f"file /z {' '.join(zones)}"), {"/z": SOA + "c 60 IN DNAME d\n"}), "lost")
    (line,) = [line for line in found if "/z:" in line]
    assert "/z:2: c.z0.example. DNAME is not followed" in line
    assert "for z0.example, and perhaps for 19 more zones" in line


NO_LOSS = [
    # Names that a rewrite leads to have the upstreams that the same block says
    ("rewrite name suffix .b.example .c.example answer auto", "forward c.example 10.0.0.5", "forward . 10.0.0.1"),
]


@pytest.mark.parametrize("lines", NO_LOSS)
def test_what_is_no_loss(lines: tuple[str, ...]) -> None:
    assert said(imported(root(*lines)), "lost") == []


@pytest.mark.parametrize(("lines", "kind", "text"), SAID, ids=[f"{row[0][-1].strip()} {row[2]}" for row in SAID])
def test_what_is_said(lines: tuple[str, ...], kind: str, text: str) -> None:
    result = imported(root(*lines))
    config(result)  # whatever it is, what is left can be served with
    assert any(text in line for line in said(result, kind)), [
        (found.kind, found.source.line, found.what, found.text) for found in result.findings
    ]
