"""The image: built of the Dockerfile, and started as a pod starts it: read-only, as a number, without new privileges.

It needs root, buildah, and a base: the image that the Dockerfile names where a registry or this machine has it, or what
the variable `BASE_IMAGE` names, or else a small Debian that debootstrap makes. CONTRIBUTING.md says how.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rdatatype
import pytest

from tests.deployment import ROOT

# Most of the time is the making of a base, and copies of layers; one process does it for all tests.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("image")]

TAG = f"localhost/dnsserver-test-{os.getpid()}"
NAME = "web.shop.svc.cluster.local"
PORT, ADMIN = 5453, 5480
_BUILD = 900  # seconds
_STORE = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}  # work in a container, too


def run(*command: str | Path, seconds: float = _BUILD) -> str:
    """What a command prints; its errors are in the test's report."""
    environment = os.environ | _STORE
    ended = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    return ended.stdout


def base_image(folder: Path) -> str:
    """The name of an image to build on; skips where there is none."""
    named = os.environ.get("BASE_IMAGE")
    if named:
        return named
    (usual,) = [
        line[len("ARG BASE=") :] for line in (ROOT / "Dockerfile").read_text().splitlines() if "ARG BASE" in line
    ]
    held = subprocess.run(
        ["buildah", "inspect", "--type", "image", usual],
        env=os.environ | _STORE, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    if held.returncode == 0:
        return usual
    if shutil.which("debootstrap") is None:
        pytest.skip(f"no image {usual} on this machine and no debootstrap to make another base; see CONTRIBUTING.md")
    root = folder / "base"
    release = next(line for line in Path("/etc/os-release").read_text().splitlines() if "CODENAME=" in line)
    packages = "ca-certificates,python3,python3-pip,python3-venv"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", release.partition("=")[2], root],
        capture_output=True, text=True, check=False, timeout=_BUILD,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"debootstrap cannot make a base here: {made.stdout[-200:]}")
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "copy", "-q", container, root, "/")
    run("buildah", "commit", "-q", container, "localhost/dnsserver-test-base")
    run("buildah", "rm", container)
    shutil.rmtree(root)
    return "localhost/dnsserver-test-base"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, built of the packages that the lock names, which this machine's own pip fetches."""
    if os.geteuid() or shutil.which("buildah") is None:
        pytest.skip("builds an image, which needs root and buildah")
    folder = tmp_path_factory.mktemp("image")
    base = base_image(folder)
    container = run("buildah", "from", "--pull=never", base).strip()
    # Of a process as short as this one, buildah sometimes passes nothing on.
    told = (run("buildah", "run", container, "python3", "-V").split() for _ in range(10))
    version = next(words[1] for words in told if len(words) == 2)
    run("buildah", "rm", container)
    python = ".".join(version.split(".")[:2])
    wheels = folder / "wheels"
    run(
        sys.executable, "-m", "pip", "download", "-q", "--require-hashes", "--only-binary", ":all:", "--python-version",
        python, "-d", wheels, "-r", ROOT / "requirements.lock",
    )  # fmt: skip
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    run(
        "buildah", "bud", "-q", "--pull=never", "--build-arg", f"BASE={base}", "-t", TAG,
        "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc",
        "--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro", "--volume", f"{wheels}:/wheels:ro", ROOT,
    )  # fmt: skip
    yield TAG
    run("buildah", "rmi", TAG)


@pytest.fixture(scope="module")
def root(image: str) -> Iterator[Path]:
    """The image's files."""
    container = run("buildah", "from", "--pull=never", image).strip()
    yield Path(run("buildah", "mount", container).strip())
    run("buildah", "rm", container)


