"""Which queries get a line: by the first rule that fits, by its chance, and by its limit for a second."""

from random import Random

import pytest

from dnsserver.traffic.filters import Class, Filter
from dnsserver.traffic.observed import Observed
from dnsserver.traffic.query_log import QueryLog, Rule
from dnsserver.wire import message as m
from dnsserver.wire.name import from_text, to_text
from tests.traffic.seen import seen

GONE = seen(rcode=m.NXDOMAIN, records=False, name=from_text("gone.example"))


def line(one: Observed) -> bytes:
    return to_text(one.name).encode() + b"\n"


def other(one: Observed) -> bytes:
    return b"other " + line(one)


def of(*classes: Class, below: str = "") -> Filter:
    return Filter(frozenset(classes), below=(from_text(below),) if below else ())


class Written:
    def __init__(self, *rules: Rule, seed: int = 1) -> None:
        self.lines: list[bytes] = []
        self.now = 100.0
        self.log = QueryLog(self.lines.append, lambda: self.now, Random(seed).random)
        self.log.use(rules)


def test_a_query_has_one_line_of_the_first_rule_that_fits() -> None:
    made = Written(Rule(of("all", below="example"), line), Rule(of("denial", "success"), other))
    for one in (GONE, seen(), seen(rcode=m.SERVFAIL, records=False)):
        made.log.take(one)
    assert made.lines == [b"gone.example.\n", b"other web.shop.svc.cluster.local.\n"]
    assert (made.log.lines, made.log.left_out) == (2, 0)


def test_without_rules_there_are_no_lines() -> None:
    made = Written()
    made.log.take(GONE)
    assert made.lines == []


@pytest.mark.parametrize("rate", [1, 10, 0.5])
def test_no_second_has_more_lines_than_the_rate_and_the_others_are_counted(rate: float) -> None:
    made = Written(Rule(of("all"), line, rate=rate))
    for _ in range(640):  # 20 s of 32 a second
        made.log.take(GONE)
        made.now += 1 / 32
    assert len(made.lines) == pytest.approx(20 * rate + max(1, rate), abs=1)
    assert made.log.left_out == 640 - len(made.lines)
    made.now += 60
    for _ in range(100):
        made.log.take(GONE)
    assert len(made.lines) == pytest.approx(20 * rate + 2 * max(1, rate), abs=2)


@pytest.mark.parametrize("sample", [1, 2, 10, 100])
def test_a_sample_is_one_in_so_many(sample: int) -> None:
    made = Written(Rule(of("all"), line, sample=sample), seed=7)
    count = 20_000
    for _ in range(count):
        made.log.take(GONE)
    expected, deviation = count / sample, (count * (1 - 1 / sample) / sample) ** 0.5
    assert abs(len(made.lines) - expected) <= 3 * deviation
    assert made.log.left_out == 0


def test_other_rules_begin_with_a_rate_of_their_own() -> None:
    made = Written(Rule(of("all"), line, rate=1))
    made.log.take(GONE)
    made.log.take(GONE)
    made.log.use([Rule(of("all"), other, rate=1)])
    made.log.take(GONE)
    assert made.lines == [b"gone.example.\n", b"other gone.example.\n"]
