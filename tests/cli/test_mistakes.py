"""Wrong input to every command: the message names the flag or the file once, and shows nothing of Python."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dnsserver.cli import cli

DEMO = str(Path(__file__).parents[2] / "zones/demo")
FILES = {
    "bad.yaml": "not: yaml: [",
    "bad.toml": "listen = [127.0.0.1]\n",
    "keys.toml": 'listn = []\nttl = "x"\n',
    "zone.toml": 'static = ["plain"]\n',
    "hosts.toml": '[[hosts]]\nfile = "none"\n',
    "upstreams.toml": 'upstreams = ["./none"]\n',
    "include.toml": 'include = ["bad.toml"]\n',
    "objects.toml": 'objects = "bad.yaml"\n',
    "kubeconfig.toml": 'kubeconfig = "bad.yaml"\n',
    "token.toml": 'admin_token = "none"\n',
    "plain": "hello\n",
    "names": "a..b A\n",
    "types": "web.shop BOGUS\n",
    "kube.yaml": "apiVersion: v1\nkind: Config\nclusters: []\n",
    "open": ".:53 {\n forward . 10.0.0.1\n",
    "plugin": ".:53 {\n forwrd . 10.0.0.1\n}\n",
}
COMPARE = ("compare", "--objects", DEMO, "--with", "127.0.0.1:1", "--server", "127.0.0.1:1")
EXPLAIN = ("explain", "web.shop", "--objects", DEMO)
SERVED = (("top", "--once"), ("tail",), ("changes",), ("dump",), ("explain", "web.shop"))

WRONG = [
    (("bogus",), "No such command"),
    *((("check", f"{name}.toml"), name) for name in ("bad", "keys", "zone", "hosts", "objects", "token")),
    *((("check", f"{name}.toml"), name) for name in ("kubeconfig", "upstreams", "none")),
    (("check", "include.toml"), "bad.toml:1:11: found 127.0.0.1; write quotes around text"),
    (("check", "."), "is a folder"),
    (("check", "bad.yaml"), "give Kubernetes objects with --objects"),
    (("check", "--listen", "1.2.3.4.5:53"), "--listen: found"),
    (("check", "--ttl", "99999"), "--ttl: found"),
    (("check", "--upstream", "a b"), "--upstream: found"),
    (("serve", "--config", "none.toml"), "there is no such file"),
    (("serve", "--config", "keys.toml"), "listn: unknown key"),
    (("serve", "--objects", "none"), "--objects: "),
    (("serve", "--pods", "maybe", "--objects", DEMO), "--pods: found"),
    (("import-corefile", "none"), "there is no such file"),
    (("import-corefile", "."), "is a folder"),
    (("import-corefile", "plain"), "found no server block"),
    (("import-corefile", "bad.yaml"), "bad.yaml:1: "),
    (("import-corefile", "open"), "open:1: "),
    (("import-corefile", "plugin"), "did you mean forward?"),
    (("compare", "--objects", DEMO, "--with", "foo"), "--with: found"),
    ((*COMPARE[:-1], "foo"), "--server: found"),
    ((*COMPARE[:-1], "http://127.0.0.1:8053"), 'expected the address of DNS, not of admin HTTP, as in "127.0.0.1:53"'),
    ((*COMPARE[:-1], "https://[::1]:9153/x"), 'expected the address of DNS, not of admin HTTP, as in "[::1]:53"'),
    ((*COMPARE[:-1], "127.0.0.1:8053"), "this is the port of admin HTTP: give the address of DNS"),
    ((*COMPARE, "--names", "none"), "none: there is no such file"),
    ((*COMPARE, "--names", "names"), "names: line 1: "),
    ((*COMPARE, "--names", "types"), "names: line 1: ".replace("names", "types")),
    ((*COMPARE, "--rate", "nan"), "--rate"),
    (("compare", "--with", "127.0.0.1:1", "--objects", "bad.yaml"), "line 1: not YAML"),
    (("compare", "--with", "127.0.0.1:1", "--kubeconfig", "kube.yaml"), "current-context"),
    (("top", "--server", "localhost"), "--server: found"),
    (("top", "--server", "127.0.0.1:1"), "no server answers at 127.0.0.1:1"),
    (("top", "--client", "10.0.0.1", "--name", "web"), "do not go together"),
    (("changes", "a/b/c"), 'found "a/b/c", expected NAMESPACE or NAMESPACE/SERVICE'),
    (("changes", "--since", "noon"), "'--since': found \"noon\", expected how long ago"),
    (("changes", "--server", "127.0.0.1:1"), "no server answers at 127.0.0.1:1"),
    (("top", "--config", "keys.toml"), "listn: unknown key"),
    (("top", "--token-file", "none", "--server", "127.0.0.1:1"), "none: cannot read the token"),
    (("tail", "--server", "127.0.0.1:1", "--class", "foo"), "--class"),
    (("tail", "--server", "::1:1"), "--server: found"),
    *(((*words, "--server", "a..b:8053"), "has 0 octets") for words in SERVED),
    *(((*words, "--server", f"{'x' * 64}:8053"), "has 64 octets, expected 1 to 63") for words in SERVED),
    (("dump", "--objects", "bad.yaml"), "line 1: not YAML"),
    (("dump", "--objects", "none"), "no such file or folder"),
    (("dump", "a..b", "--objects", DEMO), "NAME: "),
    (("explain", "web.shop", "--objects", "bad.yaml"), "line 1: not YAML"),
    (("explain", "web.shop", "--kubeconfig", "kube.yaml"), "current-context"),
    (("explain", "web.shop", "--kubeconfig", "none"), "none: no such file"),
    (("explain", "", "--objects", DEMO), "NAME: found"),
    (("explain", "a..b", "--objects", DEMO), 'NAME: found "a..b": the label in front of a dot has 0 octets'),
    (("explain", "a" * 64, "--objects", DEMO), "has 64 octets, expected 1 to 63"),
    (("explain", "https://web.shop/x", "--objects", DEMO), 'expected a name alone, as in "web.shop"'),
    (("explain", "http://u:p@web.shop:80", "--objects", DEMO), 'expected a name alone, as in "web.shop"'),
    (("explain", "web.shop:8080", "--objects", DEMO), 'expected a name alone, as in "web.shop"'),
    ((*EXPLAIN, "--type", "BOGUS"), "--type: found"),
    ((*EXPLAIN, "--pod", "x"), "--pod: found"),
    ((*EXPLAIN, "--pod", "shop/none"), "--pod: there is no pod shop/none"),
    ((*EXPLAIN, "--pod", "none/x"), "that namespace has no pod there"),
    ((*EXPLAIN, "--namespace", "none"), "--namespace: there is no namespace none"),
    ((*EXPLAIN, "--resolv-conf", "none"), "none: no such file"),
    ((*EXPLAIN, "--domain", "a b"), "--domain: found"),
    ((*EXPLAIN, "--upstream", "a b"), "--upstream: found"),
    ((*EXPLAIN, "--server", "127.0.0.1:1"), "found --server and --objects, expected one of them"),
    ((*EXPLAIN, "--token-file", "plain"), "found --token-file and --objects, expected one of them"),
    (("dump", "--kubeconfig", "none", "--server", "127.0.0.1:1"), "found --server and --kubeconfig, expected one"),
    (("explain", "web.shop", "--upstream", "9.9.9.9"), "found --upstream without --objects or --kubeconfig"),
    (("explain", "web.shop", "--domain", "k8s.example"), "found --domain without --objects or --kubeconfig"),
    (("explain", "web.shop", "--context", "it"), "found --context without --objects or --kubeconfig"),
    (("dump", "--domain", "k8s.example", "--server", "127.0.0.1:1"), "found --domain without --objects or"),
    (("dump", "--objects", ""), "--objects: "),
    (("guard-node", "foo"), "foo"),
    (("guard-node", "127.0.0.1"), "each pod's own"),
    (("guard-node", "169.254.20.10", "--metrics", "foo"), "--metrics"),
]
REPORTED = """.:53 {
    import none
    import *.none
    hosts none
    rewrite name regex (.*) b.{1}
    kubernetes cluster.local {
        noendpoints
    }
    forward . 10.0.0.1 10.0.0.2 {
        max_concurrent 1000
        max_fails 3
        policy random
    }
    cache 30 {
        servfail 5s
    }
    k8s_external example.org
    chaos
    dnstap /tmp/x
}
"""
TWICE = re.compile(r"(?:^|[\s:])([\w./-]+): *\1(?::|\s)(?! =)", re.IGNORECASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wrong")
    for name, text in FILES.items():
        (made / name).write_text(text)
    return made


@pytest.mark.parametrize(
    ("words", "told"), WRONG, ids=lambda value: value if isinstance(value, str) else " ".join(value)[:60]
)
def test_the_message_says_once_what_is_wrong(
    words: tuple[str, ...], told: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(cli, words, prog_name="dnsserver")
    said = result.stderr
    assert result.exit_code == 2, said
    assert told in said
    assert "Traceback" not in said
    assert not re.search(r"\bb'|<class|Error\(", said), said
    for line in said.splitlines():
        assert TWICE.search(line) is None, line


def test_the_report_of_an_import_says_each_word_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "Corefile").write_text(REPORTED)
    result = CliRunner().invoke(cli, ("import-corefile", "Corefile"), prog_name="dnsserver")
    assert result.exit_code == 0, result.stderr
    assert "Corefile:2: import: none: there is no such file" in result.stderr
    assert "Corefile:10: forward max_concurrent: forwarding.in_flight = 1000" in result.stderr
    for line in result.stderr.splitlines():
        assert TWICE.search(line) is None, line


@pytest.mark.parametrize(
    ("text", "is_twice"),
    [
        ("error: error: no", True),
        ("Corefile:2: import: import x", True),
        ("Corefile:3: log: [[query_log]]", False),
        ("Error: a.toml: a.toml: no", True),
        ("a.toml:1: a.toml:1: no", False),  # with its line it is another word
        ("a.toml:1: objects: /x/a.yaml: line 1", False),
    ],
)
def test_a_prefix_that_stands_twice_is_found(text: str, is_twice: bool) -> None:
    assert (TWICE.search(text) is not None) is is_twice
