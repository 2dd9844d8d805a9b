"""What `dnsserver top` shows: the last minutes of a server as lists that fit a terminal, or as plain text.

Names, reasons and clients come from clients and upstreams. They are shown as text, and nothing in them is markup. A
character that cannot be printed, or that changes how a line is read, is shown as its number.
"""

from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dnsserver.traffic.report import (
    Client,
    FailureList,
    FailureRow,
    Listing,
    Name,
    Row,
    ServerState,
    Top,
    UpstreamState,
)

_WIDE = 130  # columns from which two lists stand side by side
_HEAD = 3  # lines
_KEYS = "q ends, 1 5 f: the last minute, 5, 15 minutes"
_DIM = "dim"


class Size(NamedTuple):
    """Of a terminal, in characters; `height` is 0 where nothing has to fit."""

    width: int
    height: int


class View(NamedTuple):
    """What there is to show: the last that the server has said, and what is in the way of asking it again."""

    server: str
    top: Top | None
    failures: FailureList | None
    problem: str = ""
    keys: bool = False


class _Room(NamedTuple):
    """The room of a list: its number of rows, None for all of them, and whether its columns have headers."""

    rows: int | None = None
    names: bool = True


def screen(view: View, size: Size) -> RenderableType:
    """Return what to show."""
    parts: list[RenderableType] = [_head(view)]
    if view.top is not None and view.failures is not None:
        wide = size.height > 0 and size.width >= _WIDE
        room = _room(view, size, 5 if wide else 7)
        lists = _lists(view.top, room)
        parts += [*starmap(_beside, zip(lists[::2], lists[1::2], strict=False)), lists[-1]] if wide else lists
        parts += [_upstreams(view.top, room), _failures(view.failures, room)]
    elif view.top is not None and (view.top.asks or view.top.asked):
        parts.append(_about(view.top))
    return Group(*parts)


def _about(top: Top) -> Group:
    """Return the list of what one client asks, or of who asks for one name."""
    if top.asks:
        names = [(row.name, _count(row), _share(row), row.reason) for row in _items(top.names)]
        return _table(
            f"Names that {top.asks} asks for", ("name", "questions", "share", "reason"), names, _Room(), _UNSEEN
        )
    clients = [(_client(row), _count(row), _share(row)) for row in _items(top.clients)]
    return _table(
        f"Clients that ask for {plain(top.asked)}", ("client", "questions", "share"), clients, _Room(), _UNSEEN
    )


def _room(view: View, size: Size, lists: int) -> _Room:
    """Return the room of each list, with all lists below one another; if they do not fit, the last ones are cut."""
    if not size.height:
        return _Room()
    lines = (size.height - _HEAD - bool(view.problem)) // lists
    return _Room(lines - 3) if lines >= 5 else _Room(max(1, lines - 2), names=False)


def _head(view: View) -> Text:
    top = view.top
    text = Text(f"dnsserver at {plain(view.server)}", no_wrap=True, overflow="ellipsis")
    if top is not None:
        state = top.server
        text = Text(f"dnsserver {plain(state.version)} at {plain(view.server)}   ", no_wrap=True, overflow="ellipsis")
        text.append(plain(state.verdict), "green" if state.ready else "bold red")
        text.append(_data(state), "bold red" if state.stale else "")
        text.append(_rate(top))
        text.append(f"\nThe last {_span(top)}", "bold")
        text.append(_looked_at(top), _DIM)
    if view.keys:
        text.append(f"   {_KEYS}", _DIM)
    if view.problem:
        text.append(f"\n{plain(view.problem)}", "bold red")
    text.append("\n")
    return text


def _data(state: ServerState) -> str:
    age = [] if state.data_age is None else [f"data {state.data_age:.0f} s old"]
    said = ", ".join([*age, *(["answers are marked as stale"] if state.stale else [])])
    return f"   {said}" if said else ""


def _rate(top: Top) -> str:
    if top.asked or top.clients is None or not top.counting or not top.clients.seconds:
        return ""
    return f"   {top.clients.total / top.clients.seconds:,.1f} questions a second"


def _minutes(window: int) -> str:
    return "minute" if window == 1 else f"{window} minutes"


def _span(top: Top) -> str:
    """Return the time span of the screen; for one client or name it is the age of the oldest packet looked at."""
    about = top.names if top.asks else top.clients if top.asked else None
    return _minutes(top.window) if about is None else f"{about.seconds:.0f} s"


def _looked_at(top: Top) -> str:
    processes = f", {top.server.processes} processes" if top.server.processes > 1 else ""
    if not top.counting:
        return f"   packets are not sampled ([top] sample){processes}"
    which = "all packets are looked at now" if top.one_in == 1 else f"one packet in {top.one_in:,} is looked at now"
    return f"   {which}{processes}"


