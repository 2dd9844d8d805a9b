"""The query of a request to admin HTTP: what it may have, and one sentence for what it has beside that."""

from collections.abc import Mapping, Sequence

Query = Mapping[str, str]

_SHOWN = 60  # characters of what is wrong


class QueryError(ValueError):
    """A query cannot be understood; the text says what was found and what was expected. `Admin` tells the client."""


def check(query: Query, needed: Sequence[str] = (), **known: Sequence[str]) -> None:
    """Raise QueryError for a key that is unknown or missing, or has a value that it does not list, if it lists any."""
    for key, value in query.items():
        if key not in known:
            raise QueryError(f"?{key[:_SHOWN]}: expected {', '.join(known)}")
        if known[key] and value not in known[key]:
            raise wrong(query, key, f"expected {', '.join(known[key])}")
    for key in needed:
        if key not in query:
            raise QueryError(f"{key}: is missing")


def number(query: Query, key: str, usual: int, most: int, least: int = 1) -> int:
    """Return a whole number, `usual` if there is no such key; raises QueryError if it is not from `least` to `most`."""
    text = query.get(key, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise wrong(query, key, f"expected a number from {least} to {most}")
    return int(text)


def wrong(query: Query, key: str, expected: str) -> QueryError:
    """Return the error for a key that has a value which is not what was expected."""
    return QueryError(f'{key}: found "{query[key][:_SHOWN]}", {expected}')
