"""The commands about another DNS server: its configuration turned into ours, its answers compared with ours."""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import click

from dnsserver.cli.flags import FilePath, flags
from dnsserver.start import INVALID, load

_MOST_NAMES = 64 * 1024 * 1024  # octets


@click.command("import-corefile")
@click.argument("file", type=FilePath(or_stdin=True))
@click.option("--strict", is_flag=True, help="End with status 1 if something has no counterpart.")
def import_corefile(file: Path, strict: bool) -> None:
    """Turn a Corefile of CoreDNS into a configuration file.

    FILE is a Corefile, a ConfigMap with a Corefile, or the ConfigMap of kube-dns; "-" is standard input. Prints TOML on
    standard output. On standard error it says what became of each line, what is a default now, and what has no
    counterpart, with what that means for whom. Ends with status 2 for a file with which CoreDNS would not start.
    """
    corefile = importlib.import_module("dnsserver.app.corefile")
    try:
        imported = corefile.import_corefile(file, sys.stdin.read() if str(file) == "-" else None)
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


@click.command()
@click.option("--with", "other", required=True, metavar="ADDR[:PORT]", help="The DNS server to compare with.")
@click.option(
    "--server",
    metavar="ADDR[:PORT]",
    help="This server's address of DNS, not of admin HTTP.  [default: the first of `listen`]",
)
@click.option("--names", type=FilePath(), help="A file with more questions, one a line: NAME [TYPE...]")
@click.option(
    "--rate", type=click.FloatRange(0.1, 10_000), default=100.0, show_default=True, help="Questions a second."
)
@click.option("--config", type=FilePath(), help="The configuration file of this server.")
@flags
def compare(other: str, server: str | None, names: Path | None, rate: float, config: Path | None, **given: Any) -> None:
    """Ask two servers for every name of the cluster, and print the differences.

    The names come from the same source as for `serve`, and from a file. Each difference has the number of the
    correction that explains it; docs/migration.md lists these. Ends with status 0 if all differences are explained, 1
    if some are not, 2 if there was nothing to compare. It changes nothing, and asks each server `--rate` questions a
    second.
    """
    if math.isnan(rate):  # which is out of no range
        raise click.UsageError("Invalid value for '--rate': nan is no number.")
    loaded = load(config, given)
    comparing = importlib.import_module("dnsserver.app.compare")
    files = importlib.import_module("dnsserver.config.files")
    log = importlib.import_module("dnsserver.log")
    try:
        own = comparing.reachable(loaded.config, server)
    except ValueError as error:
        raise click.UsageError(f"--server: {error}") from error
    try:
        addresses = own, comparing.address(other)
    except ValueError as error:
        raise click.UsageError(f"--with: {error}") from error
    try:
        lines = [] if names is None else files.read_text(names, _MOST_NAMES).splitlines()
    except files.UnusableFileError as error:
        raise click.UsageError(f"{names}: {error}") from error
    try:
        listed = list(comparing.of_lines(lines))
    except ValueError as error:
        raise click.UsageError(f"{names}: {error}") from error
    log.configure_logging("warning", loaded.config.log.format)
    try:
        result = comparing.run(loaded.config, *addresses, listed, rate, click.echo)
    except comparing.CompareError as error:
        click.echo(error, err=True)
        sys.exit(INVALID)
    for line in comparing.summary(result):
        click.echo(line)
    sys.exit(1 if result.unexplained else 0)
