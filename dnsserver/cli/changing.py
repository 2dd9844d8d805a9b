"""The command that says what changed in the cluster, and when."""

import importlib
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsserver.cli.flags import in_flags
from dnsserver.cli.running import client, running_server
from dnsserver.start import INVALID

if TYPE_CHECKING:
    from dnsserver.page.changes import ChangeList, ChangeRow

_WAIT = 5.0  # seconds that the server may be silent
_FLAGS = {"namespace": "NAMESPACE", "service": "SERVICE", "limit": "--limit"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_EXPECTED = 'expected how long ago, as in "15m", a time of day in UTC, as in "14:02", or "2026-11-27T14:02:00Z"'


class Since(click.ParamType[float]):
    """A moment, as unix time: how long ago it was, a time of the last 24 hours in UTC, or an ISO 8601 stamp."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the moment; anything else is a mistake."""
        if isinstance(value, float):
            return value
        try:
            return since(str(value), time.time())
        except ValueError:
            self.fail(f'found "{value}", {_EXPECTED}', param, ctx)


def since(text: str, now: float) -> float:
    """Return the moment that a text means, as `now` in unix time. Raises ValueError."""
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    if clock := _CLOCK.fullmatch(text):
        today = datetime.fromtimestamp(now, UTC)
        moment = today.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3] or 0), microsecond=0)
        return (moment if moment <= today else moment - timedelta(days=1)).timestamp()
    stamp = datetime.fromisoformat(text)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("service", metavar="[NAMESPACE[/SERVICE]]", default="")
@click.option("--since", type=Since(), metavar="WHEN", default=0.0, help="Show those from then on: 15m, 14:02 (UTC).")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Rows at the most.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@running_server
def changes(
    service: str,
    since: float,
    limit: int,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
    config: Path | None,
) -> None:
    """Show which Services changed, when and how, the last ones at the end.

    A running server keeps the last 1,000 rows since its start. The changes of a Service within a minute are one row. An
    exclamation mark stands where a Service was not there for a moment, or had no ready endpoint any more. All times are
    UTC, as in the log. A Service may also be written as a DNS name, as in web.shop.
    """
    key = importlib.import_module("dnsserver.app.name_forms").key_in(service)
    if service and not key:
        expected = 'NAMESPACE or NAMESPACE/SERVICE, as in "shop/web", or a name, as in "web.shop"'
        raise click.BadParameter(f'found "{service[:60]}", expected {expected}')
    query = dict(zip(("namespace", "service"), key, strict=False))
    query |= {"limit": str(limit)} | ({"since": f"{since:.3f}"} if since else {})
    sys.exit(_print(client(server, token_file, config, _WAIT), query, since, as_json=as_json))


def _print(asked: Any, query: dict[str, str], since: float, *, as_json: bool) -> int:
    """Print what there is, and return the exit status."""
    admin_client = importlib.import_module("dnsserver.app.admin_client")
    rows = importlib.import_module("dnsserver.page.changes")
    try:
        if as_json:
            click.echo(asked.get("/changes", query).decode())
            return 0
        found: ChangeList = asked.get_value("/changes", query, rows.ChangeList)
    except admin_client.AdminError as error:
        click.echo(in_flags(str(error), _FLAGS), err=True)
        return INVALID
    for line in _before(found, query, since):
        click.echo(line)
    lines = [_cells(row, found.now) for row in reversed(found.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for when, mark, name, what in lines:
        click.echo(f"{when:>{widths[0]}}  {click.style(mark, fg='red')} {name:{widths[2]}}  {what}")
    for line in _after(found, query):
        click.echo(line)
    return 0


def _before(found: "ChangeList", query: dict[str, str], since: float) -> Iterator[str]:
    """Yield what has to be known of the rows first: from which moment on they are all that changed."""
    if not found.since:
        yield "the cluster is not read yet, so no change of it is known"
    elif since > found.now:
        yield f"{_moment(since, found.now)} has not come yet: at the server it is {_clock(found.now)} UTC"
    elif len(found.rows) == int(query["limit"]):
        yield f"the last row{'s' if len(found.rows) > 1 else ''}; --limit shows more"
    elif since >= found.since:
        yield from () if found.rows else (f"nothing changed since {_moment(since, found.now)}",)
    else:
        what = "this is what changed" if found.rows else "nothing changed"
        yield f"{what} since {_moment(found.since, found.now)}; what was before is not known"


def _after(found: "ChangeList", query: dict[str, str]) -> Iterator[str]:
    """Yield what else may be the cause: that there is no such object, or that changes do not arrive."""
    printable = importlib.import_module("dnsserver.log.lines").printable
    if found.absent and found.since:
        what = (
            f"Service {query['namespace']}/{query['service']}"
            if "service" in query
            else f"namespace {query['namespace']}"
        )
        yield f"there is no {what} now"
    if found.unheard:
        yield f"the last changes may be missing: {printable(found.unheard)}"


def _cells(row: "ChangeRow", now: float) -> tuple[str, str, str, str]:
    """Return what is printed of a row: when, the mark, which Service, and what changed by how many events."""
    printable = importlib.import_module("dnsserver.log.lines").printable
    name = f"{row.namespace}/{row.service}" if row.service else row.namespace
    events = "" if row.count == 1 else f" ({row.count} events until {_clock(row.last)})"
    what = "; ".join(row.what) + events
    return _moment(row.first, now), "!" if row.broken else " ", printable(name), printable(what)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")


def _moment(moment: float, now: float) -> str:
    """Return a time of day, after its date where that is not the day of `now`."""
    stamp = datetime.fromtimestamp(moment, UTC)
    same_day = stamp.date() == datetime.fromtimestamp(now, UTC).date()
    return stamp.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")
