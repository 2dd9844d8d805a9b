"""What a clock's time is for people."""

from collections.abc import Iterator

from dnsserver.app.clock import Calendar


class Times:
    """A clock and a calendar; between readings of both the process waits for `delays`, one after the other."""

    def __init__(self, delays: list[float]) -> None:
        self.now = 100.0
        self.epoch = 1_000_000.0
        self._delays: Iterator[float] = iter(delays)

    def wall(self) -> float:
        read = self.epoch + self.now
        self.now += next(self._delays)
        return read

    def clock(self) -> float:
        return self.now


def test_a_process_that_has_to_wait_between_two_readings_does_not_go_back_in_time() -> None:
    times = Times([0.0, 0.04, 0.0, 0.3])
    calendar = Calendar(times.clock, times.wall)
    assert [calendar.epoch() for _ in range(4)] == [1_000_000.0] * 4


def test_the_first_reading_may_be_the_one_that_waited() -> None:
    times = Times([0.04, 0.0, 0.04])
    calendar = Calendar(times.clock, times.wall)
    assert [round(calendar.epoch(), 6) for _ in range(3)] == [999_999.96, 1_000_000.0, 1_000_000.0]


def test_a_clock_that_is_set_is_followed_both_ways() -> None:
    times = Times([0.0] * 3)
    calendar = Calendar(times.clock, times.wall)
    found = [calendar.epoch()]
    for step in (3600.0, -7200.0):
        times.epoch += step
        found.append(calendar.epoch())
    assert found == [1_000_000.0, 1_003_600.0, 996_400.0]
