"""A client with EDNS gets the reason why a name does not exist (RFC 8914): code 0, as no other fits, and a text."""

from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import pytest

from dnsserver.advice import CODES, advice
from dnsserver.wire.extended_errors import MAX_TEXT
from dnsserver.wire.message import EDE
from dnsserver.zone.record import Reason
from tests.answering import Answering, synced
from tests.clock import LoopbackClock
from tests.cluster import endpoint, endpoints, service
from tests.messages import d
from tests.reasons import EXAMPLES, NEVER_TOLD, table, written
from tests.scenes import SCENES, Example, ask_told, scene

THINGS = (
    service("web", "10.9.0.1", ports=[("http", "TCP", 80)]),
    service("db"),
    endpoints("db", endpoint("10.1.0.1", "db-0", ready=False), endpoint("10.1.0.2", ready=False)),
    service("idle"),
    service("up"),
    endpoints("up", "10.1.0.3"),
    service("alias", external="www.example.com"),
    service("numbered", external="192.0.2.1"),
)
MISSING = {
    "web.nowhere.svc": "there is no such namespace",
    "nobody.shop.svc": "there is no such Service in the namespace",
    "_smtp._tcp.web.shop.svc": "the Service has no port of this name and protocol",
    "db-9.up.shop.svc": "the Service has no ready endpoint of this name",
    "db.shop.svc": "none of 2 endpoints is ready",
    "idle.shop.svc": "the Service has no endpoints",
    "x.alias.shop.svc": "nothing is below a Service of type ExternalName",
    "somewhere.else": "no name of the cluster is of this form",
    "no-address.shop.pod": "the first label is not an address",
}


def why(made: Answering, name: str, type_: str = "A", *, use_edns: int = 0) -> tuple[int, list[tuple[int, str | None]]]:
    """Return the rcode, and the codes and texts of the extended errors."""
    reply = dns.message.from_wire(made.ask(d(f"{name}.cluster.local", type_, use_edns=use_edns).to_wire()))
    found = [option for option in reply.options if isinstance(option, dns.edns.EDEOption)]
    return reply.rcode(), [(int(option.code), option.text) for option in found]


@pytest.mark.parametrize("name", MISSING)
def test_a_name_that_does_not_exist_says_why(name: str) -> None:
    made = synced(*THINGS)
    for _ in range(3):  # made, made again and kept, kept
        assert why(made, name) == (dns.rcode.NXDOMAIN, [(0, MISSING[name])])
    assert why(made, name, use_edns=-1) == (dns.rcode.NXDOMAIN, [])


@pytest.mark.parametrize(("name", "type_"), [("web.shop.svc", "AAAA"), ("web.shop.svc", "TXT"), ("shop.svc", "A")])
def test_a_name_that_exists_has_nothing_to_explain(name: str, type_: str) -> None:
    assert why(synced(*THINGS), name, type_) == (dns.rcode.NOERROR, [])


def test_what_has_a_code_of_its_own_has_that() -> None:
    rcode, ((code, _),) = why(synced(*THINGS), "numbered.shop.svc")
    assert (rcode, code) == (dns.rcode.NXDOMAIN, dns.edns.EDECode.INVALID_DATA)


STALE = Reason("stale", EDE.STALE_ANSWER, "not heard for 60 s")


def test_what_is_said_of_old_data_is_marked_beside_its_reason() -> None:
    made = synced(*THINGS)
    made.responder.mark_stale(STALE)
    why_missing = (0, "there is no such Service in the namespace")
    assert why(made, "nobody.shop.svc") == (dns.rcode.NXDOMAIN, [why_missing, (3, "not heard for 60 s")])
    assert why(made, "web.shop.svc") == (dns.rcode.NOERROR, [(3, "not heard for 60 s")])
    assert why(made, "somewhere.else")[1] == [(0, MISSING["somewhere.else"])]  # whatever the cluster has
    made.responder.mark_stale(None)
    assert why(made, "nobody.shop.svc") == (dns.rcode.NXDOMAIN, [why_missing])


# ---- all reasons


def test_every_reason_has_an_example_and_every_scene_is_used() -> None:
    assert {example.code for example in EXAMPLES} | {*NEVER_TOLD} == CODES
    assert {example.scene for example in EXAMPLES} == SCENES.keys()


@pytest.mark.parametrize("name", SCENES)
async def test_what_a_client_is_told(name: str, tmp_path: Path, clock: LoopbackClock) -> None:
    del clock
    async with scene(name, tmp_path) as here:
        for example in EXAMPLES:
            if example.scene == name and example.told is None:
                code = "" if example.rcode == "no reply" else example.code
                assert await here.ask(example) == (example.rcode, example.errors, code), example.question


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example.told], ids=lambda each: each.code)
def test_what_a_client_is_told_of_what_takes_thousands_of_questions_or_a_bug(example: Example) -> None:
    assert ask_told(example) == (example.rcode, example.errors, example.code)


def test_a_failure_says_why_and_has_advice() -> None:
    """The exceptions are replies without a place for it: a header alone, or no reply."""
    silent = {example.code for example in EXAMPLES if example.rcode != "NOERROR" and not example.errors}
    assert silent == {"rule-dropped", "edns-version", "opcode-not-implemented", "format-error"}
    assert [example.code for example in EXAMPLES if example.errors and not advice(example.code)] == []


def test_texts_are_short() -> None:
    assert all(len(text.encode()) <= MAX_TEXT for example in EXAMPLES for _, text in example.errors)


def test_the_page_has_the_reasons_as_they_are() -> None:
    assert written() == table(), "python -m tests.reasons"
