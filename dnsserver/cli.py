"""The command line: what can be asked of the program, and how a mistake in it is told."""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from dnsserver import __version__
from dnsserver.config import DEFAULT_FILE, Config, ConfigError, Override, load, render

INVALID = 2  # exit status; click's own for a wrong flag

# A flag's parameter to the key of the configuration that it stands in for; several have another name.
KEYS = {"upstream": "upstreams"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dnsserver", message="%(prog)s %(version)s")
def cli() -> None:
    """Answer DNS for a Kubernetes cluster."""


@cli.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help=f"Configuration file.  [default: {DEFAULT_FILE}, if there]"
)
@click.option("--listen", multiple=True, metavar="ADDR:PORT", help="UDP and TCP address; repeatable.")
@click.option("--admin", metavar="ADDR:PORT", help="Address of health, readiness and metrics over HTTP.")
@click.option("--domain", metavar="NAME", help="The cluster's domain.")
@click.option("--ttl", type=int, metavar="SECONDS", help="TTL of cluster records.")
@click.option("--pods", metavar="MODE", help="Pod names: disabled, insecure or verified.")
@click.option(
    "--objects", metavar="PATH", help="Serve the Kubernetes objects of a file or folder, not those of an API server."
)
@click.option("--kubeconfig", metavar="FILE", help="How to reach the API server, from outside of its cluster.")
@click.option("--context", metavar="NAME", help="A context of the kubeconfig, instead of its current one.")
@click.option(
    "--upstream", multiple=True, metavar="ADDR[:PORT]", help="Who answers for names outside the cluster; repeatable."
)
@click.option("--workers", type=int, metavar="N", help="Processes that answer.")
@click.option("--state", metavar="DIR", help="Folder for a copy of the zone that a restart begins with.")
def serve(config: Path | None, **flags: Any) -> None:
    """Serve a cluster, until SIGTERM.

    What no flag says is taken from the configuration file, which `dnsserver check` reads.
    """
    settings = _load(config, flags)
    # Late: help, `check` and a mistake in the configuration need none of what these bring along.
    app = importlib.import_module("dnsserver.app")
    log = importlib.import_module("dnsserver.log")
    log.configure_logging(settings.log.level, settings.log.format)
    sys.exit(app.run(settings))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None) -> None:
    """Check a configuration file, and print what would be in force."""
    click.echo(render(_load(file, {})), nl=False)


def _load(path: Path | None, flags: dict[str, Any]) -> Config:
    """Return the configuration, or tell all that is wrong with it and exit."""
    overrides = {
        KEYS.get(name, name): Override(f"--{name}", value) for name, value in flags.items() if value not in {None, ()}
    }
    try:
        return load(path, overrides)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
