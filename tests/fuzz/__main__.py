"""`python -m tests.fuzz TARGET...`: run targets under atheris, one after the other, and say what they reached.

Inputs that reach new code are kept below `--kept`, with the findings beside them. Exit status 1 if there was a finding.
"""

import importlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from tests.fuzz.pieces import mutator

CORPUS = Path(__file__).parent / "corpus"
# Each target, the modules that it is about (their lines are counted), and the octets of its longest input.
TARGETS = {
    "packet": (
        [
            *("dnsserver.wire.query", "dnsserver.wire.reply", "dnsserver.server.respond", "dnsserver.server.templates"),
            *("dnsserver.server.reply", "dnsserver.server.pending", "dnsserver.resolver.reply_cache"),
        ],
        300,
    ),
    "upstream": (["dnsserver.wire.upstream_reply", "dnsserver.wire.records", "dnsserver.wire.scope"], 1200),
    "events": (
        [
            "dnsserver.kube.decode",
            *(
                f"dnsserver.zone.{name}"
                for name in ("cluster", "index", "listing", "services", "addresses", "reverse", "answer_builder")
            ),
        ],
        800,
    ),
    "objects": (["dnsserver.kube.documents", "dnsserver.kube.plain", "dnsserver.kube.salvage"], 800),
    "configuration": (
        [
            f"dnsserver.config.{name}"
            for name in ("reader", "values", "rules", "domains", "relations", "syntax", "render")
        ],
        600,
    ),
    "corefile": (["dnsserver.config.corefile"], 600),
}
_STATISTICS = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_STALL = 10  # seconds of processor time for one input, after which it counts as one that hangs
_STANDSTILL = 600  # seconds of the clock, for code that Python cannot interrupt
_MEMORY = 1024  # MiB that a target may come to hold


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(list(TARGETS)))
@click.option("--runs", default=100_000, show_default=True, help="Number of inputs for each target.")
@click.option("--seconds", default=600, show_default=True, help="The most seconds for each target.")
@click.option("--seed", default=1, show_default=True, help="Seed of the fuzzer's random numbers; 0 chooses one.")
@click.option("--kept", type=click.Path(path_type=Path), help="A folder for inputs and findings.  [default: a new one]")
@click.option("--lines/--no-lines", default=True, help="Count the lines that the kept inputs reach.")
@click.option("--inside", is_flag=True, hidden=True, help="Run the one target in this process.")
def main(
    targets: tuple[str, ...], runs: int, seconds: int, seed: int, kept: Path | None, lines: bool, inside: bool
) -> None:
    """Run all targets, or the given ones."""
    folder = kept or Path(tempfile.mkdtemp(prefix="fuzz-"))
    if inside:
        _fuzz(targets[0], folder / targets[0], runs, seconds, seed)
        return
    failed = False
    for target in targets or TARGETS:
        (folder / target).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.fuzz", target, "--inside", "--kept", str(folder)]
        command += ["--runs", str(runs), "--seconds", str(seconds), "--seed", str(seed)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 120)
        said = dict(_STATISTICS.findall(ended.stderr))
        reached = f", {_reached(target, folder / target)}" if lines and not ended.returncode else ""
        click.echo(f"{target}: {said.get('number_of_executed_units', '?')} inputs{reached}")
        if ended.returncode:
            failed = True
            click.echo(ended.stdout[-2000:] + ended.stderr[-4000:], err=True)
            click.echo(f"{target}: a finding, in {folder / target}", err=True)
    sys.exit(failed)


def _fuzz(target: str, folder: Path, runs: int, seconds: int, seed: int) -> None:
    """Run a target in this process, which ends with it."""
    atheris = importlib.import_module("atheris")  # late: it instruments what is imported from then on
    with atheris.instrument_imports(include=TARGETS[target][0]):  # the rest takes half of the time for nothing new
        module = importlib.import_module(f"tests.fuzz.{target}")
    words = CORPUS / f"{target}.dict"
    options = [f"-runs={runs}", f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={TARGETS[target][1]}"]
    options += [f"-timeout={_STANDSTILL}", "-print_final_stats=1", f"-artifact_prefix={folder}/finding-"]
    options += [f"-rss_limit_mb={_MEMORY}"]
    options += [f"-dict={words}"] if words.exists() else []
    pieces = getattr(module, "PIECES", None)
    own = {"custom_mutator": mutator(pieces, _octetwise)} if pieces else {}
    atheris.Setup([f"fuzz-{target}", *options, str(folder), str(CORPUS / target)], _bounded(module.run), **own)
    atheris.Fuzz()


def _bounded(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return `run` with a limit on its processor time: on a busy machine, the time of the clock means nothing."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"one input takes more than {_STALL} s of processor time")

    def bounded(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, _STALL)
        run(data)

    signal.signal(signal.SIGVTALRM, give_up)
    return bounded


def _octetwise(data: bytes, most: int) -> bytes:
    """Return an input changed by the fuzzer itself; its function is only there after the fuzzer has started."""
    changed: bytes = importlib.import_module("atheris").Mutate(data, most)
    return changed


def _reached(target: str, folder: Path) -> str:
    """Return in words which share of the lines of a target's modules its inputs reach."""
    script = (
        "import sys, coverage, importlib, pathlib\n"
        f"measured = coverage.Coverage(source={TARGETS[target][0]!r}, data_file=None, config_file=False)\n"
        "measured.start()\n"
        f"run = importlib.import_module('tests.fuzz.{target}').run\n"
        "for folder in sys.argv[1:]:\n"
        "    for path in sorted(pathlib.Path(folder).iterdir()):\n"
        "        run(path.read_bytes())\n"
        "measured.stop()\n"
        "import io\n"
        "print(f'{measured.report(file=io.StringIO()):.0f} % of the lines of ' + ', '.join("
        f"name.removeprefix('dnsserver.') for name in {TARGETS[target][0]!r}))\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(CORPUS / target)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return ended.stdout.strip() or f"lines not counted: {ended.stderr[-200:]}"


if __name__ == "__main__":
    main()
