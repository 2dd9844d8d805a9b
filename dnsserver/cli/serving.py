"""The commands `serve`, and `check`, which says what `serve` would do."""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from dnsserver import start
from dnsserver.cli.flags import FilePath, flags
from dnsserver.config import DEFAULT_FILE, order, render
from dnsserver.start import INVALID, load, tell


@click.command()
@click.option("--config", type=FilePath(), help=f"Configuration file.  [default: {DEFAULT_FILE}, if there]")
@flags
@click.pass_obj
def serve(take: start.Take | None, /, config: Path | None, **given: Any) -> None:
    """Serve a cluster until SIGTERM or Ctrl-C.

    Without --objects and --kubeconfig it serves the cluster in whose pod it runs. A flag wins over the configuration
    file. A mistake in either ends it with status 2; `dnsserver check` finds the same mistakes without serving.
    """
    (take or start.serve)(config, given)


@click.command()
@click.argument("file", type=FilePath(), required=False)
@click.option("--config", type=FilePath(), help="The same as FILE.")
@flags
def check(file: Path | None, config: Path | None, **given: Any) -> None:
    """Find the mistakes in a configuration file and flags.

    Prints the settings that `serve` would use, as TOML, and ends with status 0. Or prints every mistake on standard
    error and ends with status 2. It also reads object files, zone files and other paths on this machine. What may be
    right elsewhere or later, such as a port that is in use now, is a warning.
    """
    if file is not None and config is not None and file != config:
        raise click.UsageError(f"expected one configuration file, got {file} and --config {config}")
    loaded = load(file or config, given)
    preflight = importlib.import_module("dnsserver.app.preflight")
    rehearsal = importlib.import_module("dnsserver.app.rehearsal")
    found = list(preflight.findings(loaded.config, loaded.written))
    keys = {finding.key for finding in found}  # of which the same would be said again in other words
    found += [finding for finding in rehearsal.rehearse(loaded.config) if finding.key not in keys]
    found += preflight.hidden(loaded)
    tell(loaded, found)
    if loaded.is_there and not loaded.source.stat().st_size:
        text = "is empty, so every setting has its default; while a server runs, it refuses a change to an empty file"
        click.echo(f"{loaded.source}: warning: {text}", err=True)
    if any(finding.level != "noted" for finding in found):
        sys.exit(INVALID)
    click.echo(f"# In force, from {loaded.origin()}:")
    click.echo(f"# Order, the first that has an answer gives it: {order(loaded.config)}")
    click.echo(render(loaded.config), nl=False)
    ceiling = importlib.import_module("dnsserver.app.ceiling")
    click.echo("\n" + ceiling.table(ceiling.parts(loaded.config)), nl=False)