def _lists(top: Top, room: _Room) -> list[Group]:
    return [
        _table(
            "Clients that ask most",
            ("client", "questions", "share"),
            [(_client(row), _count(row), _share(row)) for row in _items(top.clients)],
            room,
        ),
        _table(
            "Names asked most",
            ("name", "questions", "share"),
            [(row.name, _count(row), _share(row)) for row in _items(top.names)],
            room,
        ),
        _table(
            "Domains asked most",
            ("domain", "questions", "share"),
            [(row.name, _count(row), _share(row)) for row in _items(top.domains)],
            room,
        ),
        _table(
            "Missing names asked most",
            ("name", "questions", "reason"),
            [(row.name, _count(row), row.reason) for row in _items(top.missing)],
            room,
        ),
        _table(
            f"Slow names, {top.slow_from:g} s or more",
            ("name", "times", "longest"),
            [(row.name, f"{row.count:,}", f"{row.longest:.2f} s") for row in _items(top.slow)],
            room,
        ),
    ]


def _upstreams(top: Top, room: _Room) -> Group:
    columns = ("upstream", "state", "round trip", "queries", "failures")
    return _table(
        "Upstreams",
        columns,
        [
            (
                row.name,
                _state(row),
                f"{1000 * row.rtt:.1f} ms" if row.rtt else "-",
                f"{row.queries:,}",
                _causes(row),
            )
            for row in _items(top.upstreams)
        ],
        room,
    )


def _failures(failures: FailureList, room: _Room) -> Group:
    more = f", {failures.unrecorded:,} more came too fast to be recorded" if failures.unrecorded else ""
    return _table(
        f"Recent failures{more}",
        ("name", "type", "client", "said", "ago", "times", "reason"),
        [
            (
                row.name or "not readable",
                row.type,
                _client(row),
                row.rcode or "no reply",
                f"{row.age:.0f} s",
                f"{row.count:,}",
                f"{row.reason}: {row.text}" if row.text else row.reason,
            )
            for row in failures.items
        ],
        room,
        "none that is recorded" if failures.unrecorded else "none",
    )


_UNSEEN = "none in the packets that were looked at"
_RIGHT = {"questions", "share", "times", "longest", "ago", "queries", "round trip"}
_LONG = {"client", "name", "domain", "upstream", "reason", "failures"}  # what is cut short where there is no room


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], room: _Room, empty: str = "none"
) -> Group:
    """Return a list as a table; if it has to fit, it takes the whole width, and cuts texts that are too long."""
    fits = room.rows is not None
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=fits, show_header=room.names)
    for number, column in enumerate(columns):
        table.add_column(
            Text(column, _DIM),
            justify="right" if column in _RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=(3 if number == 0 else 2) if column in _LONG else None,
            min_width=None if column in _LONG else len(column),
        )
    for row in rows[: room.rows]:
        table.add_row(*(Text(plain(cell), _style(cell)) for cell in row))
    if not rows:
        table.add_row(Text(empty, _DIM))
    return Group(Text(title, "bold", no_wrap=True, overflow="ellipsis"), table, Text())


def _beside(one: Group, other: Group) -> Table:
    table = Table.grid(expand=True, padding=(0, 3, 0, 0))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(one, other)
    return table


def _style(cell: str) -> str:
    return "bold red" if cell in {_DOWN, _LOOPING} else ""


_DOWN, _LOOPING = "down", "forwards back to this server"


def _state(row: UpstreamState) -> str:
    return _LOOPING if row.looping else "up" if row.up else _DOWN


def _causes(row: UpstreamState) -> str:
    """Return the failures by cause, the most frequent one first."""
    found = sorted(row.causes.items(), key=lambda item: -item[1])
    return ", ".join(f"{cause} {count:,}" for cause, count in found) or "none"


def _client(row: Client | FailureRow) -> str:
    """Return an address, and the pods or Services that have it."""
    owners = row.pods or row.services
    if not owners:
        return row.client
    more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
    return f"{row.client} {'' if row.pods else 'of service '}{owners[0]}{more}"


def _count(row: Client | Name) -> str:
    return f"{row.count:,} ±{row.plus_minus:,}" if row.plus_minus else f"{row.count:,}"


def _share(row: Client | Name) -> str:
    return f"{100 * row.share:.1f} %"


def _items(listing: Listing[Row] | None) -> tuple[Row, ...]:
    return () if listing is None else listing.items


def plain(text: str) -> str:
    """Return text in which everything stands that is in it, and nothing moves the cursor or turns the line around."""
    return "".join(char if char.isprintable() else f"\\{ord(char):03d}" for char in text)
