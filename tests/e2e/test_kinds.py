"""Kinds of failure are seen as docs/troubleshooting.md says: by dig, in the log, and on admin HTTP."""

import shutil

import pytest

from tests.e2e.kinds import KINDS, block, seen, written

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("dig") is None, reason="needs dig (Debian: bind9-dnsutils)"),
]


def test_the_page_has_each_kind_and_no_other() -> None:
    assert list(written()) == list(KINDS)
    assert len(KINDS) >= 20


@pytest.mark.parametrize("scene", dict.fromkeys(scene for scene, *_ in KINDS.values()))
def test_what_is_seen_is_what_the_page_says(scene: str) -> None:
    page = written()
    for title, one in seen(scene).items():
        assert block(one) == page[title], "python -m tests.e2e.kinds"
