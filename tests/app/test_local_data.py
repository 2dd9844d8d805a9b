"""How long a change of hosts files blocks the event loop, and which answers it can alter."""

import time
from pathlib import Path

import pytest

from dnsserver.app.local_data import LocalData
from dnsserver.config.reader import load_text
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text, is_below
from dnsserver.zone.static import SpecialNames

CONFIG = load_text('upstreams = []\n[[hosts]]\nfile = "/hosts"\n', Path("c.toml"))
WITHOUT = load_text("upstreams = []\n", Path("c.toml"))
LAN = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host{n}.lan.test\n" for n in range(20_000))
LISTED = "".join(f"0.0.0.0 ads{n}.tracker{n % 7000}.example\n" for n in range(20_000))
OTHERS = "192.0.2.1 a.home.test\n"

CHANGES = [
    (OTHERS, OTHERS.replace("2.1", "2.2")),
    (LAN, LAN.replace("10.0.0.1 ", "10.9.0.1 ")),
    (LAN, LAN.replace("lan.test", "home.test")),
    (LAN, OTHERS),
    (OTHERS, LAN),
    (LISTED, LISTED[: len(LISTED) // 2] + OTHERS),
    (None, LAN),
    (LAN, None),
]


def data(text: str | None, before: LocalData | None = None) -> LocalData:
    return LocalData(WITHOUT if text is None else CONFIG, {} if text is None else {"/hosts": text}, before)


def test_one_file_may_serve_several_zones() -> None:
    config = load_text('upstreams = []\nstatic = ["a.test=/db", "b.test=/db"]\n', Path("c.toml"))
    text = "@ 60 IN SOA ns h 1 2 3 4 60\nwww 60 IN A 192.0.2.1\n"
    first = LocalData(config, {"/db": text})
    for domain in ("a.test", "b.test"):
        name = from_text(f"www.{domain}")
        assert first.zone_file(name) == "/db"
        found = [answer for source in first.sources(SpecialNames()) if (answer := source.answer(name, m.A))]
        assert [rrset.rdatas for answer in found for rrset in answer.answer] == [(b"\xc0\0\2\1",)]
    changed = LocalData(config, {"/db": text.replace("2.1", "2.2")}, first).take_over(first)
    assert changed == {from_text("a.test"), from_text("b.test")}


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_what_names_have_another_answer_is_known_and_the_loop_is_held_shortly(old: str | None, new: str | None) -> None:
    before, told = data(old), set()
    for text in (old, new):
        told |= {(name, rtype) for name in _names(text or "") for rtype in (m.A, m.PTR)}
    answers = {asked: _said(before, *asked) for asked in told}
    after = data(new, before)
    begun = time.process_time()
    domains = after.take_over(before)
    assert time.process_time() - begun < 0.2
    assert len(domains) <= 10_000
    for asked, said in answers.items():
        if _said(after, *asked) != said:
            assert any(asked[0][at:] in domains for at in _starts(asked[0]))
    assert all(_said(after, *asked) == _said(data(new), *asked) for asked in list(answers)[:4])
    assert not any(is_below(from_text("elsewhere.other"), domain) for domain in domains)


def _names(text: str) -> list[bytes]:
    """Some names of a text, and a reverse name of each."""
    found = []
    for line in text.splitlines()[::97]:
        address, name = line.split()
        found += [from_text(name), from_text(".".join([*address.split(".")[::-1], "in-addr.arpa"]))]
    return found


def _said(data: LocalData, name: bytes, rtype: int) -> object:
    answer = None if data.rules is None else data.rules.answer(name, rtype)
    return answer and (answer.rcode, [sorted(rrset.rdatas) for rrset in answer.answer])


def _starts(name: bytes) -> list[int]:
    starts, at = [0], 0
    while name[at]:
        at += name[at] + 1
        starts.append(at)
    return starts


@pytest.mark.parametrize(("old", "new"), [(OTHERS, f"{OTHERS}192.0.2.9 *.home.test"), (None, "192.0.2.9 *.home.test")])
def test_a_wildcard_that_comes_or_goes_is_about_its_domain(old: str | None, new: str) -> None:
    without, name = data(old), from_text("x.home.test")
    come = data(new, without)
    assert come.take_over(without) >= {from_text("home.test")}
    assert come.rules is not None
    assert come.rules.concerns(name)
    assert come.rules.answer(name, m.A) is not None
    gone = data(old, come)
    assert gone.take_over(come) >= {from_text("home.test")}
    assert gone.rules is None or gone.rules.answer(name, m.A) is None
