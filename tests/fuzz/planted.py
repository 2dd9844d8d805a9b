"""Bugs that are planted to see whether the targets find them: `python -m tests.fuzz.planted [TARGET...]`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RUNS = 50_000  # the most inputs for each bug
SECONDS = 240  # the most for each bug


class Bug(NamedTuple):
    """A bug: the target that has to find it, and the text of a file that is replaced."""

    target: str
    file: str
    old: str
    new: str


BUGS = {
    "the question comes back in lower case": Bug(
        "packet", "wire/reply.py", "return wire[:start] + question +", "return wire[:start] + question.lower() +"
    ),
    "a record of additional data may end past the packet": Bug(
        "packet", "wire/query.py", "        if position > len(packet):\n", "        if position > len(packet) + 9:\n"
    ),
    "a reply that is cut keeps its counts": Bug(
        "packet", "wire/reply.py", "return Body(kept[0], kept[1], kept[2],", "return Body(*left,"
    ),
    "an address may have any length": Bug(
        "upstream", "wire/records.py", "if end - start != ADDRESS_SIZES.get(type_, end - start):", "if end < start:"
    ),
    "a name in rdata may end before its field": Bug(
        "upstream",
        "wire/records.py",
        "if position + rest != end if rest >= 0 else position > end:",
        "if position > end:",
    ),
    "a pointer may lead anywhere": Bug(
        "upstream",
        "wire/records.py",
        "self._read[known[target]]",
        "self._read[known.get(target, 0)]",
    ),
    "a change of a service's address is not told": Bug(
        "events",
        "zone/index.py",
        "        self.changed.update(after)\n        self._services",
        "        self._services",
    ),
    "a pod that ended keeps its address": Bug(
        "events",
        "zone/index.py",
        "            if namespaces:\n                self._pod_namespaces",
        "            if namespace:\n                namespaces.append(namespace)\n                self._pod_namespaces",
    ),
    "a whole number in YAML may be none": Bug(
        "objects",
        "kube/plain.py",
        "    except ValueError:\n        name = tag",
        "    except ZeroDivisionError:\n        name = tag",
    ),
    "a chain that comes back to itself has no end": Bug(
        "upstream",
        "wire/upstream_reply.py",
        "if name in seen or len(seen) > m.MAX_CHAIN:",
        "if len(seen) > m.MAX_CHAIN:",
    ),
    "a template forgets the flag that it was asked with": Bug(
        "packet",
        "server/templates.py",
        "template = self._table.get(packet[2:12] + packet[root:])",
        "template = self._table.get(bytes((1, 0)) + packet[4:12] + packet[root:])",
    ),
    "aliases stand for as much as they like": Bug(
        "objects", "kube/plain.py", "        if self._aliased > ALIASED:", "        if self._aliased < 0:"
    ),
    "a quote in a value is printed as it is": Bug(
        "configuration",
        "config/render.py",
        'json.dumps(str(value), ensure_ascii=False).replace("\\x7f", "\\\\u007f")',
        "f'\"{value}\"'",
    ),
    "a control character comes into a comment": Bug(
        "corefile",
        "config/corefile/toml.py",
        'character if character.isprintable() else " "',
        'character if character.isprintable() or character == "\\x7f" else " "',
    ),
}


def tried(bug: Bug, folder: Path, runs: int, seconds: int) -> tuple[bool, str]:
    """Run the target of a bug in a copy of the project that has the bug.

    Return whether there was a finding, and how many inputs were tried; the first inputs are those of the corpus.
    """
    for name in ("dnsserver", "tests", "zones"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "dnsserver" / bug.file
    text = path.read_text()
    assert text.count(bug.old) == 1, f"{bug.file} does not have exactly once what is to be replaced: {bug.old!r}"
    path.write_text(text.replace(bug.old, bug.new))
    command = [sys.executable, "-P", "-m", "tests.fuzz", bug.target, "--no-lines", "--kept", str(folder / "kept")]
    command += ["--runs", str(runs), "--seconds", str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds + 150
    )
    inputs = re.search(rf"^{bug.target}: (\S+) inputs", ended.stdout, re.MULTILINE)
    is_found = any((folder / "kept" / bug.target).glob("finding-*")) and ended.returncode == 1
    return is_found, inputs[1] if inputs else "?"


def main() -> None:
    """Plant one bug after the other, and print which were found."""
    missed = 0
    for name, bug in BUGS.items():
        if sys.argv[1:] and bug.target not in sys.argv[1:]:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            is_found, inputs = tried(bug, Path(folder), RUNS, SECONDS)
        missed += not is_found
        said = f"{'found' if is_found else 'MISSED'}, {inputs} inputs in {time.monotonic() - begun:.0f} s"
        print(f"{bug.target}: {name}: {said}", flush=True)  # noqa: T201
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
