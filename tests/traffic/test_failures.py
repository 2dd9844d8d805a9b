"""The last failures: equal ones are one row, and a flood of one kind hides no other kind."""

import random

from dnsserver.traffic.failures import FAILURE, ROOM, Failure, Failures
from tests.reach import octets


def failure(
    name: str, now: float, *, client: bytes = b"\x0a\0\0\1", reason: str = "upstream-timeout", qtype: int = 1
) -> Failure:
    return Failure(client, name.encode(), qtype, 2, reason, f"{name} at {now:g}", 1.5, now, now)


def shown(failures: Failures, limit: int = 1000) -> list[tuple[bytes, int, float, float]]:
    return [(each.name, each.count, each.first, each.last) for each in failures.latest()[:limit]]


def test_equal_failures_are_one_and_the_last_is_first() -> None:
    failures = Failures()
    for name, now in [("a", 1.0), ("b", 2.0), ("a", 3.0), ("a", 4.0)]:
        failures.add(failure(name, now))
    assert shown(failures) == [(b"a", 3, 1.0, 4.0), (b"b", 1, 2.0, 2.0)]
    assert failures.latest()[0].text == "a at 4"


def test_what_differs_is_not_joined() -> None:
    failures = Failures()
    others = [
        failure("a", 1.0, client=b"\x0a\0\0\2"), failure("b", 1.0), failure("a", 1.0, qtype=28),
        failure("a", 1.0, reason="loop"),
    ]  # fmt: skip
    for each in [failure("a", 1.0), *others]:
        failures.add(each)
    assert [each.count for each in failures.latest()] == [1] * 5


def test_a_flood_of_one_reason_pushes_out_nothing_but_its_like() -> None:
    failures = Failures()
    failures.add(failure("rare", 0.0))
    for number in range(3 * ROOM):
        failures.add(failure(f"gone-{number}", 1.0 + number, reason="service-missing"))
    found = failures.latest()
    assert len(found) == ROOM
    assert found[-1].name == b"rare"
    assert found[0].name == f"gone-{3 * ROOM - 1}".encode()


def test_many_reasons_share_the_room() -> None:
    failures, chance = Failures(10), random.Random(1)
    for number in range(1000):
        failures.add(failure(f"{number}", float(number), reason=f"reason-{chance.randrange(3)}"))
        assert len(failures.latest()) <= 10
    reasons = [each.reason for each in failures.latest()]
    assert min(reasons.count(f"reason-{number}") for number in range(3)) >= 3


def test_memory_is_bounded() -> None:
    failures = Failures()
    for number in range(2 * ROOM):
        client, name, now = number.to_bytes(16, "big"), number.to_bytes(255, "big"), number + 0.5
        failures.add(Failure(client, name, 1, 2, f"reason-{number}", f"{number:0150}", now / 7, now, now + 0))
    assert len(failures.latest()) == ROOM
    assert octets(failures) <= ROOM * FAILURE
