"""What `dnsserver top` shows, in terminals of all sizes and as plain text, whatever is in names and reasons."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from dnsserver.cli.top_screen import Size, View, plain, screen
from dnsserver.traffic.report import (
    Client,
    FailureList,
    FailureRow,
    Listing,
    Name,
    SlowName,
    Top,
    UpstreamState,
)
from tests.cli.shown import FAILURES, STATE, TOP

PLAIN = Size(10_000, 0)


def rendered(view: View, size: Size = PLAIN, *, color: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=size.width, height=size.height or 25, markup=False, highlight=False, emoji=False,
        color_system="truecolor" if color else None, force_terminal=color,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(screen(view, size))
    return captured.get()


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_one_client_or_one_name_has_a_list_of_its_own() -> None:
    one = msgspec.structs.replace(TOP, asks="10.0.0.1", clients=None)
    assert words(rendered(View("h:1", one, None)))[2:4] == [
        "Names that 10.0.0.1 asks for", "name questions share reason"
    ]  # fmt: skip
    name = msgspec.structs.replace(TOP, asked="web.shop.", names=None)
    assert words(rendered(View("h:1", name, None)))[2:5] == [
        "Clients that ask for web.shop.", "client questions share", "10.0.0.1 shop/web-0 61,234 ±700 68.0 %"
    ]  # fmt: skip

    for seen in (one, name):
        nobody: Listing[Any] = Listing(4.0, 0, 0, ())
        empty = msgspec.structs.replace(seen, **{"names" if seen is one else "clients": nobody})
        assert words(rendered(View("h:1", empty, None)))[-1] == "none in the packets that were looked at"


def test_everything_stands_in_plain_text() -> None:
    assert words(rendered(View("127.0.0.1:8053", TOP, FAILURES))) == [
        "dnsserver 1.2 at 127.0.0.1:8053 ready data 3 s old 1,500.0 questions a second",
        "The last minute one packet in 40 is looked at now",
        "Clients that ask most",
        "client questions share",
        "10.0.0.1 shop/web-0 61,234 ±700 68.0 %",
        "10.0.0.2 of service shop/head 20,000 ±600 22.0 %",
        "10.0.0.9 a/agent and 2 more 5,000 ±300 6.0 %",
        "fd00::7 1 0.0 %",
        "Names asked most",
        "name questions share",
        "web.shop.svc.cluster.local. 50,000 ±900 55.6 %",
        "Domains asked most",
        "domain questions share",
        "shop.svc.cluster.local. 70,000 ±800 77.8 %",
        "Missing names asked most",
        "name questions reason",
        "web.shop. 800 ±30 forwarded",
        "x. 1",
        "Slow names, 0.1 s or more",
        "name times longest",
        "slow.example. 3 2.35 s",
        "Upstreams",
        "upstream state round trip queries failures",
        "192.0.2.1:53 down - 20 silent 20, failed 3",
        "192.0.2.2:53 forwards back to this server 1.5 ms 480 none",
        "Recent failures, 7 more came too fast to be recorded",
        "name type client said ago times reason",
        "a.example. A 10.0.0.1 shop/web-0 SERVFAIL 4 s 12 upstream-timeout: none answered",
        "not readable 10.0.0.3 no reply 0 s 1 rate",
    ]


replaced = msgspec.structs.replace
RATE = " 1,500.0 questions a second"
STALE = replaced(STATE, stale=True, data_age=4000.0)
UNHEARD = replaced(STATE, stale=True, data_age=None)  # what is served is a snapshot
UNREADY = replaced(STATE, ready=False, verdict="not ready, not read yet: services", data_age=None, processes=3)


@pytest.mark.parametrize(
    ("top", "told"),
    [
        (replaced(TOP, server=UNREADY), "dnsserver 1.2 at h:1 not ready, not read yet: services" + RATE),
        (replaced(TOP, server=UNREADY), "The last minute one packet in 40 is looked at now, 3 processes"),
        (replaced(TOP, server=STALE), "dnsserver 1.2 at h:1 ready data 4000 s old, answers are marked as stale" + RATE),
        (replaced(TOP, server=UNHEARD), "dnsserver 1.2 at h:1 ready answers are marked as stale" + RATE),
        (replaced(TOP, window=15, one_in=1), "The last 15 minutes all packets are looked at now"),
        (replaced(TOP, window=5, one_in=12_345), "The last 5 minutes one packet in 12,345 is looked at now"),
        (replaced(TOP, counting=False), "The last minute packets are not sampled ([top] sample)"),
        (replaced(TOP, counting=False), "dnsserver 1.2 at h:1 ready data 3 s old"),
        (replaced(TOP, clients=Listing(0.0, 0, 0, ())), "dnsserver 1.2 at h:1 ready data 3 s old"),
        (replaced(TOP, slow=Listing(0.0, 0, 0, ())), "none"),
    ],
)  # fmt: skip
def test_the_state_of_the_server_is_told(top: Top, told: str) -> None:
    assert told in words(rendered(View("h:1", top, FAILURES)))


@pytest.mark.parametrize("width", [20, 40, 80, 129, 130, 200])
@pytest.mark.parametrize("height", [24, 30, 50, 100])
@pytest.mark.parametrize("problem", ["", "no answer for 3 s: " + "x" * 300])
def test_it_fits_the_terminal(width: int, height: int, problem: str) -> None:
    many = Listing(60.0, 9, 0, tuple(Name(f"{'n' * 50}{number}.", 5, 0, 0.1) for number in range(100)))
    top = replaced(TOP, names=many, missing=many)
    text = rendered(View("127.0.0.1:8053", top, FAILURES, problem, keys=True), Size(width, height))
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= height + 1  # the last one is empty
    if width >= 80:
        for found in ("Clients", "Names", "Domains", "Missing", "Slow", "Upstreams", "Recent"):
            assert found in text
    assert "no answer for 3 s" in text or not problem


def test_before_the_first_answer_it_says_whom_it_asks() -> None:
    assert words(rendered(View("h:1", None, None, "asking …", keys=True), Size(80, 24))) == [
        "dnsserver at h:1 q ends, 1 5 f: the last minute, 5, 15 minutes",
        "asking …",
    ]


EVIL = [
    "[red]x[/red].example.", "[/]", "[link=http://e]x[/link]", ":smile:", "\x1b[31mx\x1b[0m", "a\r\nb", "\x9b31m",
    "\x07", "\u202etxt.exe", "\x00", "\u2028", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize("size", [PLAIN, Size(300, 60)])
def test_nothing_of_a_name_or_a_reason_is_markup_or_moves_the_cursor(evil: str, size: Size) -> None:
    row = FailureRow(evil, (evil,), (), evil, evil, evil, evil, evil, 1.0, 1.0, 1.0, 1)
    top = replaced(
        TOP,
        server=replaced(STATE, verdict=evil, version=evil),
        clients=Listing(1.0, 1, 0, (Client(evil, (evil,), (evil,), 1, 0, 1.0),)),
        names=Listing(1.0, 1, 0, (Name(evil, 1, 0, 1.0),)),
        domains=Listing(1.0, 1, 0, (Name(evil, 1, 0, 1.0),)),
        missing=Listing(1.0, 1, 0, (Name(evil, 1, 0, 1.0, evil),)),
        slow=Listing(1.0, 1, 0, (SlowName(evil, 1, 1.0),)),
        upstreams=Listing(1.0, 1, 0, (UpstreamState(evil, True, False, 0.0, 0.0, 1, 1, {evil: 1}),)),
    )
    view = View(evil, top, FailureList(0, (row,)), evil, keys=True)
    text = rendered(view, size)
    assert text.count(plain(evil)) >= 16
    assert all(char.isprintable() or char == "\n" for char in text)
    colored = rendered(view, size, color=True)
    assert "\x1b[31mx" not in colored
    assert "http://e\x1b\\" not in colored  # a link


def test_what_is_no_character_is_shown_by_its_number() -> None:
    assert plain("ä\x00\x1b\u202e") == "ä\\000\\027\\8238"
