"""The command line: options in, a report out."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console

from loadtest import inventory, mixes, mmsg, questions
from loadtest.cost import ProcessGoneError
from loadtest.inventory import InventoryError
from loadtest.measure import OUTSTANDING, Options, measure, server_text
from loadtest.mixes import MixError
from loadtest.questions import Manner, QuestionError
from loadtest.report import ProgressLine, render, to_json

_DEFAULT = ("127.0.0.1", 1053)
_DNS = 53
_TARGET = re.compile(
    r"@?(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^\[\]#:]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?))(?:[#:](?P<port>\d{1,5}))?"
)
_OUTSIDE = {"search", "external"}  # mixes whose questions the server passes on to others
_DURATION = 10.0
_EDNS = 1232
_OPEN_WINDOW = 1 << 15
"""Outstanding questions for each client in open loop: half the IDs, so that lost ones rest before their reuse."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 80})
@click.argument("target", required=False, metavar="[ADDR[:PORT]]")
@click.option("-s", "--server", metavar="ADDR", help="Address of the server.  [default: where `make run` serves]")
@click.option(
    "-p", "--port", type=click.IntRange(1, 65535), help="Port of the server.  [default: 53, or 1053 without ADDR]"
)
@click.option(
    "-d",
    "--questions",
    "question_file",
    type=click.File(),
    help="Question file with one `name type` on each line; - is stdin.",
)
@click.option(
    "--mix", "mix_texts", multiple=True, metavar="KIND[=WEIGHT]",
    help=f"Ask a built-in mix; may be repeated. Kinds: {', '.join(mixes.KINDS)}.",
)  # fmt: skip
@click.option(
    "--objects", type=click.Path(exists=True, path_type=Path), multiple=True,
    help="Names for mixes: Kubernetes objects, a file or folder of YAML or JSON.",
)  # fmt: skip
@click.option("--names", type=click.File(), help="Names for mixes: a file with the name of one service on each line.")
@click.option("--services", type=click.IntRange(1), help="Names for mixes: number of made-up services.")
@click.option(
    "--headless", type=click.IntRange(0), default=0, help="With --services: number of headless ones in addition."
)
@click.option("--namespaces", type=click.IntRange(1), default=1, help="With --services: number of namespaces for them.")
@click.option("--service-pattern", default="svc-{i}", help="With --services: pattern of their names.")
@click.option("--headless-pattern", default="headless-{i}", help="With --headless: pattern of their names.")
@click.option("--namespace-pattern", default="ns-{i}", help="With --services: pattern of their namespaces.")
@click.option("--port-pattern", default="_http._tcp", help="With --services: the port that SRV asks for.")
@click.option(
    "--external", multiple=True, metavar="NAME",
    help="A name outside the cluster for the mixes `search` and `external`, which the server asks its upstreams for; "
    "may be repeated.",
)  # fmt: skip
@click.option("--missing", type=click.IntRange(1), default=10_000, help="Number of names in the mix `missing`.")
@click.option("--most", type=click.IntRange(1), default=200_000, help="The most questions in a mix.")
@click.option(
    "--zipf", type=click.FloatRange(0, 10), metavar="EXPONENT",
    help="Draw --most questions from the list or mix by Zipf's law: the first ones often, the last ones rarely.",
)  # fmt: skip
@click.option("--domain", default="cluster.local", help="The cluster's domain.")
@click.option(
    "--print-questions", is_flag=True, help="Print the questions as a file that dnsperf can read too; send nothing."
)
@click.option(
    "-m", "--protocol", type=click.Choice(["udp", "tcp"]), default="udp", help="TCP connections are kept and pipelined."
)
@click.option("-c", "--clients", type=click.IntRange(1), default=8, help="Number of client sockets or connections.")
@click.option(
    "-q", "--outstanding", type=click.IntRange(1), metavar="N",
    help="Most outstanding questions of all clients together; 100 in closed loop, 32,768 for each client in open loop.",
)  # fmt: skip
@click.option("-Q", "--rate", type=click.FloatRange(0, min_open=True), help="Open loop: number of questions a second.")
@click.option(
    "-l",
    "--duration",
    type=click.FloatRange(0, min_open=True),
    help="Seconds to ask; 10 if no other option ends the run.",
)
@click.option("-n", "--passes", type=click.IntRange(1), help="Number of times to ask the whole list.")
@click.option("--count", type=click.IntRange(1), help="Number of questions to ask.")
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0, 300, min_open=True),
    default=5.0,
    help="Seconds after which a question counts as lost.",
)
@click.option("--warmup", type=click.FloatRange(0), default=0.0, help="Seconds to ask before counting begins.")
@click.option(
    "-e", "--edns", type=click.IntRange(512, 65535), is_flag=False, flag_value=1232, metavar="[SIZE]",
    help="Ask with EDNS and this UDP size, 1232 if none is given.",
)  # fmt: skip
@click.option("-D", "--dnssec", is_flag=True, help="Set the DO bit; implies EDNS.")
@click.option("--recursion/--no-recursion", default=True, help="Set the flag RD.")
@click.option(
    "--pid",
    "pids",
    type=click.IntRange(1),
    multiple=True,
    help="Report the processor time of the process with this ID and its descendants; may be repeated.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True),
    help="Write the report as JSON; - is stdout, and the table then goes to stderr.",
)
@click.option("--progress/--no-progress", default=True, help="Print the progress every second, on stderr.")
@click.option("--batches/--no-batches", default=None, help="Use sendmmsg and recvmmsg.  [default: where they exist]")
def main(
    *,
    target: str | None,
    server: str | None,
    port: int | None,
    question_file: TextIO | None,
    mix_texts: tuple[str, ...],
    objects: tuple[Path, ...],
    names: TextIO | None,
    services: int | None,
    headless: int,
    namespaces: int,
    service_pattern: str,
    headless_pattern: str,
    namespace_pattern: str,
    port_pattern: str,
    external: tuple[str, ...],
    missing: int,
    most: int,
    zipf: float | None,
    domain: str,
    print_questions: bool,
    protocol: str,
    clients: int,
    outstanding: int | None,
    rate: float | None,
    duration: float | None,
    passes: int | None,
    count: int | None,
    timeout: float,
    warmup: float,
    edns: int | None,
    dnssec: bool,
    recursion: bool,
    pids: tuple[int, ...],
    json_file: str | None,
    progress: bool,
    batches: bool | None,
) -> None:
    """Ask a DNS server many questions and report how they were answered.

    The questions come from a file (-d) or from mixes (--mix) over the names of --objects, --names or --services.
    Without a server it asks 127.0.0.1:1053, where `make run` serves, and never the resolver of this machine. Closed
    loop keeps -q questions outstanding; open loop (-Q) asks at a fixed rate, and counts latency from when each question
    was due. Exit status 1 if nothing was answered or the server's address cannot be used, 2 for options or files that
    cannot be used.
    """
    pattern = inventory.Pattern(
        services or 0, namespaces, headless, service_pattern, namespace_pattern, headless_pattern, port_pattern
    )
    try:
        address = address_of(target, server, port)
        if (question_file is None) == (not mix_texts):
            raise click.UsageError("expected questions from either --questions or --mix")
        if question_file is not None:
            asked = questions.read(question_file, question_file.name)
        else:
            known = _inventory(objects, names, pattern, domain, external)
            weights = _weights(mix_texts)
            if not external and _OUTSIDE & weights.keys():
                kinds = " and ".join(f"`{kind}`" for kind in weights if kind in _OUTSIDE)
                raise click.UsageError(f"expected --external NAME for {kinds}: real servers are asked for that name")
            asked = mixes.mix(weights, known, missing_names=missing, most=most)
        asked = asked if zipf is None else mixes.zipf(asked, zipf, most)
        if print_questions:
            click.echo(questions.write(asked), nl=False)
            return
        options = Options(
            address=address,
            protocol="tcp" if protocol == "tcp" else "udp",
            clients=clients,
            outstanding=outstanding or (OUTSTANDING if rate is None else _OPEN_WINDOW * clients),
            rate=rate,
            duration=duration or (_DURATION if passes is None and count is None else None),
            count=min(passes * len(asked), count or sys.maxsize) if passes is not None else count,
            timeout=timeout,
            warmup=warmup,
            manner=Manner(recursion, edns or (_EDNS if dnssec else None), dnssec),
            pids=pids,
            batches=mmsg.available() if batches is None else batches,
        )
        errors = Console(stderr=True)
        line = ProgressLine(errors) if progress else None
        report = measure(options, asked, line)
    except (QuestionError, InventoryError, MixError, ProcessGoneError) as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{server_text(address)}: {error.strerror or error}") from None
    if line is not None:
        line.clear()
    if json_file is not None:
        with click.open_file(json_file, "wb") as out:
            out.write(to_json(report))
    (errors if json_file == "-" else Console()).print(render(report))
    if not report.counts.answered:
        sys.exit(1)


