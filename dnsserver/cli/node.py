"""The command for the node that a server runs on."""

import importlib
import json
import os
import re
import sys
from pathlib import Path

import click

from dnsserver.config import Address

_INTERFACE = re.compile(rb"[^\s/:\0]{1,15}")  # dev_valid_name of the kernel


@click.command("guard-node")
@click.argument("own", nargs=-1, required=True, metavar="ADDRESS...")
@click.option(
    "--cluster",
    multiple=True,
    metavar="ADDRESS",
    help="An address of the cluster's DNS Service, which the node has while its server answers; repeatable.",
)
@click.option("--ask", "name", default="kubernetes.default.svc.cluster.local", show_default=True, metavar="NAME",
              help="The name that shows whether the server answers.")  # fmt: skip
@click.option("--interface", default="dnsserver0", show_default=True, metavar="NAME", help="Whose addresses they are.")
@click.option("--drain", type=click.FloatRange(0, 3600), default=30.0, show_default=True, metavar="SECONDS",
              help="How long it waits for the server to end, at the end.")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="A folder that the server reads.")
@click.option("--metrics", metavar="ADDR:PORT", help="Where to show metrics.")
@click.option("--remove", is_flag=True, help="Remove what a guardian that was killed has left, and end.")
def guard_node(
    own: tuple[str, ...],
    cluster: tuple[str, ...],
    name: str,
    interface: str,
    drain: float,
    report: Path | None,
    metrics: str | None,
    remove: bool,
) -> None:
    """Give this node the addresses that its pods ask, as long as its server answers.

    ADDRESS is one that only the node has, as 169.254.20.10; the server has to listen at it, and at those of --cluster.
    Connection tracking is kept off all of them. While the server does not answer, the node has no address of --cluster,
    so that the cluster's own rules lead to the Service; if this program dies, the kernel takes them away within three
    seconds. It ends with SIGTERM, and leaves nothing behind. Linux only, and only with NET_ADMIN.
    """
    addresses = importlib.import_module("dnsserver.node.addresses")
    question = importlib.import_module("dnsserver.node.question")
    for hint, texts in (("ADDRESS", own), ("--cluster", cluster)):
        for text in texts:
            try:
                addresses.parsed(text)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=hint) from error
    if twice := {text for text in (*own, *cluster) if (*own, *cluster).count(text) > 1}:
        raise click.BadParameter(f"{', '.join(sorted(twice))} is given twice", param_hint="ADDRESS")
    try:
        question.question(0, name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ask") from error
    try:
        shown = None if metrics is None else Address.parse(metrics)
    except ValueError as error:
        raise click.BadParameter(f"expected {Address.EXPECTED}, got {metrics}", param_hint="--metrics") from error
    if not _INTERFACE.fullmatch(interface.encode()) or interface in {".", ".."}:
        raise click.BadParameter("expected a name of 1 to 15 octets without space, / and :", param_hint="--interface")
    options = {
        "own": own,
        "cluster": cluster,
        "name": name,
        "device": interface,
        "drain": drain,
        "folder": str(report or ""),
        "metrics": None if shown is None else (shown.host, shown.port),
    }
    if remove:
        run = importlib.import_module("dnsserver.node.run")
        try:
            run.remove(run.options_of(options))
        except OSError as error:
            click.echo(f"cannot remove what is left on this node: {error.strerror or error}", err=True)
            sys.exit(1)
        return
    # This process has what reading a command line takes, some 10 MiB; the guardian needs none of it, for years.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "dnsserver.node.run", json.dumps(options)])  # noqa: S606 - ourselves
