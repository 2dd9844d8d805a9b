"""Log lines that name a limited client: one a minute for each client, and one a second in total."""

from dnsserver.logger import get_logger
from dnsserver.notices import Notices
from tests.logs import capture_logs


def test_each_is_named_once_a_minute_and_one_in_a_second() -> None:
    with capture_logs() as logs:
        notices = Notices(get_logger("x"), "limited")
        for tenth in range(1_300):  # 130 seconds, in which two are limited all the time
            for who in ("a", "b"):
                notices.tell(who, tenth / 10, client=who)
    told = [line["client"] for line in logs]
    assert sorted(told) == ["a", "a", "a", "b", "b", "b"]
    assert sorted(told[:2]) == ["a", "b"]


def test_a_thousand_of_them_have_a_line_a_second_all_together() -> None:
    with capture_logs() as logs:
        notices = Notices(get_logger("x"), "limited")
        for tick in range(100_000):
            notices.tell(str(tick % 1_000), tick / 1_000, client=str(tick % 1_000))
    assert len(logs) == 100
