"""Hosts files: what is read, and that to apply a change has the same result as to read the whole file."""

# ruff: noqa: E501 - a case stands on one line
import time
import tracemalloc
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.resolver.hosts import Hosts, mistakes
from dnsserver.resolver.rules import Rules, RuleSet
from dnsserver.wire import message as m
from dnsserver.wire.name import ROOT, from_text, is_below, to_text
from dnsserver.zone.record import Answer

NAMES = ("a", "b.example", "c.b.example", "x.c.b.example", "d.other.test", "*.b.example")
REVERSE = ("1.2.0.192.in-addr.arpa", "2.2.0.192.in-addr.arpa", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa")
ABOVE = sorted({name.split(".", count)[-1] for name in REVERSE for count in range(1, name.count(".") + 1)})
ASKED = [
    (from_text(name), rtype)
    for name in (
        *NAMES,
        *REVERSE,
        "example",
        "n.example",
        "n.b.example",
        "x.n.b.example",
        "other.test",
        "test",
        "3.0.192.in-addr.arpa",
        *ABOVE,
    )
    for rtype in (m.A, m.AAAA, m.PTR)
]
lines = st.one_of(
    st.builds(
        lambda address, names, end: " ".join([address, *names]) + end,
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
        st.sampled_from(["", " # why", "\t"]),
    ),
    st.sampled_from(["", "# nothing", "no address", "192.0.2.1"]),
)
texts = st.builds(lambda found, end: "\n".join(found) + end, st.lists(lines, max_size=8), st.sampled_from(["", "\n"]))
settings = st.fixed_dictionaries(
    {
        "below": st.sampled_from([(), (from_text("example"),)]),
        "authoritative_below": st.sampled_from(
            [(), (from_text("example"),), (from_text("b.example"), from_text("test")), (ROOT,), (from_text("192.in-addr.arpa"),)]
        ),
        "reverse": st.booleans(),
    }
)  # fmt: skip


def shape(answer: Answer | None) -> object:
    """What an answer says; addresses come in any order, as they take turns."""
    if answer is None:
        return None
    return answer.rcode, [(r.name, r.type, r.ttl, frozenset(r.rdatas)) for r in (*answer.answer, *answer.authority)]


def answers(hosts: Hosts) -> dict[tuple[bytes, int], object]:
    return {asked: shape(hosts.answer(*asked)) for asked in ASKED}


@given(st.lists(texts, min_size=1, max_size=5), settings)
def test_following_changes_ends_where_reading_the_last_text_does(seen: list[str], how: dict[str, object]) -> None:
    followed = Hosts(**how)  # type: ignore[arg-type]
    followed.load(seen[0])
    for text in seen:
        before = answers(followed)
        told = followed.replace(text)
        fresh = Hosts(**how)  # type: ignore[arg-type]
        fresh.load(text)
        assert answers(followed) == answers(fresh)
        assert followed.domains() == fresh.domains()
        changed = {name for (name, rtype), said in answers(followed).items() if said != before[name, rtype]}
        # A wildcard is told as its domain.
        assert {name for name in changed if not any(is_below(name, domain) for domain in told)} == set()
        assert {to_text(domain) for domain in told if not any(is_below(name, domain) for name in changed)} == set()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("192.0.2.1 a b", None),
        ("  192.0.2.1\ta # 192.0.2 b", None),
        ("fe80::1%eth0 a", None),
        ("::ffff:192.0.2.1 a", None),
        ("# a", None),
        ("", None),
        ("192.0.2.256 a", 'found "192.0.2.256", expected an address and its names'),
        ("192.0.2 a", 'found "192.0.2", expected an address and its names'),
        ("a 192.0.2.1", 'found "a", expected an address and its names'),
        ("192.0.2.1", "found 192.0.2.1 alone, expected names after it"),
        ("192.0.2.1 a\\.b", 'found "a\\.b", expected a name of letters, digits and hyphens'),
        (f"192.0.2.1 {'a' * 64}", f'the label "{"a" * 64}" has 64 octets, expected 1 to 63'),
    ],
)
def test_a_line_that_is_none_is_told_and_passed_over(line: str, told: str | None) -> None:
    text = f"192.0.2.7 before\n{line}\n192.0.2.8 after\n"
    assert list(mistakes(text)) == ([] if told is None else [(2, told)])
    hosts = Hosts()
    hosts.load(text)
    assert {from_text("before"), from_text("after")} <= hosts.names.keys()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("x.apps.example", "192.0.2.1"),
        ("*.apps.example", "192.0.2.1"),
        ("own.apps.example", "192.0.2.2"),
        ("apps.example", None),
        ("x.y.apps.example", None),
        ("x.own.apps.example", None),
    ],
)
def test_a_wildcard_stands_for_one_label_as_in_coredns(name: str, address: str | None) -> None:
    hosts = Hosts()
    hosts.load("192.0.2.1 *.apps.example\n192.0.2.2 own.apps.example\n")
    answer = hosts.answer(from_text(name), m.A)
    assert (answer and answer.answer[0].rdatas) == (address and (ip_address(address).packed,))
    assert hosts.answer(from_text("1.2.0.192.in-addr.arpa"), m.PTR) is None
    assert Rules(RuleSet(), [hosts]).concerns(from_text("x.apps.example"))


