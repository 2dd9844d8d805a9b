"""What a log of queries costs: `python -m tests.bench.logged [--rounds 5] [--rate 1000]`, 3 minutes.

The same server without a log, with one of denials and errors, and with one of everything in CoreDNS's form, in turns:
processor time of all its threads for a query that dnsperf asks in closed loop. Outside names are NSD's, where that is
installed.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from loadtest.questions import Question, write
from tests.bench.load import dnsperf
from tests.bench.processes import Running, found, running
from tests.bench.yardsticks import ALL, Zone, serving
from tests.cluster import namespace, service
from tests.free_port import free_port

_SERVICES = 10_000
_FRESH = 40_000
_ONCE = ("-n", "1", "-q", "100")
_AGAIN = ("-l", "2")
_QUESTION = Question("svc0.shop.svc.cluster.local", "A")
_OUTSIDE = Zone("example", ["@ 3600 SOA ns hm 1 7200 1800 86400 300", "@ 3600 NS ns", "* 3600 A 192.0.2.1"],
                Question("ready.example", "A"))  # fmt: skip


def logs(rate: int) -> dict[str, str]:
    """Return the configurations by name; the first one has no query log."""
    return {
        "no log": "",
        "denial, error": f"[[query_log]]\nrate = {rate}\n",
        "all": f'[[query_log]]\nclasses = ["all"]\nformat = "common"\nrate = {rate}\n',
    }


def questions(folder: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Yield a name, a file of questions and options of dnsperf for each kind of question, round after round.

    In the kinds `missing` and `forward` all names are new each time.
    """
    number = itertools.count()

    def file(name: str, asked: list[Question]) -> Path:
        path = folder / name
        path.write_text(write(asked))
        return path

    def fresh(form: str) -> list[Question]:
        return [Question(form.format(n), "A") for n in itertools.islice(number, _FRESH)]

    some = [Question(f"svc{n}.shop.svc.cluster.local", "A") for n in range(1000)]
    gone = [Question(f"gone{n}.shop.svc.cluster.local", "A") for n in range(1000)]
    while True:
        yield "hit", file("hit", some), _AGAIN
        yield "hit of a missing name", file("gone", gone), _AGAIN
        yield "missing", file("missing", fresh("none{}.shop.svc.cluster.local")), _ONCE
        yield "forward", file("forward", fresh("f{}.example")), _ONCE


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--rate", type=int, default=1000)
    given = arguments.parse_args()
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        things = [service(f"svc{n}", f"10.96.{n // 250}.{n % 250 + 1}") for n in range(_SERVICES)]
        objects = folder / "objects.json"
        objects.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace("shop"), *things]}))
        nsd = next(yardstick for yardstick in ALL if yardstick.name == "NSD")
        upstream = stack.enter_context(serving(nsd, folder, _OUTSIDE)).port if found("nsd") else 9
        servers: dict[str, Running] = {}
        for number, (log, text) in enumerate(logs(given.rate).items()):
            settings, port = folder / f"{number}.toml", free_port()
            settings.write_text(text)
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "dnsserver",
                "serve",
                "--config",
                settings,
                "--objects",
                objects,
            ]
            command += [
                "--listen",
                f"127.0.0.1:{port}",
                "--admin",
                "127.0.0.1:0",
                "--upstream",
                f"127.0.0.1:{upstream}",
            ]
            servers[log] = stack.enter_context(running(log, command, port, _QUESTION, folder / f"{number}.log"))
        rounds = questions(folder)
        for _ in range(given.rounds):
            for what, path, options in itertools.islice(rounds, 4):
                for log, server in servers.items():
                    run = dnsperf(server, path, *options)
                    costs.setdefault((what, log), []).append(run.cost)
        for number, log in enumerate(servers):
            lines = (folder / f"{number}.log").read_text(errors="replace").splitlines()
            queries = sum('"event":"query"' in line or line.startswith("[INFO]") for line in lines)
            print(f"{log}: {queries} lines of queries")
    show(costs, list(logs(given.rate)))


def show(costs: dict[tuple[str, str], list[float]], names: list[str]) -> None:
    """Print the medians, and the medians of the ratios to the server without a log."""
    print("| processor time a query | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for what in dict.fromkeys(what for what, _ in costs):
        without, *_ = (costs[what, name] for name in names)
        cells = [f"{median(without):.1f} µs"]
        for name in names[1:]:
            ratio = median(one / other for one, other in zip(costs[what, name], without, strict=True))
            cells.append(f"{median(costs[what, name]):.1f} µs, {ratio:.2f}")
        print(f"| {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
