"""Commands that watch a running server."""

import importlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from dnsserver.cli.flags import in_flags
from dnsserver.cli.running import client as admin_client
from dnsserver.cli.running import running_server
from dnsserver.start import INVALID

if TYPE_CHECKING:
    from dnsserver.app.admin_client import AdminClient
    from dnsserver.cli.top_screen import View

_WAIT = 5.0  # seconds that the server may be silent
_ROWS = 100  # asked for; a terminal has room for fewer
_PLAIN_WIDTH = 10_000  # columns where nothing is cut short
_FLAGS = {"client": "--client", "name": "--name"}
_WINDOWS = {"1": 1, "5": 5, "f": 15}  # keys


@click.command()
@running_server
@click.option("--window", type=click.Choice(["1", "5", "15"]), default="1", show_default=True, help="Minutes.")
@click.option(
    "--every", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--limit", type=click.IntRange(1, _ROWS), default=20, show_default=True, help="Rows of a list, with --once."
)
@click.option("--client", metavar="ADDRESS", help="Show what one client asks; once.")
@click.option("--name", metavar="NAME", help="Show who asks for a name; once.")
@click.option("--once", is_flag=True, help="Print it once as plain text. This is the default without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print it once as JSON.")
def top(
    server: str | None,
    token_file: Path | None,
    config: Path | None,
    window: str,
    every: float,
    limit: int,
    client: str | None,
    name: str | None,
    once: bool,
    as_json: bool,
) -> None:
    """Show who asks a running server what, which names are missing or slow, and what fails and why.

    Keys: 1, 5 and f show the last minute, 5 and 15 minutes; q ends it. If many questions come, clients and names are
    counted from samples, and the error of a count is shown. Names that do not exist are among the failures only with
    --json. --client and --name count the packets that were looked at last.
    """
    if client is not None and name is not None:
        raise click.UsageError(
            "--client and --name do not go together: --client shows the names that a client asks for"
        )
    asked = admin_client(server, token_file, config, _WAIT)
    about = {key: value for key, value in (("client", client), ("name", name)) if value is not None}
    if as_json or once or about or not (sys.stdout.isatty() and sys.stdin.isatty()):
        sys.exit(_print(asked, int(window), limit, about, as_json=as_json))
    _live(asked, int(window), every)


def _print(asked: "AdminClient", window: int, limit: int, about: dict[str, str], *, as_json: bool) -> int:
    """Print what there is to show, and return the exit status."""
    admin_client = importlib.import_module("dnsserver.app.admin_client")
    try:
        view = _look(asked, window, limit, about, missing=as_json)
    except admin_client.AdminError as error:
        click.echo(in_flags(str(error), _FLAGS), err=True)
        return INVALID
    if as_json:
        said = {"top": view.top} if view.failures is None else {"top": view.top, "failures": view.failures}
        click.echo(msgspec.json.encode(said).decode())
        return 0
    screen = importlib.import_module("dnsserver.cli.top_screen")
    console = importlib.import_module("rich.console").Console(
        file=sys.stdout, width=_PLAIN_WIDTH, color_system=None, force_terminal=False, markup=False, highlight=False
    )
    with console.capture() as captured:
        console.print(screen.screen(view, screen.Size(_PLAIN_WIDTH, 0)))
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()).rstrip())
    return 0


def _look(
    asked: "AdminClient", window: int, limit: int, about: dict[str, str] | None = None, *, missing: bool = False
) -> "View":
    """Return what the server says now. Raises AdminError."""
    screen = importlib.import_module("dnsserver.cli.top_screen")
    report = importlib.import_module("dnsserver.traffic.report")
    top = asked.get_value("/top", {"window": str(window), "limit": str(limit), **(about or {})}, report.Top)
    if about:
        return screen.View(asked.shown, top, None)  # type: ignore[no-any-return]
    query = {"limit": str(limit), "missing": "yes" if missing else "no"}
    view: View = screen.View(asked.shown, top, asked.get_value("/failures", query, report.FailureList))
    return view


def _live(asked: "AdminClient", window: int, every: float) -> None:
    """Show the screen until q or Ctrl-C. If the server does not answer, the last screen stays, with a note."""
    admin_client = importlib.import_module("dnsserver.app.admin_client")
    screen = importlib.import_module("dnsserver.cli.top_screen")
    console = importlib.import_module("rich.console").Console(markup=False, highlight=False, emoji=False)
    live = importlib.import_module("rich.live").Live(console=console, screen=True, auto_refresh=False)
    view = screen.View(asked.shown, None, None, "asking …", keys=True)
    answered = time.monotonic()

    def show() -> None:
        size = console.size
        live.update(screen.screen(view, screen.Size(size.width, size.height)), refresh=True)

    with _keys() as pressed, live, suppress(KeyboardInterrupt):
        while True:
            show()
            try:
                view = _look(asked, window, _ROWS)._replace(keys=True)
                answered = time.monotonic()
            except admin_client.AdminError as error:
                view = view._replace(problem=f"no answer for {time.monotonic() - answered:.0f} s: {error}")
            show()
            key = pressed(every)
            if key in {"q", "Q"}:
                return
            window = _WINDOWS.get(key.lower(), window)


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits so many seconds for a key and returns it, or "". At the end, restore the terminal."""
    termios = importlib.import_module("termios")
    tty = importlib.import_module("tty")
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 1).decode("ascii", "replace") or "q" if ready else ""

    tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
