"""Other files in the place of a Corefile are refused, and the error says what they are."""

import pytest

from dnsserver.config.corefile import CorefileError, NotACorefileError
from tests.config.corefile.reading import config, imported


def config_map(corefile: str) -> str:
    lines = "".join(f"    {line}\n" for line in corefile.splitlines())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: coredns}}\ndata:\n  Corefile: |\n{lines}"


NONSENSE = [
    ("", "Corefile: is empty, as a file is when kubectl has failed"),
    ("\n \n# a comment\n", "Corefile: is empty"),
    (
        'Error from server (NotFound): configmaps "coredns" not found\n',
        "Corefile:1: holds the error message of a command",
    ),
    (
        "\nerror: You must be logged in to the server (Unauthorized)\n",
        "Corefile:2: holds the error message of a command",
    ),
    ("The connection to the server localhost:8080 was refused\n", "Corefile:1: holds the error message of a command"),
    ("Unable to connect to the server: EOF\n", "Corefile:1: holds the error message of a command"),
    ("No resources found in kube-system namespace.\n", "Corefile:1: holds the error message of a command"),
    ("bash: kubectl: command not found\n", "Corefile:1: holds the error message of a command"),
    ('domain = "cluster.local"\n', "Corefile:1: looks like TOML, like a configuration of dnsserver"),
    ('# ours\n[[forward]]\ndomain = "a.example"\n', "Corefile:2: looks like TOML"),
    ("replicas: 2\nimage: coredns\n", "Corefile:1: looks like YAML without a ConfigMap"),
    ('{"a": 1}\n', "Corefile:1: looks like JSON without a ConfigMap"),
    ("<html>\n", "Corefile:1: looks like HTML or XML"),
    (". {\n log\x00\n}\n", "Corefile:2: holds octets that are not text"),
    ("hello world\n", "Corefile:1: found no server block with a plugin in it"),
    ("kind: Secret\n", "Corefile: has no ConfigMap"),
    # templates
    ("__PILLAR__DNS__DOMAIN__:53 {\n errors\n}\n", "Corefile:1: __PILLAR__DNS__DOMAIN__ is a placeholder"),
    (". {\n forward . __PILLAR__CLUSTER__DNS__\n}\n", "Corefile:2: __PILLAR__CLUSTER__DNS__ is a placeholder"),
    (". {\n bind __PILLAR__LOCAL__DNS__\n}\n", "Corefile:2: __PILLAR__LOCAL__DNS__ is a placeholder"),
    (". {\n kubernetes {{ .Values.domain }} in-addr.arpa\n}\n", "Corefile:2: {{ is a placeholder"),
    (". {\n kubernetes CLUSTER_DOMAIN REVERSE_CIDRS {\n }\n}\n", "Corefile:2: CLUSTER_DOMAIN is a placeholder"),
    (". {\n forward . UPSTREAMNAMESERVER\n}\n", "Corefile:2: UPSTREAMNAMESERVER is a placeholder"),
    (". {\n forward . $UPSTREAM\n}\n", "Corefile:2: $U is a placeholder"),
    (". {\n forward . <UPSTREAM_DNS>\n}\n", "Corefile:2: <UPSTREAM_DNS> is a placeholder"),
    (". {\n errors\n}\n<your domain>:53 {\n errors\n}\n", "Corefile:4: <your domain> is a placeholder"),
    ("${DOMAIN}:53 {\n errors\n}\n", "Corefile:1: ${ is a placeholder"),
    # within a ConfigMap
    (config_map(""), "Corefile"),
    (
        config_map("__PILLAR__DNS__DOMAIN__:53 {\n    errors\n}"),
        "Corefile:6: __PILLAR__DNS__DOMAIN__ is a placeholder",
    ),
    (config_map('domain = "cluster.local"'), "Corefile:6: looks like TOML"),
]


@pytest.mark.parametrize(("text", "message"), NONSENSE)
def test_what_is_no_corefile_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotACorefileError) as error:
        imported(text)
    assert str(error.value).startswith(message)


def test_a_corefile_of_snippets_alone_is_refused() -> None:
    with pytest.raises(CorefileError, match="found no server block"):
        imported("(a) {\n errors\n}\n")


@pytest.mark.parametrize(
    "text", ["{$ZONE} {\n whoami\n}\n", "{$ZONE}\nlog .example\nforward . 192.0.2.1\n", '"" {\n whoami\n}\n']
)
def test_a_corefile_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(CorefileError, match="no server block has a zone") as error:
        imported(text)
    assert ("\nCorefile:1: {$ZONE} is not set" in str(error.value)) == ("$ZONE" in text)


@pytest.mark.parametrize(
    "text",
    [
        ". {\n errors\n}\n",
        ". {\n}\n",
        ".:53\nforward . 192.0.2.1\n",
        "import a\n",
        "(a) {\n errors\n}\n. {\n import a\n}\n",
        "a.example:53 b.example {\n log\n}\n",
        '. {\n template IN A a.example {\n  answer "{{ .Name }} 60 IN A 192.0.2.1"\n }\n}\n',
        "{$ZONE}:53 {\n forward . {$UPSTREAM}\n}\n",
        config_map(". {\n    errors\n}"),
    ],
)
def test_what_may_be_one_is_read(text: str) -> None:
    config(imported(text, {"a": ". {\n errors\n}\n"}, {"ZONE": "a.example", "UPSTREAM": "192.0.2.1"}))
