"""What reasons mean, and what to do about them: each that the code knows is in the table, and no other."""

import re

import pytest

from dnsserver.advice import CODES, advice, meaning
from dnsserver.forward.outcome import CLOSED
from tests.deployment import ROOT

# What nobody has to do anything about: the answer is right as it is.
HARMLESS = {
    *("found", "forwarded-no-data", "search-completed", "hosts", "rule-records", "any-outside"),
    *("no-data", "no-address-of-family", "above-ports", "hosts-no-data", "rule-no-data"),
}


def test_the_reasons_of_the_code_are_those_of_the_table() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "dnsserver").glob("**/*.py")))
    assert {*re.findall(r'Reason\(\s*"([a-z0-9-]+)"', code), CLOSED} == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_has_a_meaning_and_a_failure_has_advice(code: str) -> None:
    assert not meaning(code).endswith(".")
    assert 5 <= len(meaning(code)) <= 100
    said = advice(code)
    assert bool(said) is (code not in HARMLESS)
    assert not said or (said.endswith((".", "`")) and 20 <= len(said) <= 250)
    assert said.count("`") % 2 == meaning(code).count("`") % 2 == 0


def test_of_what_is_no_reason_nothing_is_said() -> None:
    assert (meaning("no-such-reason"), advice("no-such-reason")) == ("", "")


@pytest.mark.parametrize(
    ("code", "namespace", "service", "command"),
    [
        ("service-missing", "shop", "nobody", "`kubectl get services -n shop`"),
        ("no-ready-endpoints", "shop", "db", "`kubectl get endpointslices,pods -n shop`"),
        ("endpoint-missing", "shop", "db", "`kubectl get endpointslices -n shop -o yaml`"),
        ("port-unknown", "shop", "web", "`kubectl describe service web -n shop`"),
        ("port-unknown", "shop", "", "`kubectl describe service SERVICE -n shop`"),
        ("pod-missing", "shop", "", "`kubectl get pods -n shop -o wide`"),
        ("not-an-address", "shop", "", "10-1-2-3.shop.pod.DOMAIN"),
        # What is not known stays open, and what a client may have written does not get into a command.
        ("service-missing", "", "", "`kubectl get services -n NAMESPACE`"),
        ("service-missing", "$(reboot)", "", "`kubectl get services -n NAMESPACE`"),
        ("port-unknown", "shop", "web; reboot", "`kubectl describe service SERVICE -n shop`"),
        ("service-missing", "-a", "", "`kubectl get services -n NAMESPACE`"),
    ],
)
def test_a_command_names_what_is_known(code: str, namespace: str, service: str, command: str) -> None:
    assert command in advice(code, namespace, service)


def test_nothing_else_of_an_advice_depends_on_names() -> None:
    """The forms of names, as SERVICE.NAMESPACE.svc.DOMAIN, stay as they are."""
    told = {code for code in CODES if advice(code, "shop", "web") != advice(code)}
    assert told == {
        *("service-missing", "no-ready-endpoints", "endpoint-missing", "port-unknown"),
        *("pod-missing", "not-an-address"),
    }
