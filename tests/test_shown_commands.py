"""The commands and settings that the Markdown files show: the programs, make and the manifests have each of them."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dnsserver.app.preflight import findings
from dnsserver.cli import cli
from dnsserver.config import load
from tests.deployment import OWNED, ROOT, container, of_kind, rendered
from tests.pages import FENCED, PAGES, title

OTHERS = {"coredns", "kube-dns", "kube-dns-autoscaler", "node-local-dns"}  # objects of other manifests
SHORT = {"deploy": "deployment", "ds": "daemonset", "svc": "service"}
PLACEHOLDERS = {"FOLDER", "OVERLAY"}


def lines(text: str) -> Iterator[str]:
    """What a page shows as code, less comments: lines of blocks, and code within a sentence."""
    prose = FENCED.sub("", text)
    blocks = [block for language, block in FENCED.findall(text) if not language]
    blocks.append("\n".join(re.findall(r"^ {4,}(\S.*)$", prose, re.MULTILINE)))
    for block in blocks:
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", prose)


def commands(text: str) -> Iterator[list[str]]:
    """What a page shows as commands, in words; both sides of a pipe are one."""
    for line in lines(text):
        plain = re.sub(r"\s+#\s.*$", "", line.strip().removeprefix("$ "))
        if re.match(r"(\S*/)?(dnsserver|make|python|kubectl|docker)( |$)", plain):
            parts = [shlex.split(part) for part in re.split(r" (?:\||>|&&) ", plain)]
            yield from (words for words in parts if len(words) > 1)


SHOWN = [(title(page), words) for page in PAGES for words in commands(page.read_text())]


def of(pattern: str) -> list[tuple[str, list[str]]]:
    """The commands that have a word like that, once each on a page."""
    found = {(page, tuple(words)) for page, words in SHOWN if any(re.fullmatch(pattern, word) for word in words)}
    return [(page, list(words)) for page, words in sorted(found)]


def test_there_are_commands_of_all_sorts() -> None:
    for pattern, least in ((r"(.*/)?dnsserver", 30), ("make", 10), ("-m", 15), ("kubectl", 40), ("-k", 8)):
        assert len(of(pattern)) >= least, pattern


# --- dnsserver


def options(command: click.Command) -> dict[str, click.Parameter]:
    named = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name: parameter for parameter in named for name in (*parameter.opts, *parameter.secondary_opts)}


def misuse(words: list[str]) -> list[str]:
    """What a command line of this program has that the program does not know."""
    name, *rest = words or [""]
    if name not in cli.commands:
        return [name]
    known = {**options(cli.commands[name]), "--help": None, "-h": None}
    wrong, values, rest = [], [], list(rest)
    while rest:
        flag, equals, _ = rest.pop(0).partition("=")
        if not flag.startswith("-"):
            values.append(flag)
        elif flag not in known:
            wrong.append(flag)
        else:
            option = known[flag]
            if isinstance(option, click.Option) and not option.is_flag and not equals and rest:
                rest.pop(0)
    places = [each.nargs for each in cli.commands[name].params if isinstance(each, click.Argument)]
    return wrong if -1 in places or len(values) <= sum(places) else [*wrong, *values]


@pytest.mark.parametrize(("page", "words"), of(r"(.*/)?dnsserver"), ids=lambda value: str(value)[:60])
def test_a_command_of_this_program_is_one(page: str, words: list[str]) -> None:
    at = max(index for index, word in enumerate(words) if re.fullmatch(r"(.*/)?dnsserver", word))
    if words[0] in {"kubectl", "docker"} and words[at - 1] != "--":
        return  # an object of that name
    assert misuse(words[at + 1 :]) == [], page


def test_misuse_is_found() -> None:
    assert misuse(["serv"]) == ["serv"]
    assert misuse(["serve", "--objets", "x"]) == ["--objets", "x"]
    assert misuse(["check", "a", "b"]) == ["a", "b"]
    assert misuse(["explain", "web.shop", "--pod", "shop/api-0"]) == []


# --- make and python -m


@pytest.mark.parametrize(("page", "words"), of("make"), ids=lambda value: str(value)[:60])
def test_a_target_and_its_variables_are_in_the_makefile(page: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"\$\({name}\)" if equals else rf"^{name}:", makefile, re.MULTILINE), f"{page}: {word}"


def flags(module: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The flags that a module of this repository adds to its parser, itself or through what it imports."""
    path = ROOT / module.replace(".", "/")
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen or not path.exists():
        return set()
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"add_argument", "option"}:
            found |= {str(word.value) for word in node.args if isinstance(word, ast.Constant)}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(("tests.", "loadtest")):
            found |= flags(str(node.module), seen | {module})
    return found


