"""Lines about queries: one line whatever a client sends, and CoreDNS's form where that is wanted."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsserver.log.query_lines import LINES, combined_line, common_line, json_line
from dnsserver.wire import message as m
from dnsserver.wire.message import EDE
from dnsserver.wire.name import from_labels, from_text
from dnsserver.zone.record import Reason
from tests.traffic.seen import seen

# Written by CoreDNS 1.14.7 with `log . "{combined}"`, asked by dig 9.18; the common form has no opcode at the end.
RECORDED = [
    '[INFO] 127.0.0.1:46952 - 35808 "A IN a.example. udp 50 false 1232" NOERROR qr,aa,rd 52 0.000164224s "0"',
    '[INFO] 127.0.0.1:45265 - 11878 "AAAA IN b.example. tcp 27 false 65535" SERVFAIL qr,rd 27 0.000051126s "0"',
    '[INFO] 127.0.0.1:55279 - 17667 "TYPE1234 IN a.example. udp 50 false 1232" NOERROR qr,aa,rd 27 0.000264503s "0"',
]
MADE: list[dict[str, Any]] = [
    {
        "port": 46952, "id": 35808, "name": from_text("A.example"), "request": 50, "reply": 52, "seconds": 0.000164224,
    },
    {
        "port": 45265, "id": 11878, "type": m.AAAA, "name": from_text("b.example"), "protocol": "tcp", "request": 27,
        "bufsize": 0, "rcode": m.SERVFAIL, "flags": m.QR | m.RD, "reply": 27, "seconds": 0.000051126,
    },
    {
        "port": 55279, "id": 17667, "type": 1234, "name": from_text("a.example"), "request": 50, "reply": 27,
        "seconds": 0.000264503,
    },
]  # fmt: skip
COMMON = re.compile(
    r'\[INFO\] (\[[0-9a-f:]+\]|[0-9.]+):\d+ - \d+ "\S+ \S+ \S+ (udp|tcp) \d+ (true|false) \d+" '
    r"[A-Z0-9-]+ [a-z,-]+ \d+ \d+(\.\d+)?s\n"
)


@pytest.mark.parametrize(("recorded", "fields"), list(zip(RECORDED, MADE, strict=True)))
def test_the_combined_form_is_coredns_s(recorded: str, fields: dict[str, Any]) -> None:
    one = seen(client=bytes((127, 0, 0, 1)), **fields)
    assert combined_line(one).decode() == recorded + "\n"
    assert common_line(one).decode() == recorded.removesuffix(' "0"') + "\n"
    assert COMMON.fullmatch(common_line(one).decode())


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"client": b"\xfd" + bytes(14) + b"\1"}, "[INFO] [fd00::1]:40000 - 4711 "),
        ({"bufsize": 0}, "udp 55 false 512"),
        ({"bufsize": 100}, "udp 55 false 512"),
        ({"do": True}, "udp 55 true 1232"),
        ({"klass": 3, "type": m.TXT, "name": from_text("version.bind")}, '"TXT CH version.bind. '),
        ({"klass": 7}, '"A CLASS7 web.'),
        ({"type": 52}, '"TLSA IN web.'),
        ({"rcode": m.DROP, "flags": 0, "reply": 0}, '1232" - - 0 '),
        ({"name": b"", "type": 0, "klass": 0}, '"- - - udp 55'),
        ({"seconds": 2.0}, " 71 2s\n"),
        ({"seconds": 0.0}, " 71 0s\n"),
        ({"flags": m.QR | m.TC | m.RA | m.AD | m.CD}, " NOERROR qr,tc,ra,ad,cd 71"),
    ],
)
def test_the_common_form_of_what_is_not_usual(fields: dict[str, Any], part: str) -> None:
    made = common_line(seen(**fields)).decode()
    assert part in made
    assert COMMON.fullmatch(made)


def test_the_json_form_says_all_that_is_known() -> None:
    one = seen(
        rcode=m.SERVFAIL,
        reason=Reason("upstream-timeout", EDE.NO_REACHABLE_AUTHORITY, "no upstream answered in time"),
        source="upstream",
        upstream="10.0.0.2:53",
        seconds=2.0000004,
        name=from_text("www.example.com"),
        do=True,
        time=1_790_000_000.25,
    )
    assert json.loads(json_line(one)) == {
        "timestamp": "2026-09-21T14:13:20.250000Z",
        "level": "info",
        "event": "query",
        "logger": "dnsserver.queries",
        "client": "10.244.1.7",
        "port": 40_000,
        "protocol": "udp",
        "id": 4711,
        "name": "www.example.com.",
        "type": "A",
        "rcode": "SERVFAIL",
        "reason": "upstream-timeout",
        "ede": 22,
        "text": "no upstream answered in time",
        "source": "upstream",
        "upstream": "10.0.0.2:53",
        "seconds": 2.0,
        "request": 55,
        "reply": 71,
        "do": True,
    }


def test_what_is_not_known_is_not_there() -> None:
    made = json.loads(json_line(seen(name=b"", type=0, klass=0, rcode=m.DROP, reason=Reason("client-rate"))))
    assert made["rcode"] == "DROP"
    assert not {"name", "type", "class", "ede", "text", "upstream"} & made.keys()
    assert json.loads(json_line(seen(klass=3)))["class"] == "CH"


ODD = [
    b'a"b',
    b"\n[INFO] forged",
    b"\r",
    b"\0",
    b"\x1b[2J",
    b" ",
    b"\\",
    b"\xff\xfe",
    b"\xc2\x9b31m",
    b"\xe2\x80\xa8",
    b"'",
    b"$x",
]


@pytest.mark.parametrize("label", ODD)
@pytest.mark.parametrize("form", LINES)
def test_a_name_cannot_forge_a_line(label: bytes, form: str) -> None:
    one = seen(name=from_labels([label, b"example"]), reason=Reason("x", EDE.OTHER, label.decode("latin-1")))
    made = LINES[form](one)
    assert made.endswith(b"\n")
    text = made[:-1].decode("ascii" if form != "json" else "utf-8")
    assert text.isprintable()
    if form == "json":
        json.loads(text)
    else:
        assert COMMON.fullmatch(re.sub(r' "\d+"\n$', "\n", text + "\n"))


@given(
    st.lists(st.binary(min_size=1, max_size=63), max_size=3), st.text(max_size=80), st.sampled_from(sorted(LINES)),
    st.integers(0, 65535), st.integers(0, 65535),
)  # fmt: skip
def test_any_octets_make_one_printable_line(labels: list[bytes], text: str, form: str, kind: int, klass: int) -> None:
    one = seen(name=from_labels(labels), type=kind, klass=klass, reason=Reason("x", EDE.OTHER, text))
    made = LINES[form](one).decode()
    assert made.count("\n") == 1
    assert made[:-1].isprintable()
