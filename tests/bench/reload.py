"""What a change of the configuration costs, and whether any question is lost by it.

    .venv/bin/python -m tests.bench.reload                  5,000 questions/s, 1,000 changes, one process: 2 minutes
    .venv/bin/python -m tests.bench.reload --changes 100

Prints a table: how many questions were lost or answered by no configuration that was in force, how long nothing else
ran while a change was put in force, alone and with full caches, and what it costs to look at the files.
"""

import argparse
import tempfile
import time
from pathlib import Path

import trio

from dnsserver.app.file_watch import look
from dnsserver.forward.answer_cache import AnswerCache
from dnsserver.forward.outcome import FORWARDED, Outcome, Question
from dnsserver.forward.settings import CacheSettings
from dnsserver.resolver.altered import Alteration, Altered
from dnsserver.resolver.reply_cache import AgingReply, ReplyCache
from dnsserver.wire.message import Body
from dnsserver.wire.name import from_text
from tests.app.changing import changing

_ROUNDS = 5
_PAUSE = 0.05  # seconds between two changes


async def under_load(folder: Path, rate: int, changes: int, workers: int) -> list[tuple[str, str, str]]:
    """Return rows about the questions that were asked while the files changed."""
    lag = 2 if workers > 1 else 0
    async with changing(folder, "--workers", str(workers), lag=lag) as server, trio.open_nursery() as nursery:
        done = trio.Event()
        nursery.start_soon(server.load, rate, 64, done)
        await trio.sleep(1)
        began = trio.current_time()
        await server.change(changes, pause=_PAUSE)
        seconds = trio.current_time() - began
        scraped = await server.metrics()
        done.set()
    found = server.found
    count = scraped["dnsserver_reload_seconds_count"].value
    mean = scraped["dnsserver_reload_seconds_sum"].value / max(1, count)
    lag_mean = scraped["dnsserver_loop_lag_seconds_sum"].value / scraped["dnsserver_loop_lag_seconds_count"].value
    return [
        ("changes put in force, refused", f"{found.good}, {found.bad} in {seconds:.0f} s", ""),
        ("questions asked", f"{found.asked:,}", ""),
        ("lost", f"{found.lost}", "0"),
        ("answered by no configuration in force", f"{found.wrong}", "0"),
        ("slowest answer", f"{found.slowest * 1000:.0f} ms", ""),
        ("event loop held for a change, mean", f"{mean * 1000:.2f} ms", ""),
        ("event loop's lag, mean, reading and parsing beside it", f"{lag_mean * 1000:.2f} ms", ""),
    ]


def full_caches() -> list[tuple[str, str, str]]:
    """Return rows about the time to search full caches for entries that a change of 1 or of 100 domains can alter."""
    replies = ReplyCache()
    table = replies.add_table("udp", "1")
    answers = AnswerCache(CacheSettings())
    number = 0
    while True:
        name = from_text(f"host-{number}.zone-{number % 997}.example")
        question = name + b"\0\1\0\1"
        wire = b"\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"
        replies.keep(
            table, b"\1\0\0\1\0\0\0\0\0\0" + question, AgingReply(wire, (1, 0, "forwarded"), (), (), 0.0, 300.0)
        )
        body = Body(1, 0, 0, wire[10 + len(question) :], (6,))
        answers.put(Question(name, 1), Outcome(0, body, False, FORWARDED, 0.0, 300.0))
        number += 1
        if not number % 1000 and replies.statistics().evicted and answers.statistics().size > 31 << 20:
            break
    rows = []
    for count in (1, 100):
        altered = Altered(routes=frozenset(from_text(f"zone-{each}.test") for each in range(count)))
        best = min(_look_through(replies, answers, Alteration(altered)) for _ in range(_ROUNDS))
        held = f"{len(table.replies):,} replies and {answers.statistics().entries:,} answers"
        rows.append((f"{held} looked through for {count} domain{'s' * (count > 1)}", f"{best * 1000:.1f} ms", ""))
    return rows


def _look_through(replies: ReplyCache, answers: AnswerCache, alteration: Alteration) -> float:
    labels = alteration.labels
    return _timed(
        lambda: (replies.drop_altered(alteration.of_reply, labels), answers.drop(alteration.of_answer, labels))
    )


def watching() -> tuple[str, str, str]:
    """Return a row about the time that a look at ten files takes."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{number}" for number in range(10)]
        for file in files:
            Path(file).write_text("x")
        seconds = min(_timed(lambda: [look(files, [f"{folder}/*"]) for _ in range(100)]) for _ in range(_ROUNDS)) / 100
    return "a look at ten files and a pattern, once a second", f"{seconds * 1e6:.0f} µs", ""


def _timed(call: object) -> float:
    began = time.process_time()
    call()  # type: ignore[operator]
    return time.process_time() - began


def main() -> None:
    """Run everything, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=5000, help="questions a second")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = trio.run(under_load, Path(folder), options.rate, options.changes, options.workers)
    rows += [*full_caches(), watching()]
    print("| | found | wanted |\n|:---|---:|---:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
