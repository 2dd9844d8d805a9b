"""Rules in force: what a client gets, for every kind of question and for every target.

Over 400 lines: mostly tables of questions, a case on a line.
"""

# ruff: noqa: E501 - a case stands on one line
import dns.edns
import dns.flags
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cluster import namespace, service
from tests.outside import text
from tests.ruled import WORLD, Ruled

LONG = ".".join(["x" * 62] * 4)[:-2]  # a name of 251 characters


def rewrite(how: str, to: str, more: str = "") -> str:
    return f"[[rewrite]]\n{how}\nto = '{to}'\n{more}\n"


WEB = "web.shop.svc.cluster.local"
CLUSTER = rewrite("suffix = '.old.example'", "svc.cluster.local")
NAMES = rewrite("suffix = '.old.example'", "svc.cluster.local", "answers = 'names'")
OUT = rewrite("suffix = 'old.example'", "example.com")
DEEP = rewrite("suffix = 'old.example'", "example.com", "answers = 'names'")
REGEX = rewrite(r"regex = '^(.*)-(?P<ns>shop|pay)\.corp\.example\.$'", "{1}.{ns}.svc.cluster.local")


@pytest.mark.parametrize(
    ("rules", "name", "rtype", "said"),
    [
        # into the cluster
        (rewrite("name = 'db.example'", WEB), "db.example", "A", "NOERROR aa: db.example. 5 A 10.9.0.1"),
        (rewrite("name = 'db.example'", WEB), "DB.Example", "A", "NOERROR aa: DB.Example. 5 A 10.9.0.1"),
        (rewrite("name = 'db.example'", WEB), "db.example", "AAAA", "NOERROR aa: SOA cluster.local. 5"),
        (rewrite("name = 'db.example'", WEB), "x.db.example", "A", "NXDOMAIN: SOA example.com. 300"),
        (rewrite("name = 'db.example'", "no.shop.svc.cluster.local"), "db.example", "A", "NXDOMAIN aa: SOA cluster.local. 5"),
        (rewrite("name = 'db.example'", WEB), "db.example", "ANY", 'NOERROR aa: db.example. 3789 HINFO "RFC8482" ""'),
        (CLUSTER, "web.shop.old.example", "A", "NOERROR aa: web.shop.old.example. 5 A 10.9.0.1"),
        (CLUSTER, "_http._tcp.web.shop.old.example", "SRV", f"NOERROR aa: _http._tcp.web.shop.old.example. 5 SRV 0 100 80 {WEB}."),
        (NAMES, "_http._tcp.web.shop.old.example", "SRV", "NOERROR aa: _http._tcp.web.shop.old.example. 5 SRV 0 100 80 web.shop.old.example."),
        (NAMES, "db.shop.old.example", "SRV", "NOERROR aa: db.shop.old.example. 5 SRV 0 100 80 db-0.db.shop.old.example."),
        (NAMES, "none.shop.old.example", "A", "NXDOMAIN aa: SOA cluster.local. 5"),
        (REGEX, "web-shop.corp.example", "A", "NOERROR aa: web-shop.corp.example. 5 A 10.9.0.1"),
        (REGEX, "API-pay.Corp.Example", "A", "NOERROR aa: API-pay.Corp.Example. 5 A 10.9.0.2"),
        (REGEX, "web-else.corp.example", "A", "NXDOMAIN aa: SOA corp.example. 60"),
        (rewrite("prefix = 'old-'", ""), "old-web.shop.svc.cluster.local", "A", "NOERROR aa: old-web.shop.svc.cluster.local. 5 A 10.9.0.1"),
        (rewrite("prefix = 'www.'", ""), f"www.{WEB}", "A", f"NOERROR aa: www.{WEB}. 5 A 10.9.0.1"),
        (rewrite("prefix = 'a.b-'", ""), f"a.b-{WEB}", "A", f"NOERROR aa: a.b-{WEB}. 5 A 10.9.0.1"),
        # an alias of the cluster that leads out
        (rewrite("name = 'x.example'", "alias.shop.svc.cluster.local"), "x.example", "A", "NOERROR aa: x.example. 5 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"),
        # out of the cluster, and outside names among themselves
        (rewrite(f"name = '{WEB}'", "www.example.com"), WEB, "A", f"NOERROR: {WEB}. 300 A 192.0.2.1"),
        (OUT, "www.old.example", "A", "NOERROR: www.old.example. 300 A 192.0.2.1"),
        (OUT, "WWW.old.Example", "AAAA", "NOERROR: WWW.old.Example. 300 AAAA 2001:db8::1"),
        (OUT, "mail.old.example", "A", "NOERROR: mail.old.example. 60 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"),
        (DEEP, "mail.old.example", "A", "NOERROR: mail.old.example. 60 CNAME www.old.example.; www.old.example. 300 A 192.0.2.1"),
        (OUT, "old.example", "MX", "NOERROR: old.example. 60 MX 10 mail.example.com."),
        (DEEP, "old.example", "MX", "NOERROR: old.example. 60 MX 10 mail.old.example."),
        (DEEP, "_sip._tcp.old.example", "SRV", "NOERROR: _sip._tcp.old.example. 60 SRV 1 2 5060 sip.old.example."),
        (OUT, "none.old.example", "A", "NXDOMAIN: SOA example.com. 300"),
        (DEEP, "none.old.example", "A", "NXDOMAIN: SOA old.example. 300"),
        (OUT, "www.old.example", "TXT", "NOERROR: SOA example.com. 300"),
        (OUT, "host.dn.old.example", "A", "NOERROR: dn.example.com. 60 DNAME example.com.; host.dn.old.example. 60 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"),
        # with a dot in front only below; a suffix ends at a label
        (rewrite("suffix = '.old.example'", "example.com"), "old.example", "MX", "NXDOMAIN: SOA example.com. 300"),
        (OUT, "www.bold.example", "A", "NXDOMAIN: SOA example.com. 300"),
        # once, and the first
        (rewrite("name = 'a.example'", "b.example") + rewrite("name = 'b.example'", WEB), "a.example", "A", "NXDOMAIN: SOA example.com. 300"),
        (rewrite("name = 'a.example'", WEB) + rewrite("name = 'a.example'", "b.example"), "a.example", "A", "NOERROR aa: a.example. 5 A 10.9.0.1"),
        (rewrite("suffix = 'example'", "x.test") + rewrite("name = 'a.example'", WEB), "a.example", "A", "NXDOMAIN: SOA example.com. 300"),
        (rewrite(r"regex = '^a\.'", WEB) + rewrite("name = 'a.example'", "b.example"), "a.example", "A", "NOERROR aa: a.example. 5 A 10.9.0.1"),
        # below
        (rewrite("prefix = 'old-'", "", "below = ['cluster.local']"), "old-www.example.com", "A", "NXDOMAIN: SOA example.com. 300"),
        (rewrite("prefix = 'old-'", "", "below = ['example.com', 'x.test']"), "old-www.example.com", "A", "NOERROR: old-www.example.com. 300 A 192.0.2.1"),
        (rewrite("suffix = 'example'", "example.com", "below = ['b.example', 'c.example']"), "www.example", "A", "NXDOMAIN: SOA example.com. 300"),
        (rewrite("suffix = 'b.example'", "example.com", "below = ['example']"), "www.b.example", "A", "NOERROR: www.b.example. 300 A 192.0.2.1"),
        # reverse names, the root, static zones
        (rewrite("name = '1.2.0.192.in-addr.arpa'", "1.0.9.10.in-addr.arpa"), "1.2.0.192.in-addr.arpa", "PTR", f"NOERROR aa: 1.2.0.192.in-addr.arpa. 5 PTR {WEB}."),
        (rewrite("name = 'x.example'", "files.corp.example"), "x.example", "A", "NOERROR aa: x.example. 300 A 192.0.2.20"),
        # what is no name
        (rewrite("name = 'x.example'", "nothing.invalid"), "x.example", "A", "NXDOMAIN aa: SOA invalid. 86400"),
        (rewrite("suffix = 'example'", "much.longer.example"), f"{LONG[:240]}.example", "A", "SERVFAIL: "),
        (rewrite(r"regex = '^a(.*)\.example\.$'", "{1}.b.example"), "a.example", "A", "SERVFAIL: "),
        (rewrite("prefix = 'a'", "a" * 63), "ab.example", "A", "SERVFAIL: "),
        (rewrite("prefix = 'a'", ""), "a.example", "A", "SERVFAIL: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("later", [False, True], ids=["known", "later"])
def test_a_name_is_looked_up_as_another(rules: str, name: str, rtype: str, said: str, *, later: bool) -> None:
    server = Ruled(rules, later=later)
    for _ in range(3):  # also from the caches
        assert server.ask(name, rtype) == said


def test_what_is_no_name_says_why() -> None:
    reply = Ruled(rewrite("prefix = 'a'", "")).reply("a.example")
    assert reply is not None
    (option,) = reply.options
    assert isinstance(option, dns.edns.EDEOption)
    assert (option.code, option.text) == (24, "a rule rewrites the name into an invalid name")


def test_signatures_of_renamed_records_are_left_out_and_nothing_is_called_validated() -> None:
    signed = "192.0.2.1"
    rrsig = "5 3 300 20300101000000 20200101000000 1 example.com. AAAA"
    world = {
        "www.example.com. A": [
            f"www.example.com. 300 IN A {signed}",
            f"www.example.com. 300 IN RRSIG A {rrsig}",
        ],
        "mail.example.com. A": [
            "mail.example.com. 60 IN CNAME www.example.com.",
            f"mail.example.com. 60 IN RRSIG CNAME {rrsig}",
            f"www.example.com. 300 IN A {signed}",
            f"www.example.com. 300 IN RRSIG A {rrsig}",
        ],
    }
    server = Ruled(OUT, world=world)
    assert server.ask("www.old.example", want_dnssec=True) == "NOERROR: www.old.example. 300 A 192.0.2.1"
    kept = server.ask("mail.old.example", want_dnssec=True)
    assert kept.startswith("NOERROR: mail.old.example. 60 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1; ")
    assert kept.count("RRSIG") == 1
    deep = Ruled(DEEP, world=world).ask("mail.old.example", want_dnssec=True)
    assert deep == "NOERROR: mail.old.example. 60 CNAME www.old.example.; www.old.example. 300 A 192.0.2.1"
    assert Ruled("", world=world).ask("www.example.com", want_dnssec=True).startswith("NOERROR ad: ")


def test_a_record_whose_name_would_be_too_long_is_left_out() -> None:
    owner = f"{LONG[:200]}.example.com."
    world = {"a.example.com. A": [f"a.example.com. 60 IN CNAME {owner}", f"{owner} 60 IN A 192.0.2.1"]}
    rules = rewrite(f"suffix = '{'y' * 60}.test'", "example.com", "answers = 'names'")
    assert Ruled(rules, world=world).ask(f"a.{'y' * 60}.test") == "NOERROR: "


def test_a_change_of_the_cluster_shows_at_once() -> None:
    server = Ruled(rewrite("name = 'db.example'", WEB))
    for _ in range(2):
        assert server.ask("db.example") == "NOERROR aa: db.example. 5 A 10.9.0.1"
    server.put(service("web", "10.9.0.77"))
    assert server.ask("db.example") == "NOERROR aa: db.example. 5 A 10.9.0.77"
    server.remove(service("web", "10.9.0.77"))
    for _ in range(3):
        assert server.ask("db.example") == "NXDOMAIN aa: SOA cluster.local. 5"
    server.put(service("web", "10.9.0.78"))
    assert server.ask("db.example") == "NOERROR aa: db.example. 5 A 10.9.0.78"


def test_the_outside_sees_the_new_name_only_and_its_answer_is_kept_and_ages() -> None:
    server = Ruled(OUT)
    for name in ("www.old.example", "WWW.OLD.example", "www.old.example"):
        assert server.ask(name).endswith("300 A 192.0.2.1")
    assert {text(ask) for ask, _ in server.outside.asked} == {"www.example.com. A"}
    server.now = 9
    assert server.ask("www.old.example") == "NOERROR: www.old.example. 291 A 192.0.2.1"


def test_templates_do_not_answer_for_rules() -> None:
    """A template from similar names does not answer for a name with a rule, and the reverse."""
    rules = (
        rewrite("name = 'web.pay.svc.cluster.local'", WEB)
        + "[[hosts]]\nentries = ['192.0.2.9 db.pay.svc.cluster.local', '192.0.2.8 new.example.com']\n"
        + "[[answer]]\nbelow = ['ads.example.com']\nrcode = 'NXDOMAIN'\n"
        + "[[answer]]\nname = 'miss.pay.svc.cluster.local'\nrecords = ['@ A 192.0.2.7']\n"
    )
    ruled = [
        ("db.pay.svc.cluster.local", "NOERROR aa: db.pay.svc.cluster.local. 3600 A 192.0.2.9"),
        ("web.pay.svc.cluster.local", "NOERROR aa: web.pay.svc.cluster.local. 5 A 10.9.0.1"),
        ("miss.pay.svc.cluster.local", "NOERROR aa: miss.pay.svc.cluster.local. 60 A 192.0.2.7"),
        ("new.example.com", "NOERROR aa: new.example.com. 3600 A 192.0.2.8"),
        ("x.ads.example.com", "NXDOMAIN aa: SOA ads.example.com. 60"),
    ]
    plain = [
        ("api.pay.svc.cluster.local", "NOERROR aa: api.pay.svc.cluster.local. 5 A 10.9.0.2"),
        (WEB, f"NOERROR aa: {WEB}. 5 A 10.9.0.1"),
        ("gone.pay.svc.cluster.local", "NXDOMAIN aa: SOA cluster.local. 5"),
        ("other.pay.svc.cluster.local", "NXDOMAIN aa: SOA cluster.local. 5"),
        ("www.example.com", "NOERROR: www.example.com. 300 A 192.0.2.1"),
        ("ads.example", "NXDOMAIN: SOA example.com. 300"),
    ]
    for questions in (ruled + plain, plain + ruled, plain + ruled[::-1] + plain[::-1]):
        server = Ruled(rules)
        for name, said in questions:
            assert server.ask(name) == said, name


FIXED = """
[[answer]]
name = "api.corp.example"
records = ["@ 300 IN A 192.0.2.1", "AAAA 2001:db8::1", 'api.corp.example TXT "a b" c']
[[answer]]
name = "to.corp.example"
records = ["@ CNAME web.shop.svc.cluster.local"]
[[answer]]
name = "out.corp.example"
records = ["@ 30 CNAME www.example.com."]
[[answer]]
name = "in.corp.example"
records = ["@ CNAME there.test", "there.test A 192.0.2.3"]
[[answer]]
name = "srv.corp.example"
records = ["@ SRV 0 1 443 host.test.", "host.test A 192.0.2.4"]
[[answer]]
regex = '^ip-(\\d+)-(\\d+)-(\\d+)-(\\d+)\\.corp\\.example\\.$'
types = ["A"]
records = ["@ A {1}.{2}.{3}.{4}"]
[[answer]]
regex = '^(?P<who>\\w+)\\.greet\\.example\\.$'
records = ['{name} 10 TXT "hello {who}, {{{0}}}"']
[[answer]]
below = ["ads.example", "tracker.example"]
rcode = "NXDOMAIN"
[[answer]]
below = ["v4.example"]
types = ["AAAA"]
rcode = "NODATA"
[[answer]]
below = ["no.example"]
rcode = "REFUSED"
[[answer]]
name = "www.drop.example"
rcode = "DROP"
[[answer]]
below = ["pay.svc.cluster.local"]
types = ["TXT"]
records = ['@ TXT pay']
"""


@pytest.mark.parametrize(
    ("name", "rtype", "said"),
    [
        ("api.corp.example", "A", "NOERROR aa: api.corp.example. 300 A 192.0.2.1"),
        ("API.corp.example", "AAAA", "NOERROR aa: API.corp.example. 60 AAAA 2001:db8::1"),
        ("api.corp.example", "TXT", 'NOERROR aa: api.corp.example. 60 TXT "a b" "c"'),
        ("api.corp.example", "MX", "NOERROR aa: SOA api.corp.example. 60"),
        ("api.corp.example", "ANY", 'NOERROR aa: api.corp.example. 3789 HINFO "RFC8482" ""'),
        ("x.api.corp.example", "A", "NXDOMAIN aa: SOA corp.example. 60"),
        ("to.corp.example", "A", f"NOERROR aa: to.corp.example. 60 CNAME {WEB}.; {WEB}. 5 A 10.9.0.1"),
        ("to.corp.example", "CNAME", f"NOERROR aa: to.corp.example. 60 CNAME {WEB}."),
        ("out.corp.example", "A", "NOERROR aa: out.corp.example. 30 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"),
        ("in.corp.example", "A", "NOERROR aa: in.corp.example. 60 CNAME there.test.; there.test. 60 A 192.0.2.3"),
        ("in.corp.example", "AAAA", "NOERROR aa: in.corp.example. 60 CNAME there.test.; SOA in.corp.example. 60"),
        ("srv.corp.example", "SRV", "NOERROR aa: srv.corp.example. 60 SRV 0 1 443 host.test."),
        ("ip-192-0-2-33.corp.example", "A", "NOERROR aa: ip-192-0-2-33.corp.example. 60 A 192.0.2.33"),
        ("ip-192-0-2-333.corp.example", "A", "SERVFAIL: "),
        ("ip-192-0-2-33.corp.example", "AAAA", "NXDOMAIN aa: SOA corp.example. 60"),
        ("Bob.greet.example", "TXT", 'NOERROR aa: Bob.greet.example. 10 TXT "hello bob, {bob.greet.example.}"'),
        ("bob.greet.example", "A", "NOERROR aa: SOA bob.greet.example. 60"),
        ("a.bob.greet.example", "TXT", "NXDOMAIN: SOA example.com. 300"),
        ("ads.example", "A", "NXDOMAIN aa: SOA ads.example. 60"),
        ("a.b.tracker.example", "HTTPS", "NXDOMAIN aa: SOA tracker.example. 60"),
        ("a.tracker.example", "ANY", "NXDOMAIN aa: SOA tracker.example. 60"),
        ("bads.example", "A", "NXDOMAIN: SOA example.com. 300"),
        ("x.v4.example", "AAAA", "NOERROR aa: SOA v4.example. 60"),
        ("x.v4.example", "A", "NXDOMAIN: SOA example.com. 300"),
        ("x.no.example", "A", "REFUSED: "),
        ("www.drop.example", "A", "no reply"),
        ("drop.example", "A", "NXDOMAIN: SOA example.com. 300"),
        ("api.pay.svc.cluster.local", "TXT", 'NOERROR aa: api.pay.svc.cluster.local. 60 TXT "pay"'),
        ("api.pay.svc.cluster.local", "A", "NOERROR aa: api.pay.svc.cluster.local. 5 A 10.9.0.2"),
        ("alias.shop.svc.cluster.local", "A", "NOERROR aa: alias.shop.svc.cluster.local. 5 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"),
    ],
)  # fmt: skip
def test_an_answer_is_as_written(name: str, rtype: str, said: str) -> None:
    server = Ruled(FIXED)
    for _ in range(3):
        assert server.ask(name, rtype) == said


def test_addresses_of_a_target_stand_beside_it() -> None:
    reply = Ruled(FIXED).reply("srv.corp.example", "SRV")
    assert reply is not None
    assert [rrset.to_text() for rrset in reply.additional] == ["host.test. 60 IN A 192.0.2.4"]


HOSTS = """
[[hosts]]
entries = ["192.0.2.9 nas.home.example NAS", "192.0.2.10 nas.home.example", "2001:db8::9 nas.home.example", "192.0.2.9 x"]
ttl = 120
[[hosts]]
entries = ["198.51.100.1 nas.home.example other.example", "198.51.100.2 a.b.zone.example"]
authoritative_below = ["zone.example"]
[[hosts]]
entries = ["203.0.113.1 web.shop.svc.cluster.local", "203.0.113.2 web.elsewhere.example"]
below = ["cluster.local"]
reverse = false
"""


@pytest.mark.parametrize(
    ("name", "rtype", "said"),
    [
        ("nas", "A", "NOERROR aa: nas. 120 A 192.0.2.9"),
        ("nas.home.example", "AAAA", "NOERROR aa: nas.home.example. 120 AAAA 2001:db8::9"),
        ("NAS.home.Example", "AAAA", "NOERROR aa: NAS.home.Example. 120 AAAA 2001:db8::9"),
        ("nas", "AAAA", "NOERROR aa: SOA nas. 60"),
        ("nas.home.example", "MX", "NOERROR aa: SOA nas.home.example. 60"),
        ("nas.home.example", "ANY", 'NOERROR aa: nas.home.example. 3789 HINFO "RFC8482" ""'),
        ("no.home.example", "A", "NXDOMAIN: SOA example.com. 300"),
        ("other.example", "A", "NOERROR aa: other.example. 3600 A 198.51.100.1"),
        ("a.b.zone.example", "A", "NOERROR aa: a.b.zone.example. 3600 A 198.51.100.2"),
        ("a.b.zone.example", "TXT", "NOERROR aa: SOA zone.example. 60"),
        ("b.zone.example", "A", "NOERROR aa: SOA zone.example. 60"),
        ("zone.example", "A", "NOERROR aa: SOA zone.example. 60"),
        ("c.zone.example", "A", "NXDOMAIN aa: SOA zone.example. 60"),
        (WEB, "A", f"NOERROR aa: {WEB}. 3600 A 203.0.113.1"),
        ("web.elsewhere.example", "A", "NXDOMAIN: SOA example.com. 300"),
        ("2.2.0.192.in-addr.arpa", "PTR", "NXDOMAIN: SOA example.com. 300"),
        ("10.2.0.192.in-addr.arpa", "PTR", "NOERROR aa: 10.2.0.192.in-addr.arpa. 120 PTR nas.home.example."),
        ("10.2.0.192.in-addr.arpa", "A", "NOERROR aa: SOA 10.2.0.192.in-addr.arpa. 60"),
        ("1.113.0.203.in-addr.arpa", "PTR", "NXDOMAIN: SOA example.com. 300"),
        ("local.shop.svc.cluster.local", "AAAA", "NOERROR aa: local.shop.svc.cluster.local. 5 CNAME nas.home.example.; nas.home.example. 120 AAAA 2001:db8::9"),
        ("store.corp.example", "AAAA", "NOERROR aa: store.corp.example. 300 CNAME nas.home.example.; nas.home.example. 120 AAAA 2001:db8::9"),
        # what the outside says is passed on as it came
        ("nas.example.com", "A", "NOERROR: nas.example.com. 60 CNAME nas.home.example.; nas.home.example. 60 A 198.51.100.9"),
    ],
)  # fmt: skip
def test_hosts_are_answered(name: str, rtype: str, said: str) -> None:
    server = Ruled(HOSTS)
    for _ in range(3):
        assert server.ask(name, rtype) == said


def test_all_addresses_of_a_host_take_turns() -> None:
    server = Ruled(HOSTS)
    firsts = []
    for _ in range(4):
        reply = server.reply("nas.home.example")
        assert reply is not None
        assert sorted(str(rrset[0]) for rrset in reply.answer) == ["192.0.2.10", "192.0.2.9"]
        firsts.append(str(reply.answer[0][0]))
    assert set(firsts) == {"192.0.2.10", "192.0.2.9"}


def test_each_kind_of_rule_has_its_place_in_the_order() -> None:
    steps = {
        "rewrite": rewrite("name = 'nas.corp.example'", "www.example.com"),
        "answer": "[[answer]]\nname = 'nas.corp.example'\nrecords = ['@ A 192.0.2.50']\n",
        "hosts": "[[hosts]]\nentries = ['192.0.2.60 nas.corp.example']\n",
        "zone": "",
    }
    wanted = ["192.0.2.1", "192.0.2.50", "192.0.2.60", ""]
    for skipped, address in enumerate(wanted):
        rules = "".join(list(steps.values())[skipped:][::-1])  # not the order in the file counts
        said = Ruled(rules).ask("nas.corp.example")
        assert said.endswith(f" A {address}" if address else "NXDOMAIN aa: SOA corp.example. 60"), said


HANDED = "[[forward]]\ndomain = 'pay.svc.cluster.local'\nupstreams = ['192.0.2.53']\n"


@pytest.mark.parametrize(
    ("name", "rtype", "said"),
    [
        ("web.pay.svc.cluster.local", "A", "NOERROR: web.pay.svc.cluster.local. 60 A 203.0.113.7"),
        ("api.pay.svc.cluster.local", "A", "NXDOMAIN: SOA example.com. 300"),  # although the cluster has it
        ("pay.svc.cluster.local", "A", "NXDOMAIN: SOA example.com. 300"),
        ("www.example.com.pay.svc.cluster.local", "A", "NXDOMAIN: SOA example.com. 300"),
        ("to.shop.svc.cluster.local", "A", "NOERROR aa: to.shop.svc.cluster.local. 5 CNAME web.pay.svc.cluster.local.; web.pay.svc.cluster.local. 60 A 203.0.113.7"),
        (WEB, "A", f"NOERROR aa: {WEB}. 5 A 10.9.0.1"),
        ("repay.svc.cluster.local", "A", "NXDOMAIN aa: SOA cluster.local. 5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("later", [False, True], ids=["known", "later"])
def test_a_domain_of_the_cluster_that_is_handed_over(name: str, rtype: str, said: str, *, later: bool) -> None:
    server = Ruled(HANDED, service("to", external="web.pay.svc.cluster.local"), later=later)
    server.ask(WEB)  # a template of names like it
    for _ in range(3):
        assert server.ask(name, rtype) == said


SEARCH = "[search]\nenabled = true\n"


@pytest.mark.parametrize("later", [False, True], ids=["known", "later"])
def test_a_search_list_leads_to_what_the_pod_would_get_for_each_name(*, later: bool) -> None:
    expanded = "{}.shop.svc.cluster.local"
    server = Ruled(SEARCH + OUT + HOSTS + FIXED, later=later)
    for name, said in {
        "www.old.example": "CNAME www.old.example.; www.old.example. 300 A 192.0.2.1",
        "nas.home.example": "CNAME nas.home.example.; nas.home.example. 120 A 192.0.2.9; nas.home.example. 120 A 192.0.2.10",
        "ads.example": "SOA cluster.local. 5",
        "www.example.com": "CNAME www.example.com.; www.example.com. 300 A 192.0.2.1",
    }.items():
        for _ in range(2):
            found = server.ask(expanded.format(name))
            order = found.replace("192.0.2.10", "192.0.2.9")
            assert said.replace("192.0.2.10", "192.0.2.9") in order, found


def test_a_name_that_is_rewritten_is_completed_under_its_own_name() -> None:
    rules = SEARCH + rewrite("name = 'x.test'", "www.example.com.shop.svc.cluster.local")
    for later in (False, True):
        server = Ruled(rules, later=later)
        said = "NOERROR aa: x.test. 5 CNAME www.example.com.; www.example.com. 300 A 192.0.2.1"
        assert [server.ask("x.test") for _ in range(2)] == [said, said]


def test_ipv6_off_is_about_the_new_name() -> None:
    server = Ruled("ipv6 = 'off'\n" + OUT)
    assert server.ask("www.old.example", "AAAA") == "NOERROR: SOA www.old.example. 30"
    assert server.ask("www.old.example", "AAAA", want_dnssec=True).startswith("NOERROR: www.old.example. 300 AAAA")
    assert server.ask("none.old.example", "AAAA") == "NXDOMAIN: SOA example.com. 300"


def test_a_new_object_is_seen_through_every_rule() -> None:
    server = Ruled(NAMES + REGEX + HOSTS)
    assert server.ask("new.soon.old.example").startswith("NXDOMAIN")
    assert server.ask("new.soon.old.example").startswith("NXDOMAIN")
    server.put(namespace("soon"))
    server.put(service("new", "10.9.0.99", namespace="soon"))
    assert server.ask("new.soon.old.example") == "NOERROR aa: new.soon.old.example. 5 A 10.9.0.99"


def test_the_world_is_not_what_rules_say() -> None:
    """Names without a rule are answered as they would be if there were no rules, however many rules there are."""
    many = "".join(rewrite(f"name = 'n{n}.test'", WEB) + rewrite(f"suffix = '.s{n}.test'", "x.test") for n in range(50))
    many += "".join(f"[[answer]]\nbelow = ['b{n}.example.com']\nrcode = 'NXDOMAIN'\n" for n in range(50))
    many += rewrite("prefix = 'p1-'", "q-") + HOSTS.replace("web.shop", "nothing.shop")
    with_rules, without = Ruled(many), Ruled()
    questions = [tuple(key.split()) for key in WORLD] + [
        (WEB, "A"), (WEB, "SRV"), ("none.shop.svc.cluster.local", "A"), ("files.corp.example", "A"), ("x.localhost", "A"),
        ("1.0.9.10.in-addr.arpa", "PTR"), ("p.example.com", "A"), ("b.example.com", "A"), ("test", "A"), (".", "NS"),
    ]  # fmt: skip
    for _ in range(2):
        for name, rtype in questions:
            name = name.removesuffix(".") or "."  # noqa: PLW2901
            assert with_rules.ask(name, rtype) == without.ask(name, rtype)
    assert with_rules.reply(WEB, flags=dns.flags.RD) is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("aaa", "aaa"),
        (r"a\"a\;x\032\200", r"a\"a;x \200"),
        (r"a\.b", "a.b"),
        (r"a\\b", r"a\\b"),
        (r"\@", "@"),
        ("{x}", "{x}"),
        ("{1}", "{1}"),
        (r"\000\010", r"\000\010"),
        (r"\(\)\$", "()$"),
    ],
)
def test_whatever_is_in_a_name_goes_through_expressions_into_records_and_names(name: str, text: str) -> None:
    answers = "[[answer]]\nregex = '^(.*)\\.b\\.$'\nrecords = ['@ TXT \"{1}\"']\n"
    assert Ruled(answers).ask(f"{name}.b", "TXT") == f'NOERROR aa: {name}.b. 60 TXT "{text}"'
    moved = rewrite(r"regex = '^(.*)\.b\.$'", "{1}.c") + "[[answer]]\nbelow = ['c']\nrecords = ['@ TXT \"{name}\"']\n"
    assert Ruled(moved).ask(f"{name}.b", "TXT") == f'NOERROR aa: {name}.b. 60 TXT "{text}.c."'


def test_the_root_is_a_domain_like_others() -> None:
    assert Ruled(rewrite("suffix = '.'", "example.com")).ask("www") == "NOERROR: www. 300 A 192.0.2.1"
    said = Ruled(rewrite("suffix = 'example.com'", ".")).ask("localhost.example.com")
    assert said == "NOERROR aa: localhost.example.com. 86400 A 127.0.0.1"
    everything = Ruled("[[answer]]\nbelow = ['.']\ntypes = ['HINFO']\nrcode = 'NODATA'\n" + OUT)
    assert everything.ask("x.y", "HINFO") == "NOERROR aa: SOA . 60"
    assert everything.ask("web.shop.svc.cluster.local", "HINFO") == "NOERROR aa: SOA . 60"
    assert everything.ask("www.old.example") == "NOERROR: www.old.example. 300 A 192.0.2.1"


_parts = st.sampled_from(["web", "shop", "pay", "svc", "cluster", "local", "old", "example", "com", "www", "x"])
_some = st.sampled_from(
    [
        WEB,
        "shop.svc.cluster.local",
        "svc.cluster.local",
        "www.example.com",
        "example.com",
        "old.example",
        "corp.example",
    ]
)
_domains = _some | st.lists(_parts, min_size=1, max_size=4).map(".".join)
_below = st.lists(_domains, max_size=2).map(lambda found: f"below = {found}\n" if found else "")
_rewrites = st.one_of(
    st.builds(lambda name, to: rewrite(f"name = '{name}'", to), _domains, _domains),
    st.builds(
        lambda end, to, deep: rewrite(f"suffix = '{end}'", to, f"answers = '{deep}'"),
        _domains,
        _domains,
        st.sampled_from(["owner", "names"]),
    ),
    st.builds(lambda head, to: rewrite(f"prefix = '{head}'", to), st.sampled_from(["w", "web.", "x"]), _parts),
    st.builds(
        lambda to, deep: rewrite(r"regex = '^(\w+)\.(.*)\.$'", to, f"answers = '{deep}'"),
        st.sampled_from(["{2}", "{1}.{1}.{2}", "{1}.shop.svc.cluster.local", "{2}.{1}"]),
        st.sampled_from(["owner", "names"]),
    ),
)
_answers = st.builds(
    lambda domain, what: f"[[answer]]\nbelow = ['{domain}']\n{what}\n",
    _domains,
    st.sampled_from(
        [
            "records = ['@ A 192.0.2.1', '@ A 192.0.2.2']",
            "records = ['@ CNAME www.example.com']",
            f"records = ['@ CNAME {WEB}']",
            "records = ['@ CNAME a.{name}']",
            "types = ['A']\nrcode = 'NXDOMAIN'",
            "types = ['SRV']\nrcode = 'NODATA'",
            "rcode = 'REFUSED'",
        ]
    ),
)
_hosts = st.builds(
    lambda name, domain: f"[[hosts]]\nentries = ['192.0.2.9 {name}']\nauthoritative_below = ['{domain}']\n",
    _domains,
    _domains,
)
_handed = st.builds(
    lambda name: f"[[forward]]\ndomain = '{name}.svc.cluster.local'\nupstreams = []\n", st.sampled_from(["shop", "x"])
)
_rules = st.lists(st.one_of(_rewrites, _rewrites, _answers, _hosts, _handed), max_size=5, unique=True).map("".join)


@settings(deadline=None, max_examples=150)
@given(
    _rules.filter(lambda text: text.count("domain = 'shop.") < 2 and text.count("domain = 'x.") < 2),
    st.lists(st.tuples(_domains, st.sampled_from(["A", "AAAA", "SRV", "ANY", "MX"])), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_whatever_the_rules_are_a_question_has_one_answer(
    rules: str, questions: list[tuple[str, str]], later: bool, search: bool
) -> None:
    """The answer is the same in any order of questions, from a cache or not, and is about the name that was asked."""
    text = f"[search]\nenabled = {str(search).lower()}\n{rules}"
    server, fresh = Ruled(text, later=later), {asked: Ruled(text).ask(*asked) for asked in questions}
    for asked in [*questions, *questions[::-1], *questions]:
        said = server.ask(*asked)
        assert sorted(said.split("; ")) == sorted(fresh[asked].split("; ")) or "192.0.2.2" in said
        _, _, records = said.partition(": ")
        if " CNAME " in records or f" {asked[1]} " in records:
            assert any(record.startswith(f"{asked[0]}. ") for record in records.split("; ")), said
