"""The flags that stand in for keys of the configuration, and how a mistake in either is told."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dnsserver.config import ConfigError, Loaded, Override, read

INVALID = 2  # exit status; click's own for a wrong flag

_MOST_TOLD = 100  # lines

# A flag's parameter to the key of the configuration that it stands in for; several have another name.
KEYS = {"upstream": "upstreams"}

_OPTIONS = (
    click.option(
        "--listen", multiple=True, metavar="ADDR:PORT", help="Where to answer DNS over UDP and TCP; repeatable."
    ),
    click.option("--admin", metavar="ADDR:PORT", help="Where to answer HTTP: health, readiness, metrics."),
    click.option("--domain", metavar="NAME", help="The domain of the cluster."),
    click.option("--ttl", type=int, metavar="SECONDS", help="TTL of the cluster's records."),
    click.option("--service", metavar="NAMESPACE/NAME", help="The Service that clients reach this server by."),
    click.option("--pods", metavar="MODE", help="Names of pods: disabled, insecure or verified."),
    click.option(
        "--objects",
        metavar="PATH",
        help="A file or folder of Kubernetes objects to serve; no API server is asked then.",
    ),
    click.option("--kubeconfig", metavar="FILE", help="How to reach the API server from outside its cluster."),
    click.option("--context", metavar="NAME", help="A context of the kubeconfig, instead of its current one."),
    click.option(
        "--upstream",
        multiple=True,
        metavar="SERVER",
        help="Whom to ask for names outside the cluster: an address, ADDR:PORT, tls://NAME, or a file; repeatable.",
    ),
    click.option("--workers", type=int, metavar="N", help="How many processes answer."),
    click.option("--state", metavar="DIR", help="A folder for a snapshot of the zone, which a restart begins with."),
    click.option(
        "--takeover", metavar="SOCKET", help="Where one server hands its addresses over to the next one of its user."
    ),
    click.option("--guardian", metavar="DIR", help="Where the guardian of this node reports."),
)


def flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that stand in for keys of the configuration."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def tell(loaded: Loaded, found: list[Any]) -> None:
    """Print findings on standard error, each with its file and line, not more than anybody reads."""
    for finding in found[:_MOST_TOLD]:
        warning = "warning: " if finding.level == "noted" else ""
        click.echo(f"{loaded.place(finding.key)}: {warning}{finding.text}", err=True)
    if len(found) > _MOST_TOLD:
        click.echo(f"and {len(found) - _MOST_TOLD} more", err=True)


def load(path: Path | None, given: dict[str, Any]) -> Loaded:
    """Return the configuration, or tell all that is wrong with it and exit."""
    overrides = {
        KEYS.get(name, name): Override(f"--{name}", value) for name, value in given.items() if value not in {None, ()}
    }
    try:
        return read(path, overrides)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
