"""What targets do with the same values again and again, done once: a million inputs have to fit into half an hour."""

import functools

import msgspec

from tests import strict

# Replies read strictly: reading takes longer than making them.
strictly = functools.lru_cache(maxsize=1 << 12)(strict.reply)


def remember_fields() -> None:
    """Let the fields of tables be looked up once: their types are worked out from text each time."""
    msgspec.structs.fields = functools.cache(msgspec.structs.fields)
