"""The command that follows the questions of a running server."""

import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from dnsserver.cli.flags import in_flags
from dnsserver.cli.running import client, running_server
from dnsserver.signals import INTERRUPTED
from dnsserver.start import INVALID
from dnsserver.traffic.filters import CLASSES

_SILENCE = 60.0  # seconds; the server sends something at least every 5
_FLAGS = {
    "classes": "--class",
    "clients": "--client",
    "below": "--name",
    "types": "--type",
    "rcodes": "--rcode",
    "slow": "--slow",
    "took": "--slow",
    "sample": "--sample",
}
_COLORS = {"NOERROR": "green", "NXDOMAIN": "yellow"}


class _Line(msgspec.Struct, frozen=True):
    """A line of the stream, as far as it is shown; `docs/log.md` says what its fields are."""

    event: str
    timestamp: str = ""
    client: str = ""
    protocol: str = ""
    name: str = "-"
    type: str = "-"
    klass: str = msgspec.field(default="", name="class")
    rcode: str = ""
    reason: str = ""
    text: str = ""
    source: str = ""
    upstream: str = ""
    seconds: float = 0.0
    count: int = 0
    not_looked_at: int = 0


@click.command()
@click.option(
    "--class",
    "classes",
    type=click.Choice(CLASSES),
    multiple=True,
    help="denial (no such name, or no such type), error, success, slow (500 ms or more, or as --slow says) or all; "
    "repeatable.  [default: all]",
)
@click.option("--client", "clients", metavar="NET", multiple=True, help="Clients of a network; repeatable.")
@click.option("--name", "names", metavar="SUFFIX", multiple=True, help="Names at and below a domain; repeatable.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Questions of a type; repeatable.")
@click.option(
    "--rcode", "rcodes", metavar="RCODE", multiple=True, help="Replies of an rcode, DROP for none; repeatable."
)
@click.option(
    "--slow", type=click.FloatRange(1, 60_000), metavar="MS", help="Answers that took so many milliseconds or more."
)
@click.option(
    "--sample", type=click.IntRange(1), default=1, metavar="N", help="One question in so many, chosen at random."
)
@click.option("--json", "as_json", is_flag=True, help="Print each as a line of JSON.")
@running_server
def tail(
    classes: tuple[str, ...],
    clients: tuple[str, ...],
    names: tuple[str, ...],
    types: tuple[str, ...],
    rcodes: tuple[str, ...],
    slow: float | None,
    sample: int,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
    config: Path | None,
) -> None:
    """Follow the questions of a running server, each with its answer and the reason, until Ctrl-C.

    Shows only questions that fit all flags. This does not slow the server down: if questions come too fast, some are
    left out, and their number is shown.
    """
    lists = {"classes": classes, "clients": clients, "below": names, "types": types, "rcodes": rcodes}
    query = {key: ",".join(dict.fromkeys(values)) for key, values in lists.items() if values}
    if slow is not None:
        query["took"] = seconds = f"{slow / 1000:.6f}"
        if "slow" in classes:
            query["slow"] = seconds
    if sample > 1:
        query["sample"] = str(sample)
    sys.exit(_follow(client(server, token_file, config, _SILENCE), query, as_json=as_json))


def _follow(asked: Any, query: dict[str, str], *, as_json: bool) -> int:
    """Print the lines of the stream until it ends, and return the exit status."""
    admin_client = importlib.import_module("dnsserver.app.admin_client")
    entry = None
    try:
        for line in asked.lines("/tail", query):
            if not line:
                continue
            entry = asked.value_of("/tail", line, _Line)
            shown = line if as_json else _shown(entry)
            if shown:
                click.echo(shown)
                sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who reads has seen enough; Python would complain about the rest at its end
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except admin_client.AdminError as error:
        click.echo(in_flags(str(error), _FLAGS), err=True)
        return INVALID
    if entry is None:
        click.echo(f"{asked.shown}/tail returned nothing: it is not a dnsserver", err=True)
        return INVALID
    click.echo("the server has ended the stream: it is stopping, or has another `admin` now", err=True)
    return 0


def _shown(entry: _Line) -> str:
    """Return a line of the stream in the form in which it is printed; empty for a line that tells a person nothing."""
    match entry.event:
        case "query":
            return _text(entry)
        case "left out":
            return click.style(
                f"… {entry.count} more were left out, and {entry.not_looked_at} replies not looked at", dim=True
            )
        case _:
            return ""


def _text(entry: _Line) -> str:
    """Return a question in one line: time, client, result, duration, name and type, and reason."""
    rcode = click.style(f"{entry.rcode:8}", fg=_COLORS.get(entry.rcode, "red"))
    name = f"{entry.klass} {entry.type} {entry.name}".strip()
    why = entry.reason + (f": {entry.text}" if entry.text else "")
    clock = entry.timestamp[11:23]
    milliseconds = f"{entry.seconds * 1000:8.1f} ms"
    source = entry.upstream or entry.source
    return f"{clock}  {entry.client:15}  {entry.protocol}  {rcode}  {milliseconds}  {name}  {source}  {why}"