def test_of_names_that_are_excepted_it_says_nothing() -> None:
    hosts = Hosts(authoritative_below=[ROOT], excepted=[from_text("b.example"), from_text("in-addr.arpa")])
    hosts.load("192.0.2.1 a.example x.b.example\n")
    answers = [hosts.answer(from_text(name), m.A) for name in ("a.example", "c.example", "x.b.example", "b.example")]
    assert [answer and answer.rcode for answer in answers] == [m.NOERROR, m.NXDOMAIN, None, None]
    assert hosts.answer(from_text("1.2.0.192.in-addr.arpa"), m.PTR) is None


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("home.example", m.NOERROR),
        ("example", m.NOERROR),
        ("other.example", m.NXDOMAIN),
        ("9.2.0.192.in-addr.arpa", m.NOERROR),
        ("2.0.192.in-addr.arpa", m.NOERROR),
        ("192.in-addr.arpa", m.NOERROR),
        ("3.0.192.in-addr.arpa", m.NXDOMAIN),
    ],
)
def test_what_stands_above_a_name_or_a_reverse_name_exists(name: str, rcode: int) -> None:
    """NXDOMAIN would say that nothing is below it (RFC 8020)."""
    hosts = Hosts(authoritative_below=[ROOT])
    hosts.load("192.0.2.9 nas.home.example\n192.0.2.8 other.home.example\n")
    hosts.replace("192.0.2.9 nas.home.example\n")
    answer = hosts.answer(from_text(name), m.TXT)
    assert answer is not None
    assert answer.rcode == rcode


def test_labels_that_are_others_each_time_leave_nothing_behind() -> None:
    hosts = Hosts(authoritative_below=(from_text("lab.example"),))
    hosts.load("")
    held = 0
    tracemalloc.start()
    for turn in range(100):
        hosts.replace("".join(f"192.0.2.1 a.run-{turn}-{n}.lab.example\n" for n in range(50)))
        if turn == 10:
            held = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    assert grown < 64 * 1024


@pytest.mark.slow
def test_a_hundred_thousand_lines_cost_their_memory_and_a_change_of_one_costs_one() -> None:
    text = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host{n}.lab.example\n" for n in range(100_000))
    tracemalloc.start()
    hosts = Hosts()
    hosts.load(text)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 35 * 1024 * 1024
    for old, new in (("10.0.99.1 ", "10.0.99.2 "), ("10.1.0.0 host65536", "10.1.0.0 host-other")):
        changed = text.replace(old, new, 1)
        begun = time.process_time()
        told = hosts.replace(changed)
        assert time.process_time() - begun < 0.1
        assert 2 <= len(told) <= 3
        text = changed
