"""Work that targets repeat with the same values, done only once: a million inputs have to fit into half an hour."""

import functools

import msgspec

from tests import strict

# Remembers strict reads of replies, which take longer than making the replies.
strictly = functools.lru_cache(maxsize=1 << 12)(strict.reply)


def remember_fields() -> None:
    """Let msgspec find out the fields of each struct only once: it works out their types from text each time."""
    msgspec.structs.fields = functools.cache(msgspec.structs.fields)
