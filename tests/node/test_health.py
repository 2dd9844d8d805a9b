"""When the server counts as answering, from the results of questions: `(seconds, transport, outcome)`."""

import pytest

from dnsserver.node.asker import Outcome, Transport
from dnsserver.node.health import ONE_SIDED, SILENT, Health

Step = tuple[float, Transport, Outcome]
WELL: list[Step] = [
    (0.0, "tcp", "answered"),
    (0.0, "udp", "answered"),
    (0.1, "udp", "answered"),
    (0.2, "udp", "answered"),
]


def after(steps: list[Step], look: float | None = None) -> bool:
    health = Health()
    for now, transport, outcome in steps:
        health.note(transport, outcome, now)
    if look is not None:
        health.look(look)
    return health.answers


@pytest.mark.parametrize(
    ("steps", "answers"),
    [
        ([], False),
        (WELL, True),
        (WELL[:3], False),  # a third answer in a row is wanted
        (WELL[1:], False),  # and one over TCP
        ([*WELL[:3], (0.15, "udp", "wrong"), (0.2, "udp", "answered")], False),
        ([*WELL, (0.3, "udp", "refused")], False),  # at once: nobody has the port
        ([*WELL, (0.3, "tcp", "refused")], False),
        ([*WELL, (0.3, "tcp", "closed")], True),  # as an idle connection may be
        ([*WELL, (0.7, "udp", "silent")], True),  # one packet may be lost
        ([*WELL, (0.7, "udp", "silent"), (0.9, "tcp", "answered"), (1.5, "udp", "silent")], True),
        ([*WELL, (0.7, "udp", "silent"), (1.5, "udp", "silent")], False),
        ([*WELL, (0.7, "udp", "wrong"), (1.5, "udp", "wrong")], False),  # SERVFAIL, say
        ([*WELL, *((0.5 + n, "tcp", "answered") for n in range(7)), (6.0, "udp", "silent")], False),  # one of two
        ([*WELL, (0.3, "udp", "refused"), *((1.0 + t, p, o) for t, p, o in WELL)], True),
    ],
)
def test_the_verdict(steps: list[Step], answers: bool) -> None:
    assert after(steps) is answers


def test_silence_alone_is_enough() -> None:
    """While this process stands still, nobody asks, and the answers are old when it goes on."""
    assert after(WELL, 0.2 + SILENT)
    assert not after(WELL, 0.3 + SILENT)
    assert SILENT < 2.0 < ONE_SIDED


def test_nothing_is_decided_before_an_answer_is_overdue() -> None:
    health = Health()
    health.look(100.0)
    assert health.is_undecided
    health.look(100.1 + SILENT)
    assert (health.is_undecided, health.answers, health.reason) == (False, False, "no answer")


def test_the_reason_is_the_first_one() -> None:
    health = Health()
    assert health.reason == "not asked yet"
    for now, transport, outcome in [*WELL, (0.3, "udp", "refused"), (5.0, "udp", "silent")]:
        health.note(transport, outcome, now)
    assert health.reason == "udp is refused"


def test_one_that_is_trusted_answers_until_it_does_not() -> None:
    health = Health(("udp",), trusted=10.0)
    health.look(10.0 + SILENT)
    assert health.answers
    health.look(10.1 + SILENT)
    assert not health.answers
