"""The flags that take the place of keys of the configuration, and how a server's words of keys are told as flags."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--listen", multiple=True, metavar="ADDR:PORT", help="Where to answer DNS over UDP and TCP; repeatable."
    ),
    click.option("--admin", metavar="ADDR:PORT", help="Where to answer HTTP: health, readiness, metrics."),
    click.option("--domain", metavar="NAME", help="The domain of the cluster."),
    click.option("--ttl", type=int, metavar="SECONDS", help="TTL of the cluster's records."),
    click.option("--service", metavar="NAMESPACE/NAME", help="The Service through which clients reach this server."),
    click.option("--pods", metavar="MODE", help="Names of pods: disabled, insecure or verified."),
    click.option(
        "--objects",
        metavar="PATH",
        help="A file or folder of Kubernetes objects, in place of an API server.",
    ),
    click.option("--kubeconfig", metavar="FILE", help="How to reach an API server from outside of its cluster."),
    click.option("--context", metavar="NAME", help="A context of the kubeconfig.  [default: its current one]"),
    click.option(
        "--upstream",
        multiple=True,
        metavar="SERVER",
        help="A server for names outside the cluster: an address, ADDR:PORT, tls://NAME, or a file; repeatable.",
    ),
    click.option("--workers", type=int, metavar="N", help="How many processes answer."),
    click.option("--state", metavar="DIR", help="A folder for a snapshot of the zone, with which a restart begins."),
    click.option(
        "--takeover", metavar="SOCKET", help="Where a server hands its addresses over to the next one of the same user."
    ),
    click.option(
        "--guardian", metavar="DIR", help="The folder into which the guardian of this node writes its report."
    ),
)


class FilePath(click.Path):
    """The path of a file; only where it says so, "-" is standard input."""

    def __init__(self, *, or_stdin: bool = False) -> None:
        """Make paths."""
        super().__init__(path_type=Path)
        self.or_stdin = or_stdin

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; an empty name is a mistake, and so is one for standard input where that is not allowed."""
        if value == "":
            self.fail("found nothing, expected the path of a file", param, ctx)
        if value == "-" and not self.or_stdin:
            self.fail('found "-", expected the path of a file: standard input is not read', param, ctx)
        return super().convert(value, param, ctx)


def in_flags(text: str, names: Mapping[str, str]) -> str:
    """Return what a server says of keys that a command sent, with the flags that they were given as.

    `names` has the flag of each key; a line begins with a key, or is about two of them.
    """
    lines = []
    for line in text.splitlines():
        about, separator, rest = line.removeprefix("/tail: ").partition(": ")
        if not separator:
            about, separator, rest = line.partition(" are both given")
        words = re.sub(r"\[\d+\]", "", about).split(" and ")
        known = all(word in names for word in words)
        told = " and ".join(names[word] for word in words) + separator + rest if known else line
        lines.append(told.replace("leave the key out", "leave the flag out"))
    return "\n".join(lines)


def flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags that take the place of keys of the configuration."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
