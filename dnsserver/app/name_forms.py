"""Finds the DNS name in what people write in its place: a URL, a host and its port, or NAMESPACE/SERVICE."""

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?(?P<host>[^/:]+)(?::[0-9]*)?(?:/.*)?")
_WITH_PORT = re.compile(r"(?P<host>[^/:]+):[0-9]{1,5}(?:/.*)?")
_WITH_PATH = re.compile(r"(?P<host>[^/:]+\.[^/:]+)/.*")
_OBJECT = re.compile(r"(?P<namespace>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9-]+)")


def name_in(text: str) -> str:
    """Return the name that a text has instead of being one; empty for what may be a name itself."""
    for form in (_URL, _WITH_PORT, _WITH_PATH):
        if (found := form.fullmatch(text)) is not None:
            return found["host"]
    return of_object(text)


def of_object(text: str) -> str:
    """Return the short name of a Service that is written as NAMESPACE/SERVICE; empty for other texts."""
    found = _OBJECT.fullmatch(text)
    return "" if found is None else f"{found['name']}.{found['namespace']}"
