"""Kinds of failure, side by side as dig, the log, `/failures` and `explain` show them, for docs/troubleshooting.md.

A real server is asked real questions with dig, and its upstreams fail in each way. `python -m tests.e2e.kinds` writes
that part of the page. The questions and scenes are those of `tests/reasons.py` and `tests/scenes.py`.
"""

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import trio

from dnsserver.advice import advice
from tests.e2e.page import PAGE
from tests.e2e.process import Served, wait_until
from tests.forward.scripted import HOST, Script, upstream
from tests.free_port import free_port
from tests.reasons import EXAMPLES
from tests.running import write_objects
from tests.scenes import SCENES, THINGS, UP, ZONE, Example, Once, back_to

# What is wrong: the scene and the question that bring it, and the reason if there are several.
KINDS: dict[str, tuple[str, ...]] = {
    "The namespace does not exist": ("plain", "web.nowhere.svc.cluster.local"),
    "The Service does not exist": ("plain", "nobody.shop.svc.cluster.local"),
    "No endpoint of a headless Service is ready": ("plain", "slow.shop.svc.cluster.local"),
    "A headless Service has no endpoints": ("plain", "idle.shop.svc.cluster.local"),
    "The Service has no such port": ("plain", "_smtp._tcp.web.shop.svc.cluster.local"),
    "A pod of a StatefulSet is not there": ("plain", "db-9.db.shop.svc.cluster.local"),
    "The name has too many labels": ("plain", "a.b.c.web.shop.svc.cluster.local"),
    "The name is below the cluster's domain, and of no form that it has": ("plain", "somewhere.else.cluster.local"),
    "Aliases lead in a circle": ("plain", "one.shop.svc.cluster.local"),
    "Names of pods are off": ("pods off", "10-1-0-9.shop.pod.cluster.local"),
    "No pod has the address": ("pods verified", "10-1-0-8.shop.pod.cluster.local"),
    "Nothing has the address of a reverse name": ("reverse", "9.9.9.10.in-addr.arpa PTR"),
    "The cluster was not read yet": ("no API server", "web.shop.svc.cluster.local"),
    "An upstream does not answer": ("plain", "silent.example"),
    "An upstream cannot be reached": ("a closed port", "ok.example"),
    "An upstream closes its TCP connections": ("over TCP", "closes.example"),
    "An upstream fails": ("plain", "servfail.example"),
    "An upstream says why it fails": ("plain", "bogus.example"),
    "An upstream refuses": ("plain", "refused.example"),
    "An upstream does not resolve for others": ("plain", "refers.example"),
    "What an upstream sends cannot be read": ("over TCP", "junk.example"),
    "The aliases of an outside name are too many": ("plain", "chain.example"),
    "It failed a moment ago": ("plain", "servfail.example", "failure-cached"),
    "An expired answer is given, as no upstream answers": ("plain", "once.example"),
    "An upstream blocks the name": ("plain", "filtered.example"),
    "An upstream forwards back to this server": ("a loop", "ok.example"),
    "There is no upstream": ("nobody outside", "ok.example"),
    "The file of upstreams is not there": ("a file that is not there", "ok.example"),
    "A rule blocks the name": ("rules", "blocked.example"),
    "A rule rewrites the name, and the other one does not exist": ("rules", "old.example"),
    "A table of hosts does not have the name": ("rules", "x.home.example"),
    "A zone file does not have the name": ("rules", "x.corp.example"),
    "A name that DNS does not have anywhere": ("plain", "x.invalid"),
    "The client may not ask": ("strangers", "web.shop.svc.cluster.local"),
    "The client asks too much": ("a rate", "web.shop.svc.cluster.local"),
}
_LOOPS = re.compile(r"^dnsserver_upstream_looping\{.*\} 1", re.MULTILINE)
# Scenes whose ports are chosen before the server starts; without an API server it never logs that it serves.
_FIXED = ("a loop", "no API server")
_SOON = 2.0  # seconds
# What failed stays for longer than a scene takes: it is seen, whether an example asks one second or five after another.
_CACHE = "[cache]\nttl_cap = 1\nfailure_ttl = 60\nfailure_cap = 60\n"
_MORE = f'{_CACHE}[log]\nformat = "json"\n[[query_log]]\nclasses = ["all"]\n'
_LEFT_OUT = ("timestamp", "level", "logger", "client", "port", "protocol", "id", "seconds", "request", "reply", "do")


