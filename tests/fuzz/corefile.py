"""Corefiles: each is refused with its line, or becomes a configuration that can be read."""

from dnsserver.config.corefile import CorefileError, NotACorefileError
from tests.config.corefile.reading import config, imported

_IMPORTED = {"a.example": "errors\n"}
_MOST = 2_000  # octets of a sentence


def run(data: bytes) -> None:
    """Import a text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        result = imported(text, _IMPORTED)
    except (CorefileError, NotACorefileError):
        return
    config(result)
    for finding in result.findings:
        assert finding.text.strip()
        assert len(finding.text) <= _MOST
        assert finding.source.line >= 0
