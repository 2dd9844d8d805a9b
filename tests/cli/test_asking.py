"""`dnsserver explain` and `dump` by objects at hand: their lines, JSON, exit status."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from dnsserver.cli import cli
from dnsserver.explain.report import Explanation
from tests.cluster import namespace, service
from tests.running import write_objects

SHOP = "shop.svc.cluster.local"
NOBODY = ("--upstream", "127.0.0.1:1")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> str:
    things = [namespace("shop"), service("web", "10.9.0.1"), service("kube-dns", "10.96.0.10", namespace="kube-system")]
    return str(write_objects(tmp_path_factory.mktemp("objects"), things))


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, words, prog_name="dnsserver")
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("words", "status", "last"),
    [
        (("web", "--namespace", "shop"), 0, "web resolves as web.shop.svc.cluster.local. to 10.9.0.1"),
        (
            ("wbe", "--namespace", "shop", "--type", "A"),
            1,
            f"wbe does not resolve: wbe.{SHOP}. A: there is no such Service in the namespace. Did you mean web.{SHOP}?",
        ),
    ],
)
def test_the_last_line_is_the_verdict(objects: str, words: tuple[str, ...], status: int, last: str) -> None:
    found, out, err = run("explain", *words, "--objects", objects, *NOBODY)
    assert (found, out.splitlines()[-1], err) == (status, last, "")


def test_a_resolv_conf_and_json(objects: str, tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.96.0.10\nsearch shop.svc.cluster.local\n")
    status, out, _ = run("explain", "web", "--resolv-conf", str(file), "--json", "--objects", objects, *NOBODY)
    found = msgspec.json.decode(out, type=Explanation)
    assert (status, found.resolves, found.client.here) == (0, True, "yes")
    assert found.client.search == ("shop.svc.cluster.local",)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("a..b", "--objects", "{objects}"), 'NAME: found "a..b": the label in front of a dot has 0 octets'),
        (("web", "--type", "AXFR", "--objects", "{objects}"), '--type: found "AXFR", expected a record type'),
        (("web", "--pod", "shop/none", "--objects", "{objects}"), "--pod: there is no pod shop/none in "),
        (("web", "--resolv-conf", "{folder}/none", "--objects", "{objects}"), "no such file or directory"),
        (("web", "--server", "127.0.0.1"), 'found "127.0.0.1", expected HOST:PORT'),
        (("web", "--server", "127.0.0.1:1"), "no server answers at 127.0.0.1:1: connection refused."),
        (("web", "--config", "{folder}/none"), "none: there is no such file"),
        ((), "Missing argument 'NAME'"),
    ],
)
def test_wrong_use(objects: str, tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    status, out, err = run("explain", *(word.format(objects=objects, folder=tmp_path) for word in words))
    assert (status, out) == (2, "")
    assert text in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "status", "first"),
    [
        ((), 0, "cluster.local. 5 IN SOA "),
        (("shop",), 0, f"web.{SHOP}. 5 IN A 10.9.0.1"),
        (("web.shop",), 0, f"web.{SHOP}. 5 IN A 10.9.0.1"),
        (("none",), 1, "; there are no records of none: "),
    ],
)
def test_dump(objects: str, words: tuple[str, ...], status: int, first: str) -> None:
    found, out, err = run("dump", *words, "--objects", objects)
    assert (found, err) == (status, "")
    assert out.splitlines()[0][: len(first)] == first


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("a..b", "--objects", "{objects}"), 'NAME: found "a..b": the label in front of a dot has 0 octets'),
        (("--objects", "{folder}/none"), "none: no such file or folder"),
        (("--server", "127.0.0.1:1"), "no server answers at 127.0.0.1:1: connection refused."),
    ],
)
def test_dump_of_nothing(objects: str, tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    status, out, err = run("dump", *(word.format(objects=objects, folder=tmp_path) for word in words))
    assert (status, out) == (2, "")
    assert text in " ".join(err.split())
