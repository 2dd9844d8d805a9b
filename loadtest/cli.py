"""The command line: options in, a report out."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

import click
import msgspec
from rich.console import Console

from loadtest import inventory, mixes, mmsg, questions, tcp, udp
from loadtest.clients import Client, Poller
from loadtest.cost import ProcessGoneError, ProcessTimes
from loadtest.deck import Deck
from loadtest.inventory import InventoryError
from loadtest.mixes import MixError
from loadtest.questions import Manner, Question, QuestionError
from loadtest.report import ProgressLine, Report, Setting, render, summarize, to_json
from loadtest.run import SECOND, Plan, Progress, Run

_OUTSTANDING = 100
_DURATION = 10.0
_EDNS = 1232
_OPEN_WINDOW = 1 << 15
"""Outstanding questions a client in open loop: half the IDs, so that lost ones rest before their reuse."""


class Options(msgspec.Struct, frozen=True):
    """How to ask: `window` questions outstanding for each client, times in seconds, None for no bound or no rate."""

    address: tuple[str, int]
    protocol: Literal["udp", "tcp"] = "udp"
    clients: int = 8
    window: int = 13
    rate: float | None = None
    duration: float | None = None
    count: int | None = None
    timeout: float = 5.0
    warmup: float = 0.0
    manner: Manner = Manner()
    pids: tuple[int, ...] = ()
    batches: bool = True


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110})
@click.argument("target", required=False, metavar="[ADDR[#PORT]]")
@click.option("-s", "--server", default="127.0.0.1", help="Address of the server.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), default=53, help="Port of the server.")
@click.option(
    "-d", "--questions", "question_file", type=click.File(), help="Question file, `name type` a line; - is stdin."
)
@click.option(
    "--mix", "mix_texts", multiple=True, metavar="KIND[=WEIGHT]",
    help=f"Ask a built-in mix; may be repeated. Kinds: {', '.join(mixes.KINDS)}.",
)  # fmt: skip
@click.option(
    "--objects", type=click.Path(exists=True, path_type=Path), multiple=True,
    help="Names for mixes: Kubernetes objects, a file or folder of YAML or JSON.",
)  # fmt: skip
@click.option("--names", type=click.File(), help="Names for mixes: a file with a service's name a line.")
@click.option("--services", type=click.IntRange(1), help="Names for mixes: so many made-up services.")
@click.option("--headless", type=click.IntRange(0), default=0, help="With --services: so many headless ones too.")
@click.option("--namespaces", type=click.IntRange(1), default=1, help="With --services: the namespaces they are in.")
@click.option("--service-pattern", default="svc-{i}", help="With --services: their names.")
@click.option("--headless-pattern", default="headless-{i}", help="With --headless: their names.")
@click.option("--namespace-pattern", default="ns-{i}", help="With --services: the namespaces' names.")
@click.option("--port-pattern", default="_http._tcp", help="With --services: the port that SRV asks for.")
@click.option("--external", multiple=True, help="External name for the mixes `search` and `external`; may be repeated.")
@click.option("--missing", type=click.IntRange(1), default=10_000, help="Different names in the mix `missing`.")
@click.option("--most", type=click.IntRange(1), default=200_000, help="Questions in a mix at most.")
@click.option("--domain", default="cluster.local", help="The cluster's domain.")
@click.option(
    "--print-questions", is_flag=True, help="Print the questions as a file that dnsperf reads too; ask nothing."
)
@click.option(
    "-m", "--protocol", type=click.Choice(["udp", "tcp"]), default="udp", help="TCP is persistent and pipelined."
)
@click.option("-c", "--clients", type=click.IntRange(1), default=8, help="Client sockets or connections.")
@click.option(
    "-q", "--outstanding", type=click.IntRange(1), metavar="N",
    help="Outstanding questions over all clients; 100 in closed loop, in open loop as many as there are IDs.",
)  # fmt: skip
@click.option("-Q", "--rate", type=click.FloatRange(0, min_open=True), help="Open loop: so many questions a second.")
@click.option(
    "-l", "--duration", type=click.FloatRange(0, min_open=True), help="Seconds to ask; 10 if nothing else ends it."
)
@click.option("-n", "--passes", type=click.IntRange(1), help="Ask the whole list so many times.")
@click.option("--count", type=click.IntRange(1), help="Ask so many questions.")
@click.option(
    "-t", "--timeout", type=click.FloatRange(0, 300, min_open=True), default=5.0, help="Seconds until one is lost."
)
@click.option("--warmup", type=click.FloatRange(0), default=0.0, help="Seconds to ask before anything is counted.")
@click.option(
    "-e", "--edns", type=click.IntRange(512, 65535), is_flag=False, flag_value=1232, metavar="[SIZE]",
    help="Ask with EDNS and this UDP size, 1232 if none is given.",
)  # fmt: skip
@click.option("-D", "--dnssec", is_flag=True, help="Set the DO bit; implies EDNS.")
@click.option("--recursion/--no-recursion", default=True, help="Set the flag RD.")
@click.option(
    "--pid", "pids", type=click.IntRange(1), multiple=True, help="Report the processor time of it and its children."
)
@click.option(
    "--json", "json_file", type=click.File("wb"), help="Write the report as JSON; with - the table goes to stderr."
)
@click.option("--progress/--no-progress", default=True, help="Say every second how it goes, on stderr.")
@click.option("--batches/--no-batches", default=None, help="Use sendmmsg and recvmmsg.  [default: where they exist]")
def main(
    *,
    target: str | None,
    server: str,
    port: int,
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
    json_file: BinaryIO | None,
    progress: bool,
    batches: bool | None,
) -> None:
    """Ask a DNS server many questions and report how they were answered.

    The questions come from a file (-d) or from mixes (--mix) over the names of --objects, --names or --services.
    Closed loop keeps -q questions outstanding; open loop (-Q) asks at a fixed rate, and counts latency from when each
    question was due. Exit status 1 if nothing was answered, 2 for options or files that cannot be used.
    """
    pattern = inventory.Pattern(
        services or 0, namespaces, headless, service_pattern, namespace_pattern, headless_pattern, port_pattern
    )
    try:
        address = _address(target, server, port)
        if (question_file is None) == (not mix_texts):
            raise click.UsageError("expected questions from either --questions or --mix")
        if question_file is not None:
            asked = questions.read(question_file, question_file.name)
        else:
            known = _inventory(objects, names, pattern, domain, external or inventory.EXTERNAL)
            asked = mixes.mix(_weights(mix_texts), known, missing_names=missing, most=most)
        if print_questions:
            click.echo(questions.write(asked), nl=False)
            return
        options = Options(
            address=address,
            protocol="tcp" if protocol == "tcp" else "udp",
            clients=clients,
            window=-(-(outstanding or (_OUTSTANDING if rate is None else _OPEN_WINDOW * clients)) // clients),
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
        json_file.write(to_json(report))
    (errors if json_file is not None and json_file.name == "-" else Console()).print(render(report))
    if not report.counts.answered:
        sys.exit(1)


def measure(options: Options, asked: Sequence[Question], progress: Callable[[Progress], None] | None = None) -> Report:
    """Ask the questions as the options say, and give the report; SIGINT and SIGTERM end it early.

    Raises OSError if the server's address cannot be used, QuestionError, ProcessGoneError.
    """
    deck = Deck(asked, options.manner)
    processes = ProcessTimes(options.pids) if options.pids else None
    poller = Poller()
    clients = _connect(options, deck, poller)
    plan = Plan(
        window=options.window,
        timeout=int(options.timeout * SECOND),
        duration=None if options.duration is None else int(options.duration * SECOND),
        count=options.count,
        rate=options.rate,
    )
    position = 0
    if options.warmup:
        # What is outstanding when the warm-up ends is waited for, but not for as long as the run would.
        warmup = msgspec.structs.replace(
            plan, duration=int(options.warmup * SECOND), count=None, timeout=min(plan.timeout, SECOND)
        )
        run = Run(deck, clients, poller, warmup, lambda _: None)
        with _ended_by_signals(run):
            run.go()
        position = run.position
    run = Run(deck, clients, poller, plan, progress or (lambda _: None), position)
    own, server = time.process_time(), processes.seconds() if processes else None
    with _ended_by_signals(run):
        outcome = run.go()
    own = time.process_time() - own
    if processes is not None and server is not None:
        server = processes.seconds() - server
    for client in clients:
        client.close(outcome.tally)
    poller.close()
    return summarize(
        _setting(options, len(asked)),
        outcome,
        own_seconds=own,
        server_seconds=server,
        pids=processes.pids if processes else (),
    )


def _connect(options: Options, deck: Deck, poller: Poller) -> list[Client]:
    if options.protocol == "tcp":
        return tcp.connect(options.address, deck, options.clients, options.window, poller)
    clients = udp.connect(options.address, deck, options.clients, options.window, batches=options.batches)
    for client in clients:
        poller.add(client)
    return clients


def _setting(options: Options, number: int) -> Setting:
    return Setting(
        server=server_text(options.address),
        protocol=options.protocol,
        loop="closed" if options.rate is None else "open",
        clients=options.clients,
        outstanding=options.window * options.clients,
        rate=options.rate,
        questions=number,
        edns=options.manner.edns,
        dnssec=options.manner.dnssec,
        timeout_s=options.timeout,
        warmup_s=options.warmup,
        batches=options.batches and options.protocol == "udp",
    )


@contextmanager
def _ended_by_signals(run: Run) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's; tests run elsewhere
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: run.stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def server_text(address: tuple[str, int]) -> str:
    """Give an address as dig writes it, ADDR#PORT."""
    return f"{address[0]}#{address[1]}"


def _address(target: str | None, server: str, port: int) -> tuple[str, int]:
    if target is None:
        return server, port
    host, mark, number = target.lstrip("@").partition("#")
    if not host or (mark and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536)):
        raise click.UsageError(f"expected a server as ADDR or ADDR#PORT, got {target!r}")
    return host, int(number) if mark else port


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
