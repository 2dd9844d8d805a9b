"""Which names an upstream may answer for."""

import pytest

from dnsserver.wire.name import ROOT, from_text
from dnsserver.wire.scope import Scope


def scope(
    domain: str = ".", *, denied: tuple[str, ...] = (), trusted: bool = False, allowed: tuple[str, ...] = ()
) -> Scope:
    return Scope(from_text(domain), tuple(map(from_text, denied)), trusted, tuple(map(from_text, allowed)))


@pytest.mark.parametrize(
    ("which", "name", "allows", "inside_denied"),
    [
        (scope(), "www.example.com", True, False),
        (scope(), ".", True, False),
        (scope("corp.example"), "www.corp.example", True, False),
        (scope("corp.example"), "corp.example", True, False),
        (scope("corp.example"), "www.example", False, False),
        (scope("corp.example"), "xcorp.example", False, False),
        (scope("corp.example", trusted=True), "www.example", True, False),
        (scope(denied=("corp.example",)), "corp.example", False, False),
        (scope(denied=("corp.example",)), "x.corp.example", False, True),
        (scope(denied=("corp.example",), trusted=True), "x.corp.example", False, True),
        (scope(denied=("corp.example",), allowed=("a.corp.example",)), "x.a.corp.example", True, False),
        (scope(denied=("corp.example",), allowed=("a.corp.example",)), "b.corp.example", False, True),
        (
            scope(denied=("corp.example", "x.a.corp.example"), allowed=("a.corp.example",)),
            "x.a.corp.example",
            False,
            True,
        ),
        (scope(denied=("corp.example",), allowed=("corp.example",)), "x.corp.example", True, False),
    ],
)
def test_names(which: Scope, name: str, allows: bool, inside_denied: bool) -> None:
    assert (which.allows(from_text(name)), which.is_inside_denied(from_text(name))) == (allows, inside_denied)


def test_a_scope_of_everything_is_home_everywhere() -> None:
    assert Scope().is_home(ROOT)
    assert Scope().is_home(from_text("a.b"))
