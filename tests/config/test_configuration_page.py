"""docs/configuration.md has the settings of zones/dnsserver.toml, as the program takes them."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from dnsserver.config.changes import PARTS
from dnsserver.config.model import Config, Table
from dnsserver.config.values import Domain
from tests.configuration_page import PAGE, SHIPPED, page, sections, settings, what_it_takes


def test_the_page_is_that_of_the_file_and_the_code() -> None:
    assert PAGE.read_text() == page(), "python -m tests.configuration_page"


def test_every_key_is_there_once_in_its_table() -> None:
    found = [setting.key for setting in settings(sections(SHIPPED.read_text()))]
    wanted = {"include", *PARTS}
    for name, value in ((field.name, getattr(Config(), field.name)) for field in msgspec.structs.fields(Config)):
        repeated = [key for key in found if key.startswith(f"{name}.")] if value == () else []
        wanted = (wanted - {name}) | set(repeated) if repeated else wanted
    assert sorted(found) == sorted(wanted)
    assert {key.partition(".")[0] for key in found} >= {"forward", "rewrite", "answer", "hosts", "query_log"}


TEXT = """\
# About the file.

# --- The first part ------

# What `a|b` does: *never* <more>.
#  - this, which
#    goes on;
#  - that.
# See docs/rules.md.
#listen = ["0.0.0.0:53", "[::]:53"]
#admin = "[::]:8053"

# Of all.
#[[forward]]
# Which.
#domain = "corp.example"
"""


def test_a_comment_is_for_the_keys_below_it_and_a_free_one_for_the_part() -> None:
    about, part, repeated = sections(TEXT)
    assert about.prose == [("About the file.",)]
    assert [[setting.key for setting in group] for group in part.groups] == [["listen", "admin"]]
    assert part.groups[0][1].shown == '"[::]:8053"'
    assert (repeated.table, repeated.prose) == ("forward", [("Of all.",)])
    assert [(one.key, one.text) for group in repeated.groups for one in group] == [("forward.domain", ("Which.",))]


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        (bool, "`true`, `false`"),
        (str, "text"),
        (Path | None, "a path"),
        (Literal["a", "b"], '`"a"`, `"b"`'),
        (tuple[Path, ...], "a list of: a path"),
        (Domain, Domain.EXPECTED),
        (
            next(field.type for field in msgspec.structs.fields(Config) if field.name == "workers"),
            "a whole number from 1 to 64",
        ),
    ],
)
def test_what_a_value_may_be_is_said_as_errors_say_it(kind: type[Table], phrase: str) -> None:
    assert what_it_takes(kind) == phrase
