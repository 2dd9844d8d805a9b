"""The flags that say which running server a command asks, and the client that asks it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsserver.cli.serving import serve
from dnsserver.config import Config
from dnsserver.start import load

if TYPE_CHECKING:
    from dnsserver.app.admin_client import AdminClient

_FIRST = Path("/proc/1/cmdline")  # of a container it is the program that the container is for

_OPTIONS = (
    click.option(
        "--server", metavar="HOST:PORT", help="Admin HTTP of the server.  [default: of the one on this machine]"
    ),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help="The server's admin token, to ask from another machine.",
    ),
    click.option("--config", type=click.Path(path_type=Path), help="The configuration that the server runs with."),
)


def running_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags `server`, `token_file` and `config`, which `client` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def client(
    server: str | None, token_file: Path | None, config: Path | None, wait: float | None = 30.0
) -> "AdminClient":
    """Return the client of the server that is meant; ends the program with status 2 where nobody can be meant.

    Without `server` it is the one that runs with `config`; without that the one that this container runs, or one with
    the default configuration. `wait` is how many seconds a response may be silent, None for ever.
    """
    module = importlib.import_module("dnsserver.app.admin_client")
    try:
        found: AdminClient = module.client_of(
            Config() if server is not None else in_force(config), server, token_file, wait
        )
    except module.AdminError as error:
        raise click.UsageError(str(error)) from error
    return found


def in_force(path: Path | None, first: Path = _FIRST) -> Config:
    """Return the configuration of a file, or else of the server that `first` is the command line of, or the default.

    Ends the program with status 2 for a configuration with a mistake.
    """
    flags: dict[str, Any] = {} if path is not None else dict(_flags_of(first))
    return load(path or flags.pop("config", None), flags).config


def _flags_of(first: Path) -> dict[str, Any]:
    """Return the flags that a command line gives `dnsserver serve`; none if it is of another program."""
    try:
        words = [word.decode() for word in first.read_bytes().split(b"\0")[:-1]]
    except (OSError, UnicodeDecodeError):
        return {}
    programs = [place for place, word in enumerate(words[:5]) if Path(word).name == "dnsserver"]
    if not programs or words[programs[0] + 1 : programs[0] + 2] != ["serve"]:
        return {}
    try:
        return serve.make_context("serve", words[programs[0] + 2 :], resilient_parsing=True).params
    except click.ClickException:
        return {}