class Seen(NamedTuple):
    """What is seen of one failure, and what to do about it."""

    title: str
    command: str
    dig: tuple[str, ...]
    log: str
    failure: str
    explain: str
    todo: str


@contextmanager
def outside() -> Iterator[tuple[int, Callable[[Script], None]]]:
    """Run an upstream that does what names say; yield its port, and a function that gives it another script."""
    ready, ended = threading.Event(), trio.Event()
    found: list[Any] = []

    async def run() -> None:
        async with upstream(Once()) as server:
            found.extend((server, trio.lowlevel.current_trio_token()))
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    ready.wait(10)
    server, token = found

    def use(script: Script) -> None:
        server.script = server.script_probes = script

    try:
        yield server.port, use
    finally:
        token.run_sync_soon(ended.set)
        thread.join(10)


def seen(scene: str) -> dict[str, Seen]:
    """Run the server in a scene, ask what brings its kinds of failure, and return what is seen of each, by title."""
    with outside() as (port, use), tempfile.TemporaryDirectory() as folder:
        ports = (free_port(), free_port()) if scene in _FIXED else (0, 0)
        if scene == "a loop":
            use(back_to(lambda: ports[0]))
        words = {f"{HOST}:{port}": UP, f"{HOST}:1": UP, folder: "/etc/dns"}
        with _server(scene, Path(folder), port, ports) as server:
            if scene == "a loop":
                wait_until(lambda: _LOOPS.search(server.get("/metrics")[1]))
            examples = {title: _example(*kind) for title, kind in KINDS.items() if kind[0] == scene}
            told = {title: _ask(server, example) for title, example in examples.items()}
            wanted = {(each.question.split()[0], each.code) for each in examples.values()}
            lines, failures = _logged(server, wanted), _failures(server, wanted)
            found = {}
            for title, each in examples.items():
                name, *type_ = each.question.split()
                command = " ".join(("dig", name, *type_))
                line, failure = lines[name, each.code], failures.get((name, each.code), "")
                verdict = _explained(server, each.question)
                one = Seen(title, command, told[title], line, failure, verdict, advice(each.code))
                found[title] = Seen(*(_plain(part, words) for part in one))
            return found


def _example(scene: str, question: str, code: str = "") -> Example:
    return next(
        each for each in EXAMPLES if (each.scene, each.question) == (scene, question) and each.code.startswith(code)
    )


@contextmanager
def _server(scene: str, folder: Path, port: int, ports: tuple[int, int]) -> Iterator[Served]:
    text = SCENES[scene]
    for gap, filled in (("up", f"{HOST}:{port}"), ("closed", f"{HOST}:1"), ("long", ".".join(["x" * 60] * 3))):
        text = text.replace(f"{{{gap}}}", filled)
    settings = folder / "c.toml"
    settings.write_text(f"{text}\n{_MORE}")
    (folder / "corp.zone").write_text(ZONE)
    (folder / "kubeconfig").write_text(_KUBECONFIG)
    flags = ["--config", str(settings), "--listen", f"{HOST}:{ports[0]}", "--admin", f"{HOST}:{ports[1]}"]
    if "kubeconfig" not in text:
        flags += ["--objects", str(write_objects(folder, THINGS))]
    server = Served(*flags)
    try:
        if "kubeconfig" in text:
            server.port, server.admin = ports[0], f"http://{HOST}:{ports[1]}"
            wait_until(lambda: _answers(server))
        else:
            server.wait_serving()
        yield server
    finally:
        server.close()


def _answers(server: Served) -> bool:
    try:
        return server.get("/readyz")[0] == 503
    except OSError:
        return False


