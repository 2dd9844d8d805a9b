"""Finds the DNS name in what people write in its place, and the Service in what they write in place of its key."""

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?(?P<host>[\w.-]+)(?::[0-9]*)?(?:/.*)?")
_WITH_PORT = re.compile(r"(?P<host>[\w.-]+):[0-9]{1,5}(?:/.*)?")
_WITH_PATH = re.compile(r"(?P<host>[\w.-]*\.[\w-]+)\.?/.*")
_OBJECT = re.compile(r"(?P<namespace>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9-]+)")

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")


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


def key_in(text: str) -> tuple[str, ...]:
    """Return the namespace, or the namespace and the service, that a text means; empty where it means none.

    The text is NAMESPACE, NAMESPACE/SERVICE, SERVICE.NAMESPACE, or a whole name of the cluster, whatever its domain is.
    """
    parts = text.split("/")
    if len(parts) == 1 and "." in text:
        before, svc, _ = f"{text.removesuffix('.')}.".lower().partition(".svc.")
        parts = before.strip(".").split(".")[::-1][: 2 if svc else None]
    return tuple(parts) if len(parts) in {1, 2} and all(map(_LABEL.fullmatch, parts)) else ()
