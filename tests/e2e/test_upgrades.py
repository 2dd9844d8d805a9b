"""Admin HTTP of a running server has the pages of the version before, with their statuses."""

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.e2e.process import FOLDER, PATIENCE, served

pytestmark = pytest.mark.e2e
PAGES = (FOLDER / "tests/upgrades/0.1.0/pages.txt").read_text().splitlines()
FLAGS = ("--objects=zones/demo", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--upstream=127.0.0.1:9")


def status(method: str, url: str) -> int:
    try:
        with urlopen(Request(url, method=method), timeout=PATIENCE) as answer:  # noqa: S310 - http only
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_the_pages_of_admin_http_are_there_with_their_statuses() -> None:
    with served(*FLAGS) as server:
        for line in PAGES:
            method, path, wanted = line.split()
            assert status(method, server.admin + path) == int(wanted), line