def address_of(target: str | None, server: str | None, port: int | None) -> tuple[str, int]:
    """Return the address and port of the server: from ADDR, ADDR:PORT, [ADDR]:PORT or ADDR#PORT, or from -s and -p."""
    if target is None:
        return (_DEFAULT[0], port or _DEFAULT[1]) if server is None else (server, port or _DNS)
    if server is not None or port is not None:
        raise click.UsageError(f"expected one server, got {target!r} and --server or --port")
    found = _TARGET.fullmatch(target)
    number = found and found["port"]
    if not found or (number and not 0 < int(number) < 65536):
        raise click.UsageError(f"expected a server as ADDR, ADDR:PORT or [ADDR]:PORT, got {target!r}")
    return found["bracketed"] or found["host"], int(number) if number else _DNS


def _weights(texts: Sequence[str]) -> dict[str, int]:
    weights = {}
    for text in texts:
        kind, mark, number = text.partition("=")
        if kind not in mixes.KINDS:
            raise click.UsageError(f"expected a mix of {', '.join(mixes.KINDS)}, got {kind!r}")
        if mark and not (number.isascii() and number.isdigit() and int(number) > 0):
            raise click.UsageError(f"expected KIND=WEIGHT with a whole number above 0, got {text!r}")
        weights[kind] = int(number) if mark else 1
    return weights


def _inventory(
    objects: Sequence[Path],
    names: TextIO | None,
    pattern: inventory.Pattern,
    domain: str,
    external: tuple[str, ...],
) -> inventory.Inventory:
    if bool(objects) + (names is not None) + bool(pattern.services) > 1:
        raise click.UsageError("expected one of --objects, --names and --services")
    if objects:
        return inventory.from_objects(objects, domain, external)
    if names is not None:
        return inventory.from_names(names, domain, external)
    return inventory.from_pattern(pattern, domain, external)
