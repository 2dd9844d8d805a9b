"""The command line: what can be asked of the program, and how a mistake in it is told."""

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dnsserver import __version__
from dnsserver.config import DEFAULT_FILE, ConfigError, Loaded, Override, order, read, render

_MOST_TOLD = 100  # lines
_MOST_NAMES = 64 * 1024 * 1024  # octets
INVALID = 2  # exit status; click's own for a wrong flag

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
)


def _flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that stand in for keys of the configuration."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="dnsserver", message="%(prog)s %(version)s")
def cli() -> None:
    """A DNS server for Kubernetes clusters."""


@cli.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help=f"Configuration file.  [default: {DEFAULT_FILE}, if there]"
)
@_flags
def serve(config: Path | None, **flags: Any) -> None:
    """Serve a cluster until SIGTERM or Ctrl-C.

    Without --objects or --kubeconfig it serves the cluster whose pod it runs in. A flag wins over the configuration
    file, in which every setting is explained. A mistake in either ends it with status 2; `dnsserver check` finds the
    same mistakes without serving.
    """
    address_space = importlib.import_module("dnsserver.app.address_space")
    shortage = address_space.shortage()
    if shortage is not None:
        click.echo(shortage, err=True)
        sys.exit(1)
    address_space.spare()
    loaded = _load(config, flags)
    # Late: help and a mistake in the configuration need none of what these bring along.
    preflight = importlib.import_module("dnsserver.app.preflight")
    found = preflight.findings(loaded.config, loaded.written)
    refused = [finding for finding in found if finding.level == "refused"]
    if refused:
        _tell(loaded, refused)
        sys.exit(INVALID)
    app = importlib.import_module("dnsserver.app")
    log = importlib.import_module("dnsserver.log")
    log.configure_logging(loaded.config.log.level, loaded.config.log.format)
    log.report_uncaught()
    warnings = [(loaded.place(finding.key), finding.text, finding.level == "noted") for finding in found]
    sys.exit(app.run(loaded, warnings))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--config", type=click.Path(path_type=Path), help="The same as FILE.")
@_flags
def check(file: Path | None, config: Path | None, **flags: Any) -> None:
    """Find the mistakes in a configuration file and flags.

    Prints what `serve` would do with them as TOML and ends with status 0, or prints every mistake on standard error
    and ends with status 2. Object files, zone files and other paths are looked at as they are on this machine. What
    may be right elsewhere or later, such as a port that is in use now, is a warning.
    """
    if file is not None and config is not None and file != config:
        raise click.UsageError(f"expected one configuration file, got {file} and --config {config}")
    loaded = _load(file or config, flags)
    preflight = importlib.import_module("dnsserver.app.preflight")
    rehearsal = importlib.import_module("dnsserver.app.rehearsal")
    found = list(preflight.findings(loaded.config, loaded.written))
    keys = {finding.key for finding in found}  # of which the same would be said again in other words
    found += [finding for finding in rehearsal.rehearse(loaded.config) if finding.key not in keys]
    _tell(loaded, found)
    if any(finding.level != "noted" for finding in found):
        sys.exit(INVALID)
    click.echo(f"# In force, from {loaded.origin()}:")
    click.echo(f"# Order, the first that has an answer gives it: {order(loaded.config)}")
    click.echo(render(loaded.config), nl=False)
    ceiling = importlib.import_module("dnsserver.app.ceiling")
    click.echo("\n" + ceiling.table(ceiling.parts(loaded.config)), nl=False)


@cli.command()
@click.argument("address")
def node_address(address: str) -> None:
    """Give this machine ADDRESS, on its loopback device.

    What manifests/node-local does on each node before it serves. The address stays until the machine starts again;
    giving it twice changes nothing. Linux only, and only with NET_ADMIN.
    """
    module = importlib.import_module("dnsserver.app.node_address")
    try:
        module.give(module.parsed(address))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from error
    except OSError as error:
        click.echo(f"cannot give this machine {address}: {error.strerror}", err=True)
        sys.exit(1)


@cli.command("import-corefile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="End with status 1 if something has no counterpart.")
def import_corefile(file: Path, strict: bool) -> None:
    """Turn a Corefile of CoreDNS into a configuration file.

    FILE is a Corefile, a ConfigMap that holds one, or the ConfigMap of kube-dns. Prints TOML, and on standard error
    what became of each line, what is a default now, and what has no counterpart, with what that means for whom. Ends
    with status 2 for a file that CoreDNS would not start with.
    """
    corefile = importlib.import_module("dnsserver.app.corefile")
    try:
        imported = corefile.import_corefile(file)
    except corefile.UnusableFileError as error:
        click.echo(f"{file}: {error}", err=True)
        sys.exit(INVALID)
    except (corefile.NotACorefileError, corefile.CorefileError) as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
    click.echo(imported.toml, nl=False)
    for line in corefile.report(imported):
        click.echo(line, err=True)
    sys.exit(1 if strict and imported.losses else 0)


@cli.command()
@click.option("--with", "other", required=True, metavar="ADDR[:PORT]", help="The server to compare with.")
@click.option("--server", metavar="ADDR[:PORT]", help="This server.  [default: the first address that it listens at]")
@click.option("--names", type=click.Path(path_type=Path), help="A file of more questions: NAME [TYPE...] a line.")
@click.option(
    "--rate", type=click.FloatRange(0.1, 10_000), default=100.0, show_default=True, help="Questions a second."
)
@click.option("--config", type=click.Path(path_type=Path), help="The configuration file of this server.")
@_flags
def compare(other: str, server: str | None, names: Path | None, rate: float, config: Path | None, **flags: Any) -> None:
    """Ask two servers for every name of the cluster, and tell where they differ.

    The names come from where `serve` has them, and from a file. Each difference is told with the number of the
    correction that explains it; docs/migration.md lists these. Ends with status 0 if all are explained, 1 if some are
    not, 2 if there was nothing to compare. It only asks, `--rate` questions a second to each.
    """
    if math.isnan(rate):  # which is out of no range
        raise click.UsageError("Invalid value for '--rate': nan is no number.")
    loaded = _load(config, flags)
    comparing = importlib.import_module("dnsserver.app.compare")
    files = importlib.import_module("dnsserver.config.files")
    log = importlib.import_module("dnsserver.log")
    try:
        addresses = comparing.reachable(loaded.config, server), comparing.address(other)
        lines = [] if names is None else files.read_text(names, _MOST_NAMES).splitlines()
        listed = list(comparing.of_lines(lines))
    except files.UnusableFileError as error:
        raise click.UsageError(f"{names}: {error}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    log.configure_logging("warning", loaded.config.log.format)
    try:
        result = comparing.run(loaded.config, *addresses, listed, rate, click.echo)
    except comparing.CompareError as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
    for line in comparing.summary(result):
        click.echo(line)
    sys.exit(1 if result.unexplained else 0)


def _tell(loaded: Loaded, found: list[Any]) -> None:
    for finding in found[:_MOST_TOLD]:
        warning = "warning: " if finding.level == "noted" else ""
        click.echo(f"{loaded.place(finding.key)}: {warning}{finding.text}", err=True)
    if len(found) > _MOST_TOLD:
        click.echo(f"and {len(found) - _MOST_TOLD} more", err=True)


def _load(path: Path | None, flags: dict[str, Any]) -> Loaded:
    """Return the configuration, or tell all that is wrong with it and exit."""
    overrides = {
        KEYS.get(name, name): Override(f"--{name}", value) for name, value in flags.items() if value not in {None, ()}
    }
    try:
        return read(path, overrides)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
