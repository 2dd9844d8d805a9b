"""What a fresh clone installs, what the targets are, and what goes into the image."""

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dnsserver import __version__
from tests.deployment import ROOT

LOCKS = ["requirements.lock", "requirements-dev.lock"]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The requirements of a lock file, with their hashes."""
    joined = (ROOT / name).read_text().replace("\\\n", " ")
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in joined.splitlines():
        if line.strip() and not line.strip().startswith("#"):
            text, *hashes = line.split("--hash=")
            requirement = Requirement(text.strip())
            found[canonicalize_name(requirement.name)] = (requirement, [item.strip() for item in hashes])
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_one_version_with_hashes(name: str) -> None:
    assert locked(name)
    for requirement, hashes in locked(name).values():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_to_download_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^--?(i|index-url|extra-index-url|find-links)\b", text, re.MULTILINE)


def test_the_locks_cover_what_the_project_asks_for() -> None:
    run_time = [Requirement(text) for text in project()["project"]["dependencies"]]
    build = [Requirement(text) for text in project()["build-system"]["requires"]]
    development = [Requirement(text) for text in project()["dependency-groups"]["dev"]]
    for lock, wanted in zip(LOCKS, [run_time, [*run_time, *development, *build]], strict=True):
        found = locked(lock)
        for requirement in wanted:
            held, _ = found[canonicalize_name(requirement.name)]
            (version,) = held.specifier
            assert requirement.specifier.contains(version.version), requirement


def test_what_is_tested_is_what_is_shipped() -> None:
    development = {name: str(held[0].specifier) for name, held in locked("requirements-dev.lock").items()}
    shipped = {name: str(held[0].specifier) for name, held in locked("requirements.lock").items()}
    assert shipped.items() <= development.items()


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_no_supported_python_on_linux_is_left_out(name: str, python: str) -> None:
    linux = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    linux |= {"platform_system": "Linux", "platform_python_implementation": "CPython", "implementation_name": "cpython"}
    names = {n for n, (r, _) in locked(name).items() if r.marker is None or r.marker.evaluate(dict(linux))}
    wanted = {canonicalize_name(Requirement(text).name) for text in project()["project"]["dependencies"]}
    assert wanted <= names


def test_the_classifiers_are_the_pythons_that_are_required() -> None:
    required = Requirement(f"python{project()['project']['requires-python']}").specifier
    named = {text.rpartition(" ")[2] for text in project()["project"]["classifiers"] if re.search(r":: 3\.\d+$", text)}
    assert named == {f"3.{minor}" for minor in range(30) if required.contains(f"3.{minor}")}


def test_make_has_the_targets_that_are_promised() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    targets = {line.split()[0] for line in said.splitlines() if line.strip()}
    assert targets >= {
        "venv",
        "run",
        "test",
        "lint",
        "bench",
        "bench-sync",
        "bench-forward",
        "profile",
        "lock",
        "clean",
    }


def planned(*arguments: str) -> str:
    """What make would do, everything anew."""
    command = ["make", "--always-make", "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout


def test_running_installs_what_running_needs_only_and_shows_it() -> None:
    plan = planned("run")
    assert "-r requirements.lock" in plan
    assert "requirements-dev.lock" not in plan
    assert "--quiet" not in plan
    assert "Setting up .venv" in plan
    assert "-r requirements-dev.lock" in planned("test")


def test_make_run_serves_where_it_is_told() -> None:
    plan = planned("run", "PORT=1054", "ADMIN_PORT=8054", "ARGS=--ttl 9")
    assert "--listen 127.0.0.1:1054 --admin 127.0.0.1:8054 --ttl 9 " in plan
    assert "--listen 127.0.0.1:1053 --admin 127.0.0.1:8053 " in planned("run")


def test_make_run_says_which_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        venv = [f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.runs"]
        command = ["make", *venv, "run", "PORT=0", f"ADMIN_PORT={port}"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode != 0
    assert f"Port {port} of 127.0.0.1 is not free for the page." in found.stderr
    assert "make run PORT=1054 ADMIN_PORT=8054" in found.stderr


def test_make_help_fits_80_columns_and_has_every_target() -> None:
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert max(map(len, said.splitlines())) <= 80
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in said.split("\n\n")[0].splitlines()] == targets


@pytest.mark.parametrize("target", ["venv", "run"])
def test_make_says_which_python_it_needs(target: str) -> None:
    command = ["make", "--always-make", target, "PYTHON="]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert said.returncode != 0
    assert "3.11, 3.12 or 3.13" in said.stderr


@pytest.mark.parametrize("target", ["venv", "run"])
def test_a_python_that_is_not_supported_is_refused_by_its_version(target: str, tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" != -V ] || echo Python 3.10.13\nexit 1\n')
    old.chmod(0o755)
    command = ["make", target, f"PYTHON={old}", f"VENV={tmp_path}/venv"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert said.returncode != 0
    assert f"{old} is Python 3.10.13, expected Python 3.11, 3.12 or 3.13 with the venv module" in said.stderr


def test_continuous_integration_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci/run"
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=30)
    assert script.stat().st_mode & 0o100
    assert script.read_text().rstrip().endswith("\nexec make test")


def test_packages_that_tests_use_are_told_to_contributors() -> None:
    (packages,) = re.findall(r"^PACKAGES=\(([^)]*)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    told = (ROOT / "CONTRIBUTING.md").read_text()
    assert [name for name in packages.split() if f"`{name}`" not in told] == []


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_uses_what_a_hash_names(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    assert any(".ci/run" in step.get("run", "") for step in steps)
    makes = re.findall(r"make ([a-z][a-z-]*)", " ".join(step.get("run", "") for step in steps))
    assert set(makes) <= set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_forges_run_every_supported_python() -> None:
    test = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    named = {text.rpartition(" ")[2] for text in project()["project"]["classifiers"] if re.search(r":: 3\.\d+$", text)}
    assert set(test["strategy"]["matrix"]["python"]) == named


def test_a_release_is_checked_then_made_then_signed_by_its_digest() -> None:
    (job,) = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"].values()
    steps = [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]
    order = [
        ".ci/run", "make release-check", "make wheel sbom", "docker/build-push-action", "cosign sign",
        "actions/attest-build-provenance", "make release-files", "actions/attest-build-provenance", "gh release create",
    ]  # fmt: skip
    found = [next((name for name in order if name in step), "") for step in steps]
    assert [name for name in found if name] == order
    (build,) = [step["with"] for step in job["steps"] if step.get("id") == "image"]
    assert (build["sbom"], build["provenance"], build["push"]) == (True, "mode=max", True)
    assert set(build["platforms"].split(",")) == {"linux/amd64", "linux/arm64"}
    given = {line.partition("=")[0] for line in build["build-args"].splitlines()}
    assert given == {words[0].partition("=")[0] for words in instructions("ARG")} - {"BASE"}  # as it was reviewed
    signed = [step["run"] for step in job["steps"] if "cosign sign" in step.get("run", "")]
    assert all("@${{ steps.image.outputs.digest }}" in line for line in signed)


def test_what_a_hash_names_is_followed() -> None:
    settings = json.loads((ROOT / ".github/renovate.json").read_text())
    assert set(settings["enabledManagers"]) == {"dockerfile", "github-actions"}
    assert settings["pinDigests"] is True


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name)
def test_a_form_asks_for_something(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name != "config.yml":
        assert form.keys() >= {"name", "description", "body"}
        assert len({field["id"] for field in form["body"]}) == len(form["body"])


def copy_of_the_project(folder: Path) -> Path:
    for name in ("Makefile", "CHANGELOG.md", "manifests", "zones", "dnsserver/__init__.py"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=280)


def test_a_release_needs_its_version_and_its_changes(tmp_path: Path) -> None:
    folder = copy_of_the_project(tmp_path)
    tag = f"v{__version__}"
    assert "expected v" in make(folder, "release-check", "TAG=v999").stderr
    assert make(folder, "release-check", f"TAG={tag}").returncode == 0
    notes = (folder / "dist/NOTES.md").read_text()
    assert notes.strip().startswith("- ")
    assert "##" not in notes
    (folder / "CHANGELOG.md").write_text("# Changes\n")
    assert "says nothing of" in make(folder, "release-check", f"TAG={tag}").stderr


def test_manifests_of_a_release_name_the_image_by_its_digest(tmp_path: Path) -> None:
    folder = copy_of_the_project(tmp_path)
    image = f"registry.example/dnsserver@sha256:{'ab' * 32}"
    assert "expected NAME@sha256" in make(folder, "release-files", "IMAGE=dnsserver:1").stderr
    assert make(folder, "release-files", f"IMAGE={image}").returncode == 0
    with tarfile.open(folder / "dist/dnsserver-manifests.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    texts = [path.read_text() for path in (tmp_path / "unpacked/dnsserver/manifests").rglob("*.yaml")]
    images = [line.split()[-1] for text in texts for line in text.splitlines() if " image: dnsserver" in line]
    assert images == []
    assert sum(text.count(f"image: {image}") for text in texts) >= 2
    assert (tmp_path / "unpacked/dnsserver/zones/dnsserver.toml").exists()


def test_what_a_release_is_made_of_is_what_the_lock_names(tmp_path: Path) -> None:
    """Of this environment here, which has what tests need besides."""
    pytest.importorskip("cyclonedx_py", reason="needs `make venv` once more")
    folder = copy_of_the_project(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "README.md", folder)
    made = make(folder, "-o", "venv", "sbom", f"BIN={Path(sys.executable).parent}", f"SBOM_OF={sys.executable}")
    assert made.returncode == 0, made.stderr
    told = json.loads((folder / "dist/dnsserver.cdx.json").read_text())
    root = told["metadata"]["component"]
    assert (told["bomFormat"], root["name"], root["version"]) == ("CycloneDX", "dnsserver", __version__)
    there = {(canonicalize_name(each["name"]), each["version"]) for each in told["components"]}
    here = {
        name: held
        for name, (held, _) in locked("requirements.lock").items()
        if not held.marker or held.marker.evaluate()
    }
    assert {(name, str(held.specifier)[2:]) for name, held in here.items()} <= there
    needed = {each["ref"]: each.get("dependsOn", []) for each in told["dependencies"]}
    assert any(ref.lower().startswith("trio==") for ref in needed[root["bom-ref"]])
    assert not (folder / "dist/pyproject.toml").exists()


def test_the_list_of_a_release_is_of_an_environment_with_nothing_else() -> None:
    plan = planned("sbom")
    assert "--clear --without-pip dist/locked" in plan
    assert "-r requirements.lock" in plan
    assert "cyclonedx-py environment" in plan


def dockerfile() -> list[list[str]]:
    """The instructions, each as its words."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip()]