def _ask(server: Served, example: Example) -> tuple[str, ...]:
    """Return the lines in which dig tells the rcode and the errors."""
    if example.again:
        _dig(server, example.question)
        sleep(min(example.again, 1.2))
    shown = _dig(server, example.question)
    status = re.findall(r"status: (\w+)", shown)
    return (f"status: {status[0] if status else 'none'}", *re.findall(r"^; (EDE: .*)$", shown, re.MULTILINE))


def _dig(server: Served, question: str) -> str:
    command = ["dig", f"@{HOST}", "-p", str(server.port), "+tries=1", "+time=8", "+ignore", *question.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def _logged(server: Served, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the lines of the log about these names and reasons, without the fields that differ from run to run."""
    found: dict[tuple[str, str], str] = {}
    while found.keys() < wanted:
        line = server.wait_for("query")
        key = line["name"].lower().removesuffix("."), line["reason"]
        if key in wanted:
            said = {field: value for field, value in line.items() if field not in _LEFT_OUT}
            found[key] = json.dumps(said, ensure_ascii=False)
    return found


def _failures(server: Served, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return what `/failures` has of these names and reasons; not all of them are failures."""
    ends = monotonic() + _SOON
    found: dict[tuple[str, str], str] = {}
    while not wanted <= found.keys() and monotonic() < ends:
        status, body = server.get("/failures?limit=100")
        assert status == 200
        for item in json.loads(body)["items"]:
            key = item["name"].lower().removesuffix("."), item["reason"]
            found[key] = ", ".join(part for part in (f"`{item['reason']}`", item["text"]) if part)
        sleep(0.1)
    return found


def _explained(server: Served, question: str) -> str:
    """Return the last line of `dnsserver explain`."""
    name, type_ = (*question.split(), "A")[:2]
    status, body = server.get(f"/explain?name={name}.&type={type_}")
    assert status == 200
    verdict: str = json.loads(body)["verdict"]
    return verdict


def _plain(part: Any, words: dict[str, str]) -> Any:
    """Return a text, or texts, with fixed words in place of what differs between runs or machines."""
    if isinstance(part, tuple):
        return tuple(_plain(each, words) for each in part)
    for found, word in words.items():
        part = part.replace(found, word)
    return re.sub(r"more than \d+ s ago", "more than 1 s ago", re.sub(r"silent for \d+ ms", "silent for 2000 ms", part))


# ---- the page

_BEGIN, _END = "<!-- kinds: begin -->\n\n", "\n<!-- kinds: end -->"


def page(found: dict[str, Seen]) -> str:
    """Return the part of the page that has all kinds of failure."""
    return "\n".join(_block(found[title]) for title in KINDS)


def written() -> dict[str, str]:
    """Return the blocks that the page has now, by title."""
    part = PAGE.read_text("utf-8").partition(_BEGIN)[2].partition(_END)[0]
    blocks = re.split(r"^(?=### )", part, flags=re.MULTILINE)[1:]
    return {block.partition("\n")[0].removeprefix("### "): block.strip() for block in blocks}


def block(one: Seen) -> str:
    """Return the block that the page has to have about a kind."""
    return _block(one).strip()


def _block(one: Seen) -> str:
    lines = [f"### {one.title}", "", "```", f"$ {one.command}", *one.dig, "```", "", f"- Log: `{one.log}`"]
    if one.failure:
        lines.append(f"- `/failures` and the page: {one.failure}")
    lines.append(f"- `dnsserver explain`: {one.explain}")
    return "\n".join([*lines, f"- **What to do:** {one.todo}", ""])


_KUBECONFIG = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://{HOST}:1"}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
)


def main() -> None:
    """Write the part of the page that has all kinds of failure."""
    found: dict[str, Seen] = {}
    for scene in dict.fromkeys(scene for scene, *_ in KINDS.values()):
        found |= seen(scene)
    text = PAGE.read_text("utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin
    assert end
    PAGE.write_text(f"{before}{begin}{page(found)}{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
