import os
from pathlib import Path

import pytest

from loadtest.cost import ProcessGoneError, ProcessTimes


def process(proc: Path, pid: int, ticks: tuple[int, int], children: str = "") -> None:
    (proc / f"{pid}/task/{pid}").mkdir(parents=True)
    (proc / f"{pid}/task/{pid}/children").write_text(children)
    user, system = ticks
    (proc / f"{pid}/stat").write_text(f"{pid} (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 99 99 20 0\n")


def test_the_times_of_a_process_and_all_below_it_are_summed(tmp_path: Path) -> None:
    process(tmp_path, 10, (1, 2), "11 12 ")
    process(tmp_path, 11, (10, 20), "13 ")
    process(tmp_path, 12, (0, 0))
    process(tmp_path, 13, (100, 200))
    process(tmp_path, 14, (1000, 2000))
    times = ProcessTimes([10, 11], tmp_path)
    assert sorted(times.pids) == [10, 11, 12, 13]
    assert times.seconds() == pytest.approx(333 / os.sysconf("SC_CLK_TCK"))


def test_a_process_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessGoneError) as caught:
        ProcessTimes([77], tmp_path)
    assert str(caught.value) == "expected a process that runs, got 77"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_own_time_grows() -> None:
    times = ProcessTimes([os.getpid()])
    before = times.seconds()
    while times.seconds() == before:
        sum(range(10_000))
    assert times.seconds() > before
