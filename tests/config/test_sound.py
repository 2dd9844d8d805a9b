"""Mistakes between values are told together with those of single values, but none that follows from another one."""

from pathlib import Path

import pytest

from tests.config.reading import problems

BAD_REGEX = '[[rewrite]]\nregex = "("\nto = "a.example"\n'
BAD_HOSTS = '[[hosts]]\nentries = ["nonsense"]\n'
BAD_ANSWER = '[[answer]]\nname = "a.example"\n'

# A text, and the lines of which something is said.
AT_ONCE: list[tuple[str, list[int]]] = [
    (f'ttl = "x"\n{BAD_REGEX}', [1, 3]),
    (f'[[rewrite]]\nname = "a.example"\n{BAD_REGEX}', [1, 4]),
    (f'{BAD_REGEX}[[rewrite]]\nname = "a.example"\n', [4, 2]),
    (f'[[rewrite]]\nname = "a"\n{BAD_REGEX}{BAD_ANSWER}{BAD_HOSTS}', [1, 4, 6, 9]),
    (f'[[forward]]\ndomain = "a"\n[cache]\nsize = "x"\n{BAD_HOSTS}', [1, 4, 6]),
    (f'pods = "all"\n[cache]\nttl_floor = 60\nttl_cap = 30\n{BAD_REGEX}', [1, 3, 6]),
    (f'domian = "a.example"\n{BAD_ANSWER}', [1, 2]),
    ('ttl = "x"\n[[query_log]]\nclasses = []\n', [1, 3]),
    ('ttl = "x"\n[kubernetes]\nlabels = "a in (b"\n', [1, 3]),
    ('[[forward]]\ndomain = "a"\n[[forward]]\ndomain = "b"\nupstreams = ["192.0.2.1", "192.0.2.1"]\n', [1, 5]),
    # What a mistake may come of is not known: it is not told.
    ('domain = "a..b"\n[[forward]]\ndomain = "svc.cluster.local"\nupstreams = []\n', [1]),
    ('listen = ["x"]\nadmin = "127.0.0.1:53"\n', [1]),
    ('[cache]\nttl_floor = 60\nttl_cap = "x"\n', [3]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), AT_ONCE)
def test_every_mistake_is_told_at_once(tmp_path: Path, text: str, lines: list[int]) -> None:
    found = problems(tmp_path, text)
    assert sorted(int(problem.split(":")[1]) for problem in found) == sorted(lines), found
