"""One measurement: clients, warm-up, the run and what it cost, brought together into a report."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from loadtest import tcp, udp
from loadtest.clients import Client, Poller
from loadtest.cost import ProcessGoneError, ProcessTimes
from loadtest.deck import Deck
from loadtest.questions import Manner, Question
from loadtest.report import Report, Setting, summarize
from loadtest.run import SECOND, Outcome, Plan, Progress, Run
from loadtest.tally import Tally

OUTSTANDING = 100
"""The default number of outstanding questions of all clients together; it is the same as in dnsperf."""


class Options(msgspec.Struct, frozen=True):
    """How to ask. `outstanding` is for all clients together, `rate` is in questions per second, times are in seconds.

    `rate` None means closed loop, any other None means no limit.
    """

    address: tuple[str, int]
    protocol: Literal["udp", "tcp"] = "udp"
    clients: int = 8
    outstanding: int = OUTSTANDING
    rate: float | None = None
    duration: float | None = None
    count: int | None = None
    timeout: float = 5.0
    warmup: float = 0.0
    manner: Manner = Manner()
    pids: tuple[int, ...] = ()
    batches: bool = True


def measure(options: Options, asked: Sequence[Question], progress: Callable[[Progress], None] | None = None) -> Report:
    """Ask the questions as the options say, and return the report; SIGINT and SIGTERM end the run early.

    Raises OSError if the server's address cannot be used, QuestionError if a question cannot be encoded, and
    ProcessGoneError if a process of `pids` does not exist.
    """
    deck = Deck(asked, options.manner)
    processes = ProcessTimes(options.pids) if options.pids else None
    poller = Poller()
    clients = _connect(options, deck, poller)
    plan = Plan(
        timeout=int(options.timeout * SECOND),
        duration=None if options.duration is None else int(options.duration * SECOND),
        count=options.count,
        rate=options.rate,
    )
    tally = Tally()
    position = 0
    try:
        if options.warmup:
            # The warm-up also waits for its outstanding questions, but for 1 s at most.
            duration, patience = int(options.warmup * SECOND), min(plan.timeout, SECOND)
            warmup = msgspec.structs.replace(plan, duration=duration, count=None, timeout=patience)
            run = Run(deck, clients, poller, warmup, Tally())
            _go(run)
            position = run.position
        own, server = time.process_time(), processes.seconds() if processes else 0.0
        outcome = _go(Run(deck, clients, poller, plan, tally, progress, position))
        own = time.process_time() - own
        spent = _spent(processes, server)
    finally:
        for client in clients:
            client.close(tally)
        poller.close()
    return summarize(
        _setting(options, len(asked)),
        outcome,
        own_seconds=own,
        server_seconds=spent,
        pids=processes.pids if processes else (),
    )


def _connect(options: Options, deck: Deck, poller: Poller) -> list[Client]:
    each, over = divmod(options.outstanding, options.clients)
    windows = [window for number in range(options.clients) if (window := each + (number < over))]
    if options.protocol == "tcp":
        return tcp.connect(options.address, deck, windows, poller)
    clients = udp.connect(options.address, deck, windows, batches=options.batches)
    for client in clients:
        poller.add(client)
    return clients


def _setting(options: Options, number: int) -> Setting:
    return Setting(
        server=server_text(options.address),
        protocol=options.protocol,
        loop="closed" if options.rate is None else "open",
        clients=min(options.clients, options.outstanding),
        outstanding=options.outstanding,
        rate=options.rate,
        questions=number,
        edns=options.manner.edns,
        dnssec=options.manner.dnssec,
        timeout_s=options.timeout,
        warmup_s=options.warmup,
        batches=options.batches and options.protocol == "udp",
    )


def _go(run: Run) -> Outcome:
    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        return run.go()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: run.stop()) for number in numbers]
    try:
        return run.go()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _spent(processes: ProcessTimes | None, before: float) -> float | None:
    try:
        return processes.seconds() - before if processes else None
    except ProcessGoneError:
        return None  # a server that died under the load: the report is wanted all the more


def server_text(address: tuple[str, int]) -> str:
    """Return an address as dig writes it, ADDR#PORT."""
    return f"{address[0]}#{address[1]}"