@pytest.mark.parametrize(("page", "words"), of("-m"), ids=lambda value: str(value)[:60])
def test_a_module_and_its_flags_are_there(page: str, words: list[str]) -> None:
    module, *rest = words[words.index("-m") + 1 :]
    if module == "dnsserver":
        assert misuse(rest) == [], page
        return
    known = flags(module)
    used = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert used <= known, page


# --- kubectl


@pytest.mark.parametrize(("page", "words"), of("-k"), ids=lambda value: str(value)[:60])
def test_what_is_applied_is_there(page: str, words: list[str]) -> None:
    folder = words[words.index("-k") + 1]
    assert folder in PLACEHOLDERS or (ROOT / folder / "kustomization.yaml").exists(), page


def workloads() -> dict[str, set[str]]:
    """The names of our Deployments, DaemonSets, budgets and Services, by kind as kubectl takes it."""
    kinds = {"deployment": "Deployment", "daemonset": "DaemonSet", "service": "Service"}
    kinds["poddisruptionbudget"] = "PodDisruptionBudget"
    return {
        word: {each["metadata"]["name"] for overlay in OWNED for each in of_kind(rendered(overlay), kind)}
        for word, kind in kinds.items()
    }


def named(words: list[str]) -> Iterator[tuple[str, str]]:
    """The objects that a command of kubectl names: by `kind/name`, or by `kind name`."""
    words = words[: words.index("--")] if "--" in words else words
    for word, following in zip(words, [*words[1:], "-"], strict=True):
        kinds, _, own = word.partition("/")
        name = own or following
        if not name.startswith("-") and not name.isupper():
            yield from ((SHORT.get(kind, kind), name) for kind in kinds.split(","))


@pytest.mark.parametrize(("page", "words"), of("kubectl"), ids=lambda value: str(value)[:60])
def test_objects_that_kubectl_is_asked_for_are_in_the_manifests(page: str, words: list[str]) -> None:
    ours = workloads()
    unknown = [(kind, name) for kind, name in named(words) if kind in ours and name not in ours[kind] | OTHERS]
    assert unknown == [], page


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_a_pod_is_asked_at_the_port_that_it_has(page: Path) -> None:
    flags_of_all = [flag for overlay in OWNED for flag in container(rendered(overlay))["args"]]
    ports = {int(flag.rpartition(":")[2]) for flag in flags_of_all if flag.startswith("--admin=")}
    assert {int(port) for port in re.findall(r"\bPOD:(\d+)", page.read_text())} <= ports
    forwarded = re.findall(r"port-forward \S+ \d+:(\d+)", page.read_text())
    assert {int(port) for port in forwarded} <= ports


# --- Settings


TOML = [
    (title(page), block) for page in PAGES for language, block in FENCED.findall(page.read_text()) if language == "toml"
]


@pytest.mark.parametrize(("page", "block"), TOML, ids=lambda value: str(value)[:40])
def test_settings_that_are_shown_are_taken(page: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "hosts").write_text("192.0.2.7 printer.home.example\n")
    (tmp_path / "c.toml").write_text(block)
    written = tomllib.loads(block)
    found = findings(load(tmp_path / "c.toml"))
    assert [each for each in found if re.split(r"[.\[]", each.key)[0] in written] == [], page