def instructions(name: str) -> list[list[str]]:
    return [words[1:] for words in dockerfile() if words[0] == name]


def test_the_image_has_two_stages_of_one_slim_python() -> None:
    stages = [words[0] for words in instructions("FROM")]
    assert len(stages) == 2
    assert set(stages) == {"${BASE}"}
    [[base], *_] = instructions("ARG")
    assert re.fullmatch(r"BASE=python:3\.13-slim@sha256:[0-9a-f]{64}", base)


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[0])
    last = [words[0] for words in dockerfile()]
    assert "RUN" not in last[last.index("USER") :]


def test_the_image_starts_the_server() -> None:
    assert instructions("ENTRYPOINT") == [['["python",', '"-m",', '"dnsserver"]']]
    assert instructions("CMD") == [['["serve"]']]
    assert instructions("EXPOSE") == [["53/udp", "53/tcp", "8053/tcp"]]


def test_the_image_installs_from_the_lock_by_hash_and_compiles_ahead() -> None:
    runs = [" ".join(words) for words in instructions("RUN")]
    (install,) = [run for run in runs if "pip" in run and " install " in run]
    assert "--require-hashes" in install
    assert install.endswith("requirements.lock")
    assert any("compileall" in run for run in runs)


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [words[:-1] for words in instructions("COPY") if not words[0].startswith("--from")]
    copied = {source for words in sources for source in words}
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_has_the_configuration_where_serve_looks() -> None:
    (folder,) = [words[0] for words in instructions("WORKDIR")]
    (target,) = [words[1] for words in instructions("COPY") if words[0] == "zones/dnsserver.toml"]
    assert Path(target).relative_to(folder) == Path("zones")


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    """Whatever lies beside the code that reads it is in what is installed."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "dnsserver").rglob("*.*") if path.suffix != ".pyc"}
    assert {"dnsserver/page/files/page.html", "dnsserver/page/files/page.js", "dnsserver/page/files/page.css"} <= there
    assert there <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize("version", ["(3, 8, 1)", "(3, 10, 99)"])
def test_an_older_python_says_which_one_is_needed(version: str) -> None:
    code = f"import sys; sys.version_info = {version}; import runpy; runpy.run_module('dnsserver', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("dnsserver needs Python 3.11, 3.12 or 3.13, and ")


def test_an_older_python_can_read_what_says_that() -> None:
    ast.parse((ROOT / "dnsserver/__init__.py").read_text(), feature_version=(3, 4))
