"""The command line: the commands of the program, and how a mistake in them is reported.

There is a module for each group of commands. A command imports what it needs when it runs, so that help, and an error
about a flag, come fast.
"""

import click

from dnsserver import __version__
from dnsserver.cli.asking import dump, explain
from dnsserver.cli.changing import changes
from dnsserver.cli.migrating import compare, import_corefile
from dnsserver.cli.node import guard_node
from dnsserver.cli.serving import check, serve
from dnsserver.cli.tailing import tail
from dnsserver.cli.watching import top

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="dnsserver", message="%(prog)s %(version)s")
def cli() -> None:
    """A DNS server for Kubernetes clusters."""


for _command in (serve, check, guard_node, import_corefile, compare, changes, dump, explain, tail, top):
    cli.add_command(_command)