def settings(image: str) -> dict[str, Any]:
    """What the image says about how it is started."""
    found: dict[str, Any] = json.loads(run("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]
    return found


def octets(folder: Path) -> int:
    """How much the files of a folder have in them."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def inside(root: Path, configured: dict[str, Any], *arguments: str) -> list[str]:
    """The command line that starts a program in the image as a pod does: see the head of this file."""
    user, _, group = configured["User"].partition(":")
    environment = ["/usr/bin/env", "-i", *configured["Env"]]
    mounts = [f"mount --bind {root} {root}", f"mount -o remount,ro,bind {root}"]
    mounts += [f"mount --rbind /{name} {root}/{name}" for name in ("proc", "dev")]
    script = " && ".join([*mounts, 'exec "$@"'])
    jail = ["chroot", f"--userspec={user}:{group}", "--groups=", str(root), *environment]
    jail += ["/bin/sh", "-c", f'cd {configured["WorkingDir"]} && exec setpriv --no-new-privs "$@"', "sh", *arguments]
    return ["unshare", "--mount", "/bin/sh", "-c", script, "sh", *jail]


def test_it_answers_with_a_read_only_root_and_no_privileges(image: str, root: Path) -> None:
    configured = settings(image)
    shutil.copytree(ROOT / "zones/demo", root / "srv/demo", dirs_exist_ok=True)
    serve = [*configured["Entrypoint"], *configured["Cmd"], "--objects", "/srv/demo"]
    serve += ["--listen", f"127.0.0.1:{PORT}", "--admin", f"127.0.0.1:{ADMIN}"]
    serve += ["--config", "/srv/dnsserver/zones/dnsserver.toml"]
    begun = time.monotonic()
    with subprocess.Popen(inside(root, configured, *serve), stderr=subprocess.PIPE, text=True) as process:
        try:
            said = []
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if '"serving"' in line or time.monotonic() - begun > 60:
                    break
            assert said, "it ended"
            assert '"serving"' in said[-1], "".join(said)
            seconds = time.monotonic() - begun
            reply = dns.query.udp(dns.message.make_query(NAME, "A"), "127.0.0.1", port=PORT, timeout=5)
            assert reply.answer
            assert reply.answer[0].rdtype == dns.rdatatype.A
            explained = subprocess.run(
                inside(root, configured, "dnsserver", "--version"),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert explained.stdout.startswith("dnsserver "), explained.stderr
        finally:
            process.terminate()
            assert process.wait(60) == 0
    of = [f"{name} {octets(path) / 2**20:.0f} MiB" for name, path in (("all", root), ("ours", root / "opt/dnsserver"))]
    print(*of, f"serving after {seconds:.1f} s", sep=", ")  # noqa: T201 - for docs/release.md


def test_it_finds_its_way_to_an_api_server(image: str, root: Path) -> None:
    """With what the image has of the package kubernetes: by a token, and by a plugin that is run for one."""
    api = "client.authentication.k8s.io/v1"
    credential = {"apiVersion": api, "kind": "ExecCredential", "status": {"token": "of-a-plugin"}}
    plugin = {"apiVersion": api, "command": "echo", "args": [json.dumps(credential)], "interactiveMode": "Never"}
    for user, authorization in ({"token": "a-token"}, "Bearer a-token"), ({"exec": plugin}, "Bearer of-a-plugin"):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (root / "srv/kubeconfig").write_text(json.dumps(config))
        loader = ["python", "-m", "dnsserver.kube.loader", "--kubeconfig", "/srv/kubeconfig"]
        found = json.loads(run(*inside(root, settings(image), *loader), seconds=60))
        assert (found["server"], found["authorization"]) == ("https://api.example:6443", authorization)


def test_it_is_small_and_can_install_nothing(root: Path) -> None:
    python = next((root / "opt/dnsserver/lib").glob("python3*"))
    assert not (python / "site-packages/pip").exists()
    assert list((python / "site-packages/dnsserver/__pycache__").glob("*.pyc"))
    assert octets(root / "opt/dnsserver") < 90 * 2**20


def test_it_says_what_it_is(image: str) -> None:
    labels = settings(image)["Labels"]
    told = {
        name.rpartition(".")[2]: text for name, text in labels.items() if name.startswith("org.opencontainers.image.")
    }
    assert told["title"] == "dnsserver"
    assert (told["version"], told["revision"]) == ("1.2.3", "abc")
